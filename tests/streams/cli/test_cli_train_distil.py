"""Laws of `seren train distil`: it learns from the score log, asks for the rest once, and what it writes can be loaded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from models.distilled import Distilled
from models.distilled.scorer import read_card
from models.entities import Digest, Item
from models.pretrained import distilled_folder
from models.training.distil import DistilPlan, is_held_out
from streams.cli.train import train_group
from streams.engines.named import load_engine
from tests.streams.recorded.made_log import brass_log

USERS = 8


@pytest.fixture
def log_folder(tmp_path: Path) -> Path:
    """Eight users who visit and buy on each of six days."""
    return brass_log(tmp_path / "log", user_count=USERS, days=6)


def train(log: Path, scores: Path, out: Path, *words: str) -> dict:
    given = ["distil", "--log", str(log), "--scores", str(scores), "--out", str(out), "--drawn", "12", "--json", *words]
    ended = CliRunner().invoke(train_group, given)
    assert ended.exit_code == 0, (ended.output, ended.exception)
    return json.loads(ended.stdout)


def test_people_s_names_in_these_tests_are_on_both_sides() -> None:
    held = [is_held_out(f"user {user}", DistilPlan().held_out) for user in range(USERS)]
    assert set(held) == {True, False}


def test_training_asks_once_and_the_second_one_writes_the_same_bytes_without_a_call(log_folder: Path, tmp_path: Path) -> None:
    scores = tmp_path / "scores.jsonl"
    first = train(log_folder, scores, tmp_path / "one")
    asked = scores.read_bytes()
    assert first["counts"]["scores learned from"] + first["counts"]["scores held out"] == USERS * 12
    second = train(log_folder, scores, tmp_path / "two")
    assert scores.read_bytes() == asked
    assert second["metrics"] == first["metrics"]
    for name in ("card.json", "distilled.npz"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_trained_folder_loads_and_names_its_teacher_and_beats_chance(log_folder: Path, tmp_path: Path) -> None:
    found = train(log_folder, tmp_path / "scores.jsonl", tmp_path / "model", "--name", "mine", "--people", "6")
    scorer, card = Distilled.load(tmp_path / "model"), read_card(tmp_path / "model")
    engine = load_engine("ctranslate2", "", threads=1)
    assert (scorer.teacher, card.prompt_version) == (engine.model_id, engine.prompt_version)
    engine.close()
    assert scorer.model_id == f"mine@{card.sha256[:12]}"
    assert card.counts["people learned from"] + card.counts["people held out"] == 6
    assert set(found["metrics"]) == {
        "distilled",
        "title prior",
        "popularity in histories",
        "cosine with the history",
        "category rule",
        "random",
    }
    assert 0.0 <= scorer.aligned(Digest(), [Item(item_id="1", title="brass thing 1", category=("shop",))])[0] <= 1.0
    assert "Spearman" in (tmp_path / "model" / "README.md").read_text()


def test_shipped_scorer_orders_better_than_every_trivial_ranker_and_was_fitted_to_the_shipped_model() -> None:
    card = read_card(distilled_folder())
    engine = load_engine("ctranslate2", "", threads=1)
    assert (card.teacher, card.prompt_version) == (engine.model_id, engine.prompt_version)
    engine.close()
    for metric in ("spearman", "top 10"):
        scores = {name: one[metric] for name, one in card.metrics.items()}
        assert max(scores, key=scores.__getitem__) == "distilled"
        assert scores["distilled"] > 0.5


def test_distil_without_a_score_log_is_wrong_use(tmp_path: Path) -> None:
    ended = CliRunner().invoke(train_group, ["distil", "--out", str(tmp_path)])
    assert ended.exit_code == 2
    assert "--scores" in ended.stderr
