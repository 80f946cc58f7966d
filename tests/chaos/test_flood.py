"""Laws of the flood: every event is one, and how many each user has is known from their number alone."""

from __future__ import annotations

from collections import Counter
from itertools import islice

import pytest

from models.errors import LogError
from streams import codec
from streams.chaos.flood import GENERATIONS, Flood
from streams.recorded.logs import RecordedLog

LINES = [
    b'{"event_id":"v-1","user_id":"a","type":"visit","ts_ms":1000}',
    b'{"event_id":"1-1","user_id":"a","type":"purchase","ts_ms":1500,"item_id":"i","quantity":2}',
    b'{"event_id":"v-2","user_id":"b","type":"visit","ts_ms":3000}',
]


def test_events_of_the_log_are_events_in_every_round(small_log: RecordedLog) -> None:
    lines = [line for _, line in small_log.events()]
    for key, value in islice(Flood(lines), len(lines) + 50):
        assert codec.decode_event(value).user_id.encode() == key


def test_first_rounds_have_users_of_their_own_and_the_later_ones_are_later_days_of_them() -> None:
    events = [codec.decode_event(value) for _, value in islice(Flood(LINES), 3 * (GENERATIONS + 1))]
    assert [(one.event_id, one.user_id, one.ts_ms) for one in events[:4]] == [
        ("v-1~0", "a~0", 1000),
        ("1-1~0", "a~0", 1500),
        ("v-2~0", "b~0", 3000),
        ("v-1~1", "a~1", 1000),
    ]
    again = events[3 * GENERATIONS]
    assert (again.event_id, again.user_id, again.ts_ms) == (f"v-1~{GENERATIONS}", "a~0", 1000 + 2001)
    assert len({one.event_id for one in events}) == len(events)


@pytest.mark.parametrize("count", [1, 2, 3, 5, 3 * GENERATIONS, 3 * GENERATIONS + 1, 7 * GENERATIONS + 2])
def test_counts_are_those_of_the_events(count: int) -> None:
    flood = Flood(LINES)
    assert flood.counts(count) == Counter(key.decode() for key, _ in islice(flood, count))


def test_line_of_another_shape_is_refused_by_name() -> None:
    with pytest.raises(LogError, match="nap"):
        Flood([b'{"user_id":"a","type":"nap"}'])
