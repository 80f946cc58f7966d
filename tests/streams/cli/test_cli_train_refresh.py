"""Laws of `seren train refresh`: dated checkpoints that are made once, and a table in which each day has its own."""

from __future__ import annotations

import json
from importlib import import_module
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest
from click.testing import CliRunner

import streams.cli.extras
from models.errors import CheckpointError
from models.profiles import ProfilePolicy
from models.profiles.policy import DAY_MS
from models.training.refresh_card import read_record
from streams.cli.evaluate import evaluate_group
from streams.cli.train import train_group
from streams.recorded.logs import RecordedLog
from streams.samples import read_samples
from tests.streams.recorded.made_log import FIRST_MS, WALK_USERS, walk_log

STEPS = ("--steps", "2", "--learning-rate", "0.01")


@pytest.fixture(scope="module")
def log_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return walk_log(tmp_path_factory.mktemp("walk") / "log")


@pytest.fixture(scope="module")
def base(log_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    recipe, sft = import_module("models.training.recipe"), import_module("models.training.sft")
    phase = sft.Phase(name="all", serendipitous_only=True, steps=2, learning_rate=1e-2, rows=2)
    tiny = recipe.Recipe(vocabulary=400, shape=sft.ModelShape(hidden=32, layers=1, feed_forward=48), phases=(phase,))
    log = read_samples(RecordedLog(log_folder), policy=ProfilePolicy())
    folder = tmp_path_factory.mktemp("base")
    train = log.part("train")
    recipe.train_serengpt(
        train, [], log.catalogue.get, recipe=tiny, seed=3, folder=folder, name="tiny", watch=lambda _step: None
    )
    return folder


@pytest.mark.train
@pytest.mark.timeout(300)
def test_refreshes_of_every_day_are_made_once_and_each_answers_for_the_day_after(
    log_folder: Path, base: Path, tmp_path: Path
) -> None:
    out = tmp_path / "daily"
    asked = [
        "refresh",
        "--log",
        str(log_folder),
        "--base",
        str(base),
        "--out",
        str(out),
        "--every-days",
        "1",
        *STEPS,
        "--json",
    ]
    first = CliRunner().invoke(train_group, asked)
    assert first.exit_code == 0, first.output
    assert sorted(path.name for path in out.iterdir()) == [f"2023-12-{day:02}" for day in (1, 2, 3, 4)]
    made = json.loads(first.stdout)["refreshed"]
    assert [one["window_days"] for one in made] == [WALK_USERS] * 4
    assert "Nothing from the cut, 2023-12-01 00:00, on was seen" in (out / "2023-12-01" / "README.md").read_text()
    again = CliRunner().invoke(train_group, asked)
    assert json.loads(again.stdout) == json.loads(first.stdout)
    assert again.stderr.count(": is there") == 4
    arguments = ["ranking", "--log", str(log_folder), "--model", f"tiny={base}", "--rolling", str(out), "--json"]
    table = CliRunner().invoke(evaluate_group, arguments)
    assert table.exit_code == 0, table.output
    rows = {row["name"]: row for row in json.loads(table.stdout)["rankers"]}
    # Days 16 to 19 are asked about, and each had a model of the midnight before; that of the log's end answers nothing.
    ids = rows["tiny, refreshed"]["model_id"].split(", ")
    assert len(ids) == 4
    assert ids[0] == rows["tiny"]["model_id"]
    assert {"item-kNN on the eve", "item-kNN on the eve x season"} <= {
        name for name, row in rows.items() if row["is_baseline"]
    }


@pytest.mark.train
@pytest.mark.timeout(300)
def test_a_refreshed_checkpoint_is_measured_on_later_days_alone(log_folder: Path, base: Path, tmp_path: Path) -> None:
    out = tmp_path / "next"
    asked = ["refresh", "--log", str(log_folder), "--base", str(base), "--out", str(out), "--until", "2023-12-02", *STEPS]
    result = CliRunner().invoke(train_group, asked)
    assert result.exit_code == 0, result.output
    record = read_record(out)
    assert record is not None
    assert (record.since_ms, record.until_ms) == (FIRST_MS + 16 * DAY_MS, FIRST_MS + 18 * DAY_MS)
    refused = CliRunner().invoke(evaluate_group, ["gate", "--model", str(out), "--log", str(log_folder)])
    assert isinstance(refused.exception, CheckpointError)
    assert "was taught what came before" in str(refused.exception)
    since = ["gate", "--model", str(out), "--log", str(log_folder), "--since", "2023-12-02", "--slates", "1", "--json"]
    measured = CliRunner().invoke(evaluate_group, since)
    assert measured.exit_code == 0, measured.output
    evaluation = json.loads(measured.stdout)["evaluation"]
    assert (evaluation["part"], evaluation["cases"]) == ("since 2023-12-02", 2 * WALK_USERS)


def test_train_refresh_without_torch_names_the_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def find_spec(name: str) -> ModuleSpec | None:
        return None if name == "torch" else ModuleSpec(name, None)

    monkeypatch.setattr(streams.cli.extras, "find_spec", find_spec)
    result = CliRunner().invoke(train_group, ["refresh", "--out", str(tmp_path / "model")])
    assert result.exit_code == 2
    assert result.stderr == "error: seren train refresh needs torch; install the extra: pip install 'seren[train]'\n"
