"""Laws of `seren evaluate judge`: planted labels of a log, and people's labels in a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from streams.cli.evaluate import evaluate_group
from streams.recorded.logs import RecordedLog


def run(*arguments: str) -> Any:
    return CliRunner().invoke(evaluate_group, ["judge", "--without-model", "--json", *arguments])


def line(user: str, item: str, category: str, label: Any) -> str:
    history = [{"title": "Rye bread flour", "category": "baking"}, {"title": "Bread tin", "category": "baking"}]
    pair = {"id": item, "user": {"history": history}, "item": {"title": item, "category": category}}
    return json.dumps({**pair, "user_id": user, "label": label})


def test_labels_of_people_give_hand_made_figures(tmp_path: Path) -> None:
    """Bread knives are tied to the history and new, so they outrank more flour and car shampoo: every figure is 1."""
    lines = [line(user, item, category, label) for user in "ab" for item, category, label in (
        ("Bread knife", "knives", True), ("Strong bread flour", "baking", False), ("Car shampoo", "motoring", False),
    )]  # fmt: skip
    (tmp_path / "labels.jsonl").write_text("\n".join(lines))
    result = run("--labelled", str(tmp_path / "labels.jsonl"))
    assert result.exit_code == 0, result.output
    (found,) = json.loads(result.stdout)["sets"].values()
    assert (found["cases"], found["positives"], found["users"]) == (6, 2, 2)
    serendipity = found["parts"]["all"]["serendipity"]
    assert serendipity["auc"] == {"mean": 1.0, "low": 1.0, "high": 1.0}
    assert serendipity["ap"]["mean"] == 1.0
    assert found["parts"]["all"]["relevance"]["kappa"] is None


def test_numbers_are_labels_by_their_bound_and_lines_of_one_history_are_one_person(tmp_path: Path) -> None:
    lines = [line("", "Bread knife", "knives", 4), line("", "Car shampoo", "motoring", 2), line("", "Rye flour", "baking", 3)]
    (tmp_path / "labels.jsonl").write_text("\n".join(lines))
    for bound, positives in (("3", 2), ("4", 1)):
        (found,) = json.loads(run("--labelled", str(tmp_path / "labels.jsonl"), "--positive-at", bound).stdout)[
            "sets"
        ].values()
        assert (found["positives"], found["users"]) == (positives, 1)


@pytest.mark.parametrize(
    ("content", "named"),
    [(line("a", "x", "y", True) + "\n{}", "line 2"), ('{"id":1,"user":{},"item":{"title":"x"}}', "`label`"), ("", "no lines")],
)
def test_file_that_is_no_set_of_labels_is_refused_by_line(tmp_path: Path, content: str, named: str) -> None:
    (tmp_path / "labels.jsonl").write_text(content)
    result = run("--labelled", str(tmp_path / "labels.jsonl"))
    assert result.exit_code != 0
    assert named in result.output + str(result.exception)


def test_planted_labels_of_a_log_are_the_same_twice_and_told_with_intervals(small_log: RecordedLog) -> None:
    arguments = ("--log", str(small_log.folder), "--limit", "20")
    first, second = run(*arguments), run(*arguments)
    assert first.exit_code == 0, first.output
    assert first.stdout == second.stdout
    outcome = json.loads(first.stdout)
    assert outcome["labels"].startswith("planted: ")
    (found,) = outcome["sets"].values()
    assert found["positives"] == 20
    assert set(found["parts"]) == {"all", "new", "seen"}
    for kind in found["parts"].values():
        for figures in kind.values():
            assert figures["auc"]["low"] <= figures["auc"]["mean"] <= figures["auc"]["high"]
    assert found["parts"]["seen"]["unexpectedness"]["auc"]["mean"] > 0.5
