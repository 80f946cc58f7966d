"""Laws of the whole way from samples over people's decisions to scores and pairs, by the commands; they need pyarrow."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result

from models.alignment.decisions import Decision, Question
from models.errors import JudgeRefused
from streams.alignment.labelling.decisions import read_questions
from streams.cli.train import train_group
from streams.recorded.logs import RecordedLog, write_lines

pytestmark = [pytest.mark.train, pytest.mark.timeout(300)]


def run(*arguments: object) -> Result:
    return CliRunner().invoke(train_group, [str(one) for one in arguments])


def outcome(*arguments: object) -> dict[str, Any]:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def decide(path: Path, questions: list[Question], *, is_contrary: bool = False, person: str = "Ann") -> Path:
    """A person who goes by how long a title is, which is among a small judge's inputs; or by nothing that is."""
    decisions = []
    for number, one in enumerate(questions):
        yes = number % 2 == 0 if is_contrary else len(one.titles[0].split()) >= 5
        choice: Any = "accept" if yes else "reject"
        failed: Any = None if yes else "relevance"
        decisions.append(Decision(id=one.id, kind="sample", person=person, choice=choice, failed=failed, decided_ms=number))
    write_lines(path, (msgspec.json.encode(one) for one in decisions))
    return path


@pytest.fixture(scope="module")
def folder(small_log: RecordedLog, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("alignment")
    outcome("data", "--log", small_log.folder, "--out", folder / "data")
    return folder


@pytest.fixture(scope="module")
def verdicts(folder: Path) -> Path:
    out = folder / "verdicts"
    told = outcome("verdicts", "--data", folder / "data", "--out", out, "--count", 150, "--without-model")
    assert told["asked"] == told["serendipitous"] + told["not_serendipitous"] == 150
    return out


def samples_of(folder: Path) -> Any:
    return import_module("streams.alignment.files").read_samples(folder / "samples.parquet")


def test_verdicts_are_on_training_samples_alone_and_become_questions(verdicts: Path) -> None:
    judged = [one for one in samples_of(verdicts) if one.verdict is not None]
    assert len(judged) == 150
    assert {one.split for one in judged} <= {"sft", "ipo"}
    questions = read_questions(verdicts / "questions.jsonl")
    assert {one.titles[0] for one in questions} == {one.title for one in judged}
    assert all(one.reason for one in questions)


def test_denoise_learns_people_scores_all_samples_and_checks_the_judge_of_the_round_before(verdicts: Path) -> None:
    questions = read_questions(verdicts / "questions.jsonl")
    first, second = decide(verdicts / "one.jsonl", questions[:100]), decide(verdicts / "two.jsonl", questions[100:])
    common = ("denoise", "--data", verdicts, "--judge", verdicts / "judge", "--out", verdicts / "out", "--without-model")
    told = outcome(*common, "--decisions", first)
    assert (told["round"], told["people_labelled"], told["before_on_new_labels"]) == (1, 100, [])
    whole = next(one for one in told["held_out"] if one["criterion"] == "serendipity")
    assert whole["auc"][0] > 0.9  # it can read what the person goes by
    again = outcome(*common, "--decisions", second)
    assert again["round"] == 2
    assert next(one for one in again["before_on_new_labels"] if one["criterion"] == "serendipity")["auc"][0] > 0.9
    found = samples_of(verdicts / "out")
    assert all(one.classifier_score is not None for one in found)
    assert sum(one.person_label is not None for one in found) == 50
    likely = [one for one in found if one.classifier_score >= 0.5]
    assert sum(len(one.title.split()) >= 5 for one in likely) > 0.8 * len(likely)


def test_judge_of_people_who_go_by_nothing_that_it_reads_is_refused_and_nothing_is_written(verdicts: Path) -> None:
    given = decide(verdicts / "contrary.jsonl", read_questions(verdicts / "questions.jsonl"), is_contrary=True)
    result = run(
        "denoise", "--data", verdicts, "--decisions", given, "--judge", verdicts / "none", "--out", verdicts / "nothing",
        "--without-model",
    )  # fmt: skip
    assert isinstance(result.exception, JudgeRefused)
    assert "below the bound" in str(result.exception)
    assert not (verdicts / "none").exists()
    assert not (verdicts / "nothing").exists()


def test_pairs_come_from_titles_and_from_people_and_without_a_judge_from_the_log(
    folder: Path, small_log: RecordedLog, tmp_path: Path
) -> None:
    files = import_module("streams.alignment.files")
    prompts = {
        (one.user_id, one.ts_ms // 86_400_000): one for one in reversed(samples_of(folder / "data")) if one.split == "ipo"
    }
    titles = ["white hanging heart t-light holder", "set of 3 cake tins", "jumbo bag red retrospot", "party bunting", "xyzzy"]
    write_lines(
        tmp_path / "titles.jsonl",
        (json.dumps({"user_id": one.user_id, "ts_ms": one.ts_ms, "titles": titles}).encode() for one in prompts.values()),
    )
    common = ("pairs", "--data", folder / "data", "--log", small_log.folder, "--titles", tmp_path / "titles.jsonl")
    told = outcome(*common, "--out", tmp_path / "pairs", "--without-model")
    found = files.read_pairs(tmp_path / "pairs" / "pairs.parquet")
    assert len(found) == told["pairs"] > 0
    assert told["across_categories"] * 2 >= told["pairs"]
    assert all(one.chosen_score - one.rejected_score >= 2 and one.judged_by == "judge" for one in found)
    questions = read_questions(tmp_path / "pairs" / "questions.jsonl")
    decisions = [
        Decision(id=one.id, kind="pair", person="Ann", choice="second", decided_ms=number)
        for number, one in enumerate(questions[:3])
    ]
    write_lines(tmp_path / "said.jsonl", (msgspec.json.encode(one) for one in decisions))
    people = ("--decisions", tmp_path / "said.jsonl", "--questions", tmp_path / "pairs" / "questions.jsonl")
    outcome(*common, *people, "--out", tmp_path / "more", "--without-model")
    by_people = [one for one in files.read_pairs(tmp_path / "more" / "pairs.parquet") if one.judged_by == "person"]
    assert {(one.chosen, one.rejected) for one in by_people} == {one.titles[::-1] for one in questions[:3]}
    outcome(*common, "--no-cdi", "--out", tmp_path / "none")
    unjudged = files.read_pairs(tmp_path / "none" / "pairs.parquet")
    assert unjudged
    assert {(one.judged_by, one.chosen_score) for one in unjudged} == {("none", None)}
