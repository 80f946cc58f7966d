"""Laws of a recorded log as samples."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.entities import Event, Item, UserAttributes
from models.errors import LogError
from models.profiles import ProfilePolicy
from models.profiles.policy import DAY_MS
from models.training.split import ONLINE_RETAIL, TimeSplit
from streams.recorded.logs import EVENTS, ITEMS, About, RecordedLog, read_lines, shipped_log, write_lines, write_log
from streams.samples import read_samples, split_of

FIRST_MS = 1_700_000_000_000 // DAY_MS * DAY_MS


def _log(folder: Path, *, items: int = 10) -> RecordedLog:
    """One user who buys an item of a new leaf category on each of ten days."""
    events = [
        Event(event_id=str(day), user_id="ann", type="purchase", ts_ms=FIRST_MS + day * DAY_MS, item_id=f"{day}")
        for day in range(10)
    ]
    about = About(
        name="Ten days",
        licence="CC0-1.0",
        source="made for a test",
        first_ts_ms=FIRST_MS,
        last_ts_ms=FIRST_MS + 10 * DAY_MS,
        events=10,
        users=1,
        items=items,
        events_by_type={"purchase": 10},
        impressions=False,
        notes="",
        importer_version=1,
    )
    shop = [Item(item_id=f"{n}", title=f"thing {n}", category=("shop", f"leaf {n}")) for n in range(items)]
    users = [UserAttributes(user_id="ann", attributes={"country": "France"})]
    return write_log(folder, about, events=events, items=shop, users=users)


def test_read_samples_gives_one_sample_per_visit_day_with_its_label(tmp_path: Path) -> None:
    """The label is known from the fourth visit day on (three before it), and every day's category is new."""
    log = read_samples(_log(tmp_path), policy=ProfilePolicy())
    assert [sample.serendipitous for sample in log.samples] == [()] * 3 + [(str(day),) for day in range(3, 10)]
    assert [sample.others for sample in log.samples] == [("0",), ("1",), ("2",)] + [()] * 7
    assert log.samples[1].digest.static != ()
    assert log.refused == 0


def test_parts_hold_every_sample_once_in_order_of_time(tmp_path: Path) -> None:
    """Ten days of time: train ends after the eighth day, validation after the ninth."""
    log = read_samples(_log(tmp_path), policy=ProfilePolicy())
    sizes = [len(log.part(name)) for name in ("train", "validation", "test")]
    assert sizes == [8, 1, 1]
    assert [*log.part("train"), *log.part("validation"), *log.part("test")] == log.samples


def test_read_samples_skips_and_counts_lines_that_are_no_events(tmp_path: Path) -> None:
    log = _log(tmp_path)
    lines = [line for _, line in read_lines(tmp_path / EVENTS)]
    write_lines(tmp_path / EVENTS, [b"no json", *lines, b'{"type":"teleport"}'])
    found = read_samples(log, policy=ProfilePolicy())
    assert (len(found.samples), found.refused) == (10, 2)


def test_read_samples_of_a_log_without_items_raises(tmp_path: Path) -> None:
    log = _log(tmp_path)
    write_lines(tmp_path / ITEMS, [])
    with pytest.raises(LogError, match="at least 1"):
        read_samples(log, policy=ProfilePolicy())


def test_split_of_the_shipped_log_is_the_chosen_one_and_of_another_shares_of_its_time(tmp_path: Path) -> None:
    assert split_of(shipped_log("online-retail")) == ONLINE_RETAIL
    assert split_of(_log(tmp_path)) == TimeSplit(FIRST_MS + 8 * DAY_MS, FIRST_MS + 9 * DAY_MS)
