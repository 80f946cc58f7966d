"""Laws of dated checkpoints: a day is answered by the newest that saw nothing of it."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import CheckpointError
from models.profiles.policy import DAY_MS
from models.training.refresh_card import RECORD, RefreshRecord, Window, read_record
from models.training.split import TimeSplit
from streams.training.refreshing import Dated, check_unseen, dated_checkpoints, newest_before, trained_until, windows

SPLIT = TimeSplit(10 * DAY_MS + 5, 20 * DAY_MS)


def _refreshed(folder: Path, until_ms: int) -> Path:
    folder.mkdir()
    record = RefreshRecord(
        name="tiny",
        parent="tiny@0",
        since_ms=0,
        until_ms=until_ms,
        window_days=1,
        older_days=0,
        policy={},
    )
    (folder / RECORD).write_bytes(msgspec.json.encode(record))
    return folder


@given(st.sets(st.integers(0, 30 * DAY_MS), min_size=1), st.integers(0, 40 * DAY_MS))
def test_newest_before_never_gives_a_checkpoint_that_saw_the_day(cuts: set[int], as_of_ms: int) -> None:
    dated = [Dated(cut, Path(str(cut))) for cut in sorted(cuts)]
    begins_ms = as_of_ms - as_of_ms % DAY_MS
    fit = [cut for cut in sorted(cuts) if cut <= begins_ms]
    if not fit:
        with pytest.raises(CheckpointError, match="was taught what came before"):
            newest_before(dated, as_of_ms)
        return
    assert dated[newest_before(dated, as_of_ms)].cut_ms == fit[-1]


@given(st.integers(0, 9), st.integers(1, 60), st.integers(1, 9))
def test_windows_meet_and_end_by_the_end(first: int, days: int, every: int) -> None:
    since_ms, until_ms = first * DAY_MS, (first + days) * DAY_MS
    if every > days:
        with pytest.raises(ValueError, match=f"nothing to learn from every {every} days"):
            windows(since_ms, until_ms, every_days=every)
        return
    found = windows(since_ms, until_ms, every_days=every)
    assert len(found) == days // every
    assert [window.since_ms for window in found] == [since_ms, *(window.until_ms for window in found[:-1])]
    assert found[-1].until_ms <= until_ms


def test_a_single_window_is_all_that_is_new() -> None:
    assert windows(3, 9, every_days=None) == [Window(3, 9)]
    with pytest.raises(ValueError, match="nothing to learn from between 9 and 9 ms"):
        windows(9, 9, every_days=None)


def test_dated_checkpoints_come_in_order_of_their_cuts_and_strangers_are_left_out(tmp_path: Path) -> None:
    later, earlier = _refreshed(tmp_path / "a", 9 * DAY_MS), _refreshed(tmp_path / "b", 8 * DAY_MS)
    (tmp_path / "notes").mkdir()
    found = dated_checkpoints(tmp_path, base=Path("base"), base_cut_ms=DAY_MS)
    assert found == [Dated(DAY_MS, Path("base")), Dated(8 * DAY_MS, earlier), Dated(9 * DAY_MS, later)]


def test_dated_checkpoints_of_one_cut_are_refused(tmp_path: Path) -> None:
    _refreshed(tmp_path / "a", DAY_MS)
    with pytest.raises(CheckpointError, match="both end at 86400000 ms"):
        dated_checkpoints(tmp_path, base=Path("base"), base_cut_ms=DAY_MS)


def test_a_folder_without_refreshed_checkpoints_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no refreshed checkpoint"):
        dated_checkpoints(tmp_path, base=Path("base"), base_cut_ms=DAY_MS)


def test_a_checkpoint_ends_at_its_refresh_or_with_the_train_part(tmp_path: Path) -> None:
    assert trained_until(_refreshed(tmp_path / "a", 12 * DAY_MS), SPLIT) == 12 * DAY_MS
    assert trained_until(tmp_path, SPLIT) == 10 * DAY_MS


def test_a_broken_record_is_no_record(tmp_path: Path) -> None:
    (tmp_path / RECORD).write_text("{}")
    with pytest.raises(CheckpointError, match="is no record of a refresh"):
        read_record(tmp_path)


def test_a_checkpoint_is_not_asked_about_days_that_it_was_taught(tmp_path: Path) -> None:
    checkpoint = _refreshed(tmp_path / "a", 12 * DAY_MS)
    check_unseen(checkpoint, SPLIT, [13 * DAY_MS, 12 * DAY_MS])
    with pytest.raises(CheckpointError, match=f"before {12 * DAY_MS} ms; asked about {12 * DAY_MS - 1} ms"):
        check_unseen(checkpoint, SPLIT, [13 * DAY_MS, 12 * DAY_MS - 1])
