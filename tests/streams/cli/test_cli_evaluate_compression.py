"""Laws of `seren evaluate compression`: whose histories fit, as JSON and as a table."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from models.entities import Event, Item
from models.profiling.compression import CompressionPolicy
from streams.cli.evaluate import evaluate_group
from streams.recorded.behaviours import read_histories
from streams.recorded.logs import About, RecordedLog, write_log

FIRST_MS = 1_300_000_000_000


def event(number: int, kind: str, **fields: object) -> Event:
    return Event(event_id=str(number), user_id="u", type=kind, ts_ms=FIRST_MS + number, **fields)  # type: ignore[arg-type]


def written(folder: Path, events: list[Event]) -> RecordedLog:
    about = About(
        name="Walk",
        licence="CC0-1.0",
        source="made for a test",
        first_ts_ms=FIRST_MS,
        last_ts_ms=FIRST_MS + 10,
        events=len(events),
        users=0,
        items=1,
        events_by_type={},
        impressions=False,
        notes="",
        importer_version=1,
    )
    return write_log(folder, about, events=events, items=[Item(item_id="i", title="red mug", category=("shop",))], users=[])


@pytest.fixture
def log(tmp_path: Path) -> RecordedLog:
    events = [
        event(1, "visit"),
        event(2, "expose", item_id="i"),
        event(3, "purchase", item_id="i"),
        event(4, "click", item_id="i", dwell_ms=20_000),
        event(5, "click", item_id="i"),
        event(6, "purchase", item_id="gone"),
        event(7, "search", query="tins"),
    ]
    return written(tmp_path / "log", events)


def test_histories_hold_reliable_behaviours_with_titles(log: RecordedLog) -> None:
    histories = read_histories(log, CompressionPolicy())
    assert [(deed.type, deed.text) for deed in histories.by_user["u"]] == [
        ("purchase", "red mug"),
        ("click", "red mug"),
        ("purchase", "gone"),
        ("search", "tins"),
    ]
    assert histories.unreliable == 3


def test_command_prints_shares_and_tokens(log: RecordedLog) -> None:
    done = CliRunner().invoke(evaluate_group, ["compression", "--log", str(log.folder), "--json"])
    assert done.exit_code == 0, done.output
    outcome = json.loads(done.stdout)
    assert (outcome["users"], outcome["events"]) == (1, 4)
    plain, packed = outcome["tokens"][1]["forms"]
    # One by one: "2011-03-13 purchase | red mug" and so on, 29 + 26 + 26 + 24 bytes and three line ends: 108 / 4.
    assert plain["median_tokens"] == 27
    assert packed["median_tokens"] < plain["median_tokens"]
    assert packed["share_that_fits"]["2048"]["mean"] == 1.0


def test_command_shows_a_table(log: RecordedLog) -> None:
    done = CliRunner().invoke(evaluate_group, ["compression", "--log", str(log.folder)])
    assert done.exit_code == 0, done.output
    assert "compressed" in done.stdout


def test_command_says_that_a_log_without_behaviours_has_nothing_to_compress(tmp_path: Path) -> None:
    written(tmp_path / "log", [event(1, "visit")])
    done = CliRunner().invoke(evaluate_group, ["compression", "--log", str(tmp_path / "log")])
    assert done.exit_code == 1
    assert "nothing to compress" in done.output
