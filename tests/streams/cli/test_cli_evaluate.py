"""Laws of `seren evaluate ranking`: the same numbers twice, and a table a person can read."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner

from models.entities import Digest
from models.errors import CheckpointError, LogError
from models.evaluation.gate import DIVERSITY, NOVELTY, GateMetrics
from models.evaluation.ranking import METRICS
from models.pretrained import serengpt_folder
from models.profiles.policy import DAY_MS
from models.registry import Gate, Metrics, refusals
from models.retrieval import Tower
from models.season import Season
from models.serengpt.checkpoint import checkpoint_sha256
from streams.cli.evaluate import evaluate_group
from streams.cli.train_season import season
from streams.evaluation.gate import log_sha256
from streams.evaluation.questions import from_day, history_only, read_questions
from streams.recorded.logs import RecordedLog
from tests.streams.recorded.made_log import FIRST_MS, WALK_DAYS, WALK_USERS, walk_log


@pytest.fixture
def log_folder(tmp_path: Path) -> Path:
    return walk_log(tmp_path / "log")


@pytest.fixture
def tower_folder(tmp_path: Path) -> Path:
    table = np.random.default_rng(3).integers(-99, 100, (2048, 32)).astype(np.int8)
    Tower(table, name="random").save(tmp_path / "tower")
    return tmp_path / "tower"


def _run(*arguments: str) -> str:
    result = CliRunner().invoke(evaluate_group, ["ranking", "--without-serengpt", *arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_evaluate_ranking_with_one_seed_prints_the_same_numbers_twice(log_folder: Path, tower_folder: Path) -> None:
    arguments = ("--log", str(log_folder), "--tower", str(tower_folder), "--seed", "3", "--json")
    first = _run(*arguments)
    assert first == _run(*arguments)
    outcome = json.loads(first)
    assert (outcome["part"], outcome["cases"], outcome["users"], outcome["negatives"]) == ("test", 8, 4, 99)
    assert [ranker["name"] for ranker in outcome["rankers"]] == [
        "random",
        "popularity",
        "popularity, last 28 days",
        "popularity on the eve",
        "category rule",
        "item-kNN",
        "trained tower",
        "tower x season",
    ]
    for ranker in outcome["rankers"]:
        for interval in ranker["metrics"].values():
            assert 0.0 <= interval["low"] <= interval["mean"] <= interval["high"] <= 1.0


def test_evaluate_ranking_with_a_limit_asks_no_more_cases(log_folder: Path, tower_folder: Path) -> None:
    outcome = json.loads(_run("--log", str(log_folder), "--tower", str(tower_folder), "--limit", "3", "--json"))
    assert outcome["cases"] == 3


def test_evaluate_ranking_without_json_prints_a_table(log_folder: Path, tower_folder: Path) -> None:
    shown = _run("--log", str(log_folder), "--tower", str(tower_folder))
    assert "category rule" in shown
    assert "8 visit days of 4 users" in shown


def test_evaluate_ranking_without_a_tower_fails_and_names_the_file(log_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    arguments = ["ranking", "--without-serengpt", "--log", str(log_folder), "--tower", str(tmp_path / "empty")]
    result = CliRunner().invoke(evaluate_group, arguments)
    assert result.exit_code != 0
    assert "tower.npz" in str(result.exception)


def test_evaluate_ranking_of_named_checkpoints_compares_each_with_the_best_baseline(
    log_folder: Path, tower_folder: Path, tmp_path: Path
) -> None:
    arguments = [
        "ranking",
        "--log",
        str(log_folder),
        "--tower",
        str(tower_folder),
        "--cache",
        str(tmp_path / "kept"),
        "--json",
    ]
    models = ["--model", f"first={serengpt_folder()}", "--model", f"again={serengpt_folder()}"]
    result = CliRunner().invoke(evaluate_group, [*arguments, *models])
    assert result.exit_code == 0, result.output
    outcome = json.loads(result.stdout)
    rows = {row["name"]: row for row in outcome["rankers"]}
    assert rows["first"]["metrics"] == rows["again"]["metrics"]
    assert rows["first"]["chosen_on_validation"]
    assert not rows["first, without profile"]["is_baseline"]
    assert len(list((tmp_path / "kept").iterdir())) == 2  # one checkpoint; the validation part and the test part
    assert rows["tower x season"]["is_baseline"]
    assert not rows["again x relevance x season"]["is_baseline"]
    assert len(outcome["verdicts"]) == 5 * 3 * 2
    kept = json.loads(CliRunner().invoke(evaluate_group, [*arguments, *models]).stdout)
    assert kept == outcome


def test_evaluate_ranking_of_a_missing_checkpoint_names_it(log_folder: Path) -> None:
    result = CliRunner().invoke(evaluate_group, ["ranking", "--log", str(log_folder), "--model", "x=/nowhere"])
    assert isinstance(result.exception, CheckpointError)
    assert "x=/nowhere" in str(result.exception)


def test_evaluate_diversity_prints_titles_of_checkpoints_and_slates_of_all(log_folder: Path, tower_folder: Path) -> None:
    arguments = ["diversity", "--log", str(log_folder), "--tower", str(tower_folder), "--limit", "3", "--json"]
    result = CliRunner().invoke(evaluate_group, arguments)
    assert result.exit_code == 0, result.output
    rows = {row["name"]: row["metrics"] for row in json.loads(result.stdout)["rows"]}
    assert rows["SerenGPT"]["unique_titles"]["mean"] <= 30
    assert "unique_titles" not in rows["item-kNN"]
    assert rows["random"]["slate_size"]["mean"] == 50
    # Four parts of the same walk through the categories: whatever everybody bought fills the same slate for all.
    assert rows["popularity, last 28 days"]["coverage"]["mean"] == 50 / 160


def test_evaluate_gate_prints_what_the_registry_reads(log_folder: Path, tower_folder: Path) -> None:
    arguments = ["gate", "--log", str(log_folder), "--tower", str(tower_folder), "--slates", "2", "--json"]
    result = CliRunner().invoke(evaluate_group, [*arguments, "--model", str(serengpt_folder())])
    assert result.exit_code == 0, result.output
    found = msgspec.json.decode(result.stdout, type=GateMetrics)
    assert found.evaluation.name == "Walk, validation part, 8 cases of 4 users"
    assert (found.evaluation.cases, found.evaluation.slates, found.evaluation.seed) == (8, 2, 0)
    assert found.checkpoint == checkpoint_sha256(serengpt_folder())
    assert found.evaluation.log == log_sha256(log_folder)
    assert (len(found.ranking.values), len(found.novelty.values)) == (8, 2)
    assert {group: set(names) for group, names in found.details.items()} == {
        "ranking": set(METRICS),
        "novelty": set(NOVELTY),
        "diversity": set(DIVERSITY),
    }
    assert (found.ranking.name, found.ranking.mean) == ("NDCG@10", found.details["ranking"]["NDCG@10"].mean)
    assert refusals(found, msgspec.json.decode(result.stdout, type=Metrics), gate=Gate(users_count=1)) == ()
    assert "measured on 4 users" in refusals(found, found, gate=Gate())[0]


def test_evaluate_ablation_writes_a_table_of_every_checkpoint_in_the_folder(
    log_folder: Path, tower_folder: Path, tmp_path: Path
) -> None:
    for name in ("full", "half"):
        (tmp_path / "variants" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "variants" / name).symlink_to(serengpt_folder())
    (tmp_path / "variants" / "notes").mkdir()
    options = {"--log": log_folder, "--tower": tower_folder, "--reference": "half", "--slates": 2, "--out": tmp_path / "out"}
    options |= {"--model": f"more={serengpt_folder()}", "--history-only": "full", "--cache": tmp_path / "kept"}
    arguments = ["ablation", str(tmp_path / "variants"), *(str(part) for option in options.items() for part in option)]
    result = CliRunner().invoke(evaluate_group, arguments)
    assert result.exit_code == 0, result.output
    outcome = json.loads((tmp_path / "out" / "ablation.json").read_text())
    assert [row["name"] for row in outcome["rankers"][:4]] == ["half", "full", "more", "random"]
    assert [row["name"] for row in outcome["slates"]] == ["half", "full", "more"]
    assert outcome["asked_history_only"] == ["full"]
    assert outcome["verdicts"][3].startswith("more HR@1 is not distinguishable from half: +0.000")
    for held in ("ranked_against_reference", "shown_against_reference"):
        [_, same] = outcome[held]
        assert {bound for one in same["differences"].values() for bound in one.values()} == {0.0}
    # One checkpoint, asked with and without profile: of each the scores of two parts, and the slates of one.
    assert len(list((tmp_path / "kept").iterdir())) == 2 * (2 + 1)
    again = CliRunner().invoke(evaluate_group, [*arguments, "--json"])
    assert json.loads(again.stdout) == outcome
    table = (tmp_path / "out" / "ablation.md").read_text()
    assert (table.count("\n| half |"), table.count("\n| full |"), table.count("\n| more |")) == (2, 3, 3)


def test_evaluate_ablation_of_an_unknown_variant_without_profile_names_it(tmp_path: Path) -> None:
    (tmp_path / "full").symlink_to(serengpt_folder())
    result = CliRunner().invoke(evaluate_group, ["ablation", str(tmp_path), "--history-only", "ful"])
    assert (result.exit_code, "ful: no such variant; there are full" in result.output) == (2, True)


def test_questions_of_history_only_keep_everything_but_the_profile(log_folder: Path) -> None:
    whole = read_questions(RecordedLog(log_folder), part="validation", seed=0, limit=3)
    bare = history_only(whole)
    assert bare.reported is bare.validation
    for one, other in zip(bare.reported.cases, whole.reported.cases, strict=True):
        assert (one.items, one.right, one.seen) == (other.items, other.right, other.seen)
        assert other.digest.short_term
        assert one.digest == Digest(history=other.digest.history)


def test_evaluate_ablation_of_a_folder_without_checkpoints_says_what_it_needs(log_folder: Path) -> None:
    result = CliRunner().invoke(evaluate_group, ["ablation", str(log_folder)])
    assert isinstance(result.exception, CheckpointError)
    assert "at least 1 checkpoint" in str(result.exception)


def test_train_season_counts_what_was_wanted_before_the_evening(log_folder: Path, tmp_path: Path) -> None:
    """Up to the end of day 1: items 0 to 3 on day 0, items 1 to 4 on day 1."""
    evening_ms = FIRST_MS + 2 * DAY_MS
    options = {"--log": log_folder, "--out": tmp_path / "season.json", "--until-ms": evening_ms, "--half-life-days": 1}
    result = CliRunner().invoke(season, [str(part) for option in options.items() for part in option])
    assert result.exit_code == 0, result.output
    found = Season.load(tmp_path / "season.json")
    assert set(found.wants) == {f"{leaf:02}-0" for leaf in range(5)}
    assert found.wants["01-0"] == pytest.approx(0.25 + 0.5)
    assert found.mean == pytest.approx(4 * (0.25 + 0.5) / 160)


def test_questions_from_a_day_on_are_of_that_day_and_later_ones_alone(log_folder: Path) -> None:
    questions = read_questions(RecordedLog(log_folder), part="validation", seed=0, limit=None)
    first_ms = FIRST_MS + (WALK_DAYS - 1) * DAY_MS
    found = from_day(questions, first_ms, limit=None)
    assert len(found.reported.cases) == WALK_USERS
    assert {case.as_of_ms // DAY_MS for case in found.reported.cases} == {first_ms // DAY_MS}
    assert found.validation is questions.validation
    with pytest.raises(LogError, match="no serendipitous item was wanted since"):
        from_day(questions, FIRST_MS + WALK_DAYS * DAY_MS, limit=None)
