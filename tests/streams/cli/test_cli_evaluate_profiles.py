"""Laws of `seren evaluate profiles`: a model over HTTP that tells truth and lies, and the numbers that say which was which."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from models.entities import Event, Item
from models.profiles.policy import DAY_MS
from streams.cli.evaluate import evaluate_group
from tests.streams.engines.scripted_model import Reply, said, scripted_model
from tests.streams.recorded.made_log import make_log

FIRST_MS = 15_000 * DAY_MS
DAYS, USERS = 100, 6


@pytest.fixture
def log_folder(tmp_path: Path) -> Path:
    """Six users who buy a mug each day and, in the next period, a teapot too; the split lies at nine tenths of the time."""
    shop = [
        Item(item_id="mug", title="red mug", category=("shop", "mug")),
        Item(item_id="pot", title="teapot", category=("shop", "pot")),
    ]
    events = [
        Event(
            event_id=f"{day}-{user}",
            user_id=f"user {user}",
            type="purchase",
            ts_ms=FIRST_MS + day * DAY_MS,
            item_id="mug" if day < 90 else "pot",
        )
        for day in range(DAYS)
        for user in range(USERS)
    ]
    return make_log(tmp_path / "log", events=events, items=shop, name="Walk", last_ts_ms=FIRST_MS + DAYS * DAY_MS)


def reply(body: dict[str, Any]) -> Reply:
    numbers = re.findall(r"\[(\d+)\] red mug", body["messages"][1]["content"])
    entries = [
        {"tag": "red mug", "evidence": [int(numbers[0])]},
        {"tag": "mug pot", "evidence": [int(numbers[0])]},
        {"tag": "sailing", "evidence": [77]},
    ]
    return said(json.dumps({"interest": entries}))


def test_command_counts_what_was_approved_and_refused_and_what_came_true(log_folder: Path, tmp_path: Path) -> None:
    with scripted_model(reply) as server:
        config = tmp_path / "seren.toml"
        config.write_text(
            f'[profiling]\nmodel = "endpoint"\nwith_tower = false\n[profiling.endpoint]\nurl = "{server.url}"\nmodel = "big"\n'
        )
        arguments = ["profiles", "--log", str(log_folder), "--config", str(config), "--rounds", "2"]
        done = CliRunner().invoke(evaluate_group, [*arguments, "--json"])
        shown = CliRunner().invoke(evaluate_group, arguments)
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["questions"] == {"asked": 2 * USERS, "answered": 2 * USERS, "failed": {}}
    # Of three candidates each, one cites what does not exist; "mug pot" shares one of its words with the tag "mug" (0.67).
    assert found["valid_evidence_ratio"] == round(2 / 3, 4)
    assert found["refused"] == {"unknown_evidence": 2 * USERS}
    assert found["tags_by_family"] == {"interest": 4 * USERS}
    assert found["folded"] == {"taken": 4 * USERS}
    assert found["largest_profile_bytes"] <= 4096
    by_maker = {one["maker"]: one for one in found["next_period"]}
    # Later everybody buys a teapot, of the category "pot": one of the two tags came true, here as for anybody else.
    assert by_maker["language model"]["agreement"]["mean"] == 0.5
    assert by_maker["language model"]["chance"]["mean"] == 0.5
    assert by_maker["language model"]["tags_per_user"] == 2.0
    assert shown.exit_code == 0
    assert "language model" in shown.stdout


def test_command_says_when_there_is_nobody_to_ask_about(log_folder: Path, tmp_path: Path) -> None:
    config = tmp_path / "seren.toml"
    config.write_text("[rules.profile.inference]\nfirst_positives = 1000\n[profiling]\nwith_tower = false\n")
    done = CliRunner().invoke(evaluate_group, ["profiles", "--log", str(log_folder), "--config", str(config)])
    assert done.exit_code == 1
    assert "nobody in the log" in done.output
