"""One user's clock is its own trouble: on a live topic nobody moves event time past the broker's clock."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import pytest

from models.entities import Event, PackedRequest
from models.profiles import Profile, encode
from streams import codec, topics
from streams.knowledge import Knowledge
from streams.partition import Partition, Rules

DAY_MS = 86_400_000
START_MS = 20_000 * DAY_MS
LIVE = Rules(check_clock=True)


class Record(NamedTuple):
    """A Kafka record; `timestamp` is the broker's clock when it appended it."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()


def event(offset: int, user: str, at_s: float, *, clock_s: float | None = None, kind: str = "visit") -> Record:
    """An event that says it happened at `at_s`, appended by the broker at `clock_s` (None: at the same time)."""
    ts_ms = START_MS + round(at_s * 1000)
    said = Event(event_id=str(offset), user_id=user, type=kind, ts_ms=ts_ms, query="mug" if kind == "search" else None)
    arrived_ms = ts_ms if clock_s is None else START_MS + round(clock_s * 1000)
    return Record(offset, arrived_ms, user.encode(), codec.encode(said))


def watermark(offset: int, at_s: float, *, clock_s: float) -> Record:
    header = (topics.WATERMARK_HEADER, str(START_MS + round(at_s * 1000)).encode())
    return Record(offset, START_MS + round(clock_s * 1000), b"", None, [header])


def run(records: Sequence[Record], *, batch: int = 1_000) -> tuple[list[PackedRequest], dict[str, bytes], Partition]:
    """Every request that was fired, in order, and the profiles at the end."""
    partition = Partition(0, epoch=1, next_offset=0, watermark_ms=0, knowledge=Knowledge([], max_tag_bytes=48), rules=LIVE)
    fired: list[PackedRequest] = []
    for start in range(0, len(records), batch):
        decoded = partition.decode(records[start : start + batch])
        for user in partition.missing(one.event.user_id for one in decoded if one.event is not None):
            partition.admit(user, Profile())
        for one in decoded:  # one by one, so that no request replaces another before it is seen
            partition.apply([one])
            fired += [codec.decode_request(request.request) for request in partition.requests.values()]
            partition.requests.clear()
    return fired, {user: encode(resident.profile) for user, resident in partition.residents.items()}, partition


# A user who searches every minute for half an hour: asked once after the quiet period, then once per cool-down.
OTHERS = [event(2 * n, "victim", 60.0 * n, kind="search") for n in range(30)]
HOSTILE = {
    "a day ahead": event(1, "liar", 86_399.0, clock_s=1.0),
    "an hour ahead": event(1, "liar", 3_600.0, clock_s=1.0),
    "a watermark at the end of time": watermark(1, 2.0**40, clock_s=1.0),
}


@pytest.mark.parametrize("name", list(HOSTILE))
def test_clock_that_runs_ahead_changes_nobody_elses_requests_and_profiles(name: str) -> None:
    alone, profiles, _ = run(OTHERS)
    fired, found, _ = run(sorted([*OTHERS, HOSTILE[name]]))
    assert [request for request in fired if request.user_id == "victim"] == alone
    assert found["victim"] == profiles["victim"]
    assert [request.as_of_ms - START_MS for request in alone] == [30_000, 630_000, 1_230_000]


def test_clock_that_runs_ahead_delays_only_its_own_user() -> None:
    # 24 h ahead: its visit is due 30 s after the time it named, when event time gets there.
    fired, _, partition = run([event(0, "liar", 86_000.0, clock_s=0.0), event(1, "other", 100.0)])
    assert fired == []
    assert partition.watermark_ms == START_MS + 100_000
    fired, _, _ = run([event(0, "liar", 86_000.0, clock_s=0.0), event(1, "other", 86_030.0)])
    assert [(request.user_id, request.as_of_ms - START_MS) for request in fired] == [("liar", 86_030_000)]


def test_clock_that_runs_ahead_ends_the_same_however_the_records_are_cut() -> None:
    log = sorted([*OTHERS, HOSTILE["a day ahead"], event(61, "liar", 90_000.0, clock_s=1_800.0)])
    whole = run(log)
    for batch in (1, 7):
        assert run(log, batch=batch)[:2] == whole[:2]


def test_brokers_clock_that_jumps_ahead_and_back_moves_event_time_by_what_events_say() -> None:
    jumps = [event(0, "a", 0.0), event(1, "b", 60.0, clock_s=50_000.0), event(2, "a", 61.0), event(3, "b", 62.0, clock_s=0.0)]
    _, _, partition = run(jumps)
    assert partition.watermark_ms == START_MS + 61_000


def test_replay_takes_event_time_from_the_events_alone() -> None:
    rules = Rules(check_clock=False)
    partition = Partition(0, epoch=1, next_offset=0, watermark_ms=0, knowledge=Knowledge([], max_tag_bytes=48), rules=rules)
    partition.admit("u", Profile())
    partition.apply(partition.decode([event(0, "u", 5_000.0, clock_s=0.0)]))
    assert partition.watermark_ms == START_MS + 5_000_000
