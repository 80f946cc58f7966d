"""Laws of `seren judge` and `seren combine`: lines through, errors by number, exit codes, the configuration's weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from streams.cli.judge import combine, judge

PAIR = {
    "id": "a",
    "user": {"static": {"age": 30}, "history": [{"title": "Alien", "category": "Sci-Fi", "rating": 5, "ts_ms": 1}]},
    "item": {"title": "Aliens", "category": "Sci-Fi|Action"},
}


def outcome(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_judge_of_good_lines_exits_0_and_is_the_same_for_every_seed() -> None:
    given = (json.dumps(PAIR) + "\n") * 2
    first, second = (CliRunner().invoke(judge, ["--seed", str(seed)], input=given) for seed in (0, 7))
    assert (first.exit_code, first.stderr) == (0, "")
    assert [one["id"] for one in outcome(first)] == ["a", "a"]
    assert first.stdout == second.stdout


def test_judge_of_a_bad_line_names_it_and_exits_1_after_the_last_line() -> None:
    result = CliRunner().invoke(judge, ["--without-model"], input='{"id":7}\n' + json.dumps(PAIR))
    assert result.exit_code == 1
    assert [set(one) >= {"id", "error"} for one in outcome(result)] == [True, False]
    assert outcome(result)[0]["id"] == 7
    assert result.stderr == "seren: line 1: Object missing required field `user`\n"


def test_judge_of_nothing_gives_nothing() -> None:
    result = CliRunner().invoke(judge, ["--without-model"], input="")
    assert (result.exit_code, result.stdout) == (0, "")


def test_judge_with_a_rating_scale_reads_ratings_on_it() -> None:
    relevance = [
        outcome(CliRunner().invoke(judge, ["--without-model", "--rating-max", top], input=json.dumps(PAIR)))[0]["relevance"]
        for top in ("5", "100")
    ]
    assert relevance[1] < relevance[0] - 0.1


def test_judge_of_a_folder_without_a_checkpoint_names_what_is_missing(tmp_path: Path) -> None:
    result = CliRunner().invoke(judge, ["--model", str(tmp_path)], input="")
    assert "cannot read ct2/manifest.json" in str(result.exception)


def test_combine_uses_the_weights_of_the_configuration(tmp_path: Path) -> None:
    """Relevance alone: all other weights are 0, so the mean is that part."""
    config = tmp_path / "seren.toml"
    config.write_text("[judge.combine]\nunexpectedness_weight = 0\nnovelty_weight = 0\ntimeliness_weight = 0\n")
    given = '{"id":"a","relevance":0.7,"unexpectedness":0.1}\n'
    result = CliRunner().invoke(combine, ["--config", str(config)], input=given)
    assert outcome(result) == [{"id": "a", "serendipity": 0.7}]


def test_combine_of_a_part_out_of_range_exits_1() -> None:
    result = CliRunner().invoke(combine, [], input='{"relevance":0.5}\n{"relevance":1.5}\n')
    assert result.exit_code == 1
    assert [sorted(one) for one in outcome(result)] == [["serendipity"], ["error", "id"]]
    assert result.stderr.startswith("seren: line 2: ")
