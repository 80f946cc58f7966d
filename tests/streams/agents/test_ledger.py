"""Laws of the offset ledger: nothing unfinished is ever committed past, and everything finished is committed at last."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.agents.ledger import OffsetLedger


def test_committable_is_the_start_before_anything_was_taken() -> None:
    assert OffsetLedger(7).committable == 7


def test_committable_follows_the_oldest_unfinished_offset() -> None:
    ledger = OffsetLedger(0)
    for offset in (0, 1, 2):
        ledger.take(offset)
    ledger.finish(2)
    ledger.finish(1)
    assert (ledger.committable, ledger.open_count) == (0, 1)
    ledger.finish(0)
    assert (ledger.committable, ledger.open_count) == (3, 0)


@pytest.mark.parametrize("offset", [9, 10, 0])
def test_take_of_an_offset_that_was_passed_is_an_error(offset: int) -> None:
    ledger = OffsetLedger(10)
    ledger.take(10)
    with pytest.raises(ValueError, match="at least 11"):
        ledger.take(offset)


def test_finish_of_an_offset_that_was_never_taken_changes_nothing() -> None:
    ledger = OffsetLedger(0)
    ledger.take(3)
    ledger.finish(1)
    ledger.finish(99)
    assert (ledger.committable, ledger.open_count) == (3, 1)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.integers(0, 2**62), st.lists(st.integers(1, 5), min_size=1, max_size=30), st.data())
def test_committable_is_the_least_unfinished_offset_in_any_order_of_finishing(start: int, gaps: list[int], data: Any) -> None:
    """Offsets rise with gaps, as on a compacted topic; each is taken before or after others are finished."""
    ledger, offset, unfinished, taken = OffsetLedger(start), start - 1, set[int](), start - 1
    committed = start
    for gap in gaps:
        offset += gap
        ledger.take(offset)
        unfinished.add(offset)
        taken = offset
        for done in data.draw(st.lists(st.sampled_from(sorted(unfinished)), max_size=3)) if unfinished else []:
            ledger.finish(done)
            unfinished.discard(done)
        assert ledger.committable == (min(unfinished) if unfinished else taken + 1)
        assert ledger.committable >= committed
        committed = ledger.committable
        assert ledger.open_count == len(unfinished)
    for done in sorted(unfinished, reverse=True):
        ledger.finish(done)
    assert ledger.committable == taken + 1
