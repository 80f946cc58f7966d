from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.errors import LogError
from streams import codec
from streams.bench.amplified import Plan, amplified, cached, plan, read
from streams.recorded.logs import EVENTS, RecordedLog, shipped_log, write_lines

LOG = [
    b'{"event_id":"C1-1","user_id":"a","type":"cancel","ts_ms":1,"item_id":"x","quantity":1}',
    b'{"event_id":"v-2","user_id":"a","type":"visit","ts_ms":2}',
    b'{"event_id":"2-1","user_id":"a","type":"purchase","ts_ms":2,"item_id":"x","quantity":1}',
    b'{"event_id":"v-3","user_id":"b","type":"visit","ts_ms":3}',
    b'{"event_id":"v-4","user_id":"a","type":"visit","ts_ms":4}',
    b'{"event_id":"4-1","user_id":"a","type":"purchase","ts_ms":4,"item_id":"y","quantity":2}',
]


def a_log(folder: Path, lines: list[bytes]) -> RecordedLog:
    folder.mkdir(exist_ok=True)
    write_lines(folder / EVENTS, lines)
    return RecordedLog(folder)


def test_amplified_orders_stay_whole_and_go_to_the_next_hand(tmp_path: Path) -> None:
    log = a_log(tmp_path, LOG)
    found = list(amplified(log, Plan(events=12, users=6, copies=2, hands=2)))
    # a's cancellation before any order shares hand 0 with the order 2; the order 4 goes to hand 1; b has one order
    assert [user.decode() for user, _ in found] == [
        f"{name}.{copy}.{hand}" for name, hand in zip("aaabaa", (0, 0, 0, 0, 1, 1), strict=True) for copy in (0, 1)
    ]
    assert found[5] == (
        b"a.1.0",
        b'{"event_id":"2-1.1","user_id":"a.1.0","type":"purchase","ts_ms":2,"item_id":"x","quantity":1}',
    )


def test_plan_of_two_copies_counts_the_users_that_come_out(tmp_path: Path) -> None:
    log = a_log(tmp_path, LOG)
    found = plan(log, events=12, users=5)
    assert found == Plan(events=12, users=6, copies=2, hands=2)
    assert len({user for user, _ in amplified(log, found)}) == 6


def test_plan_for_more_users_than_events_is_an_error_that_names_both(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"users = 13 is more than 12 events"):
        plan(a_log(tmp_path, LOG), events=12, users=13)


@settings(max_examples=25, deadline=None)
@given(events=st.integers(1, 40), users=st.integers(1, 40))
def test_amplified_gives_what_its_plan_says(tmp_path_factory: pytest.TempPathFactory, events: int, users: int) -> None:
    log = a_log(tmp_path_factory.mktemp("log"), LOG)
    try:
        made = plan(log, events=events, users=users)
    except ValueError:
        # Most users come of copies of one line each: then every event has its own user.
        assert users > events
        return
    found = [(user, codec.decode_event(value)) for user, value in amplified(log, made)]
    assert len(found) == events
    assert len({user for user, _ in found}) == made.users >= users
    assert all(event.user_id.encode() == user for user, event in found)
    assert len({event.event_id for _, event in found}) == events
    assert [event.ts_ms for _, event in found] == sorted(event.ts_ms for _, event in found)


def test_amplified_shipped_log_to_five_million_has_100_000_users_with_its_own_mix_of_types() -> None:
    log = shipped_log("online-retail")
    made = plan(log, events=5_000_000, users=100_000)
    assert (made.users >= 100_000, made.copies, made.hands) == (True, 12, 3)
    small = Plan(events=9_000, users=0, copies=3, hands=3)
    types = Counter(codec.decode_event(value).type for _, value in amplified(log, small))
    own = Counter(codec.decode_event(line).type for number, line in log.events() if number <= 3_000)
    assert types == {kind: 3 * count for kind, count in own.items()}


def test_cached_file_reads_as_what_was_amplified_and_is_made_once(tmp_path: Path) -> None:
    log = a_log(tmp_path / "log", LOG)
    made = plan(log, events=11, users=5)
    path = cached(log, made, tmp_path / "bench")
    assert list(read(path)) == list(amplified(log, made))
    written_ns = path.stat().st_mtime_ns
    assert cached(log, made, tmp_path / "bench").stat().st_mtime_ns == written_ns
    assert list((tmp_path / "bench").iterdir()) == [path]


def test_amplified_of_a_line_in_another_layout_is_an_error_that_names_the_line(tmp_path: Path) -> None:
    log = a_log(tmp_path, [LOG[0], b'{"user_id":"a","event_id":"v-2","type":"visit","ts_ms":2}'])
    with pytest.raises(LogError, match=r"line 2 does not begin with event_id and user_id"):
        list(amplified(log, Plan(events=2, users=1, copies=1, hands=1)))
