"""Laws of bad company: what one user, or anybody who can write to the topic, sends changes nothing for the others.

Records keep their offsets when the hostile ones are taken out, as Kafka's do when a log is compacted; so requests, labels and
profiles can be compared byte by byte.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import pytest

from models.entities import Event, Item
from models.profiles import Profile, decode, encode
from models.profiles.policy import DAY_MS
from streams import codec, topics
from streams.knowledge import Knowledge
from streams.partition import Partition, Rules

START_MS = 20_000 * DAY_MS
ROOM = 2_000  # offsets between two records of the others
USERS, EVENTS = 10, 200
LIVE = Rules(check_clock=True, label_digests=False)  # a digest of a user who was evicted meanwhile is left out
KNOWN = Knowledge(
    [Item(item_id=f"i{n}", title=f"thing {n}", category=("shop", f"leaf {n % 7}"), tags=("interest:tea",)) for n in range(14)],
    max_tag_bytes=48,
)


class Record(NamedTuple):
    """A Kafka record; `timestamp` is the broker's clock when it appended it."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()


def event(offset: int, user: str, kind: Any, ts_ms: int, *, event_id: str = "", arrived_ms: int | None = None) -> Record:
    item = None if kind in {"visit", "search"} else f"i{offset % 14}"
    made = Event(
        event_id=event_id or str(offset),
        user_id=user,
        type=kind,
        ts_ms=ts_ms,
        item_id=item,
        query="leaf 3 tea" if kind == "search" else None,
    )
    return Record(offset, ts_ms if arrived_ms is None else arrived_ms, user.encode(), codec.encode(made))


def others() -> list[Record]:
    """Ten users over three days, in order of time."""
    dice = random.Random(7)
    kinds = ["visit", "search", "click", "click", "purchase", "expose", "cart", "hide"]
    ts_ms, records = START_MS, []
    for place in range(EVENTS):
        ts_ms += dice.choice([1_000, 20_000, 60_000, 700_000, 7_000_000])
        records.append(event(place * ROOM, f"u{dice.randrange(USERS)}", dice.choice(kinds), ts_ms))
    return records


OTHERS = others()


def between(count: int) -> Iterator[tuple[int, int]]:
    """Places for hostile records: `count` offsets after each record of the others, with its time."""
    for record in OTHERS:
        yield from ((record.offset + 1 + place, record.timestamp) for place in range(count))


def hot_user() -> list[Record]:
    """1,000 times the events of any of the others."""
    return [event(offset, "hot", ("visit", "search", "click")[offset % 3], at_ms) for offset, at_ms in between(100)]


def garbage() -> list[Record]:
    """Nine records that are no events for one that is one."""
    dice = random.Random(3)
    whole = OTHERS[0].value or b""
    makers: list[Callable[[], Any]] = [
        lambda: {"value": dice.randbytes(dice.randrange(200))},
        lambda: {"value": whole[: dice.randrange(len(whole))]},
        lambda: {"value": whole.replace(b"ts_ms", b"ts_ns")},
        lambda: {"value": whole, "key": b"somebody else"},
        lambda: {"value": whole, "key": None},
        lambda: {"value": None},
        lambda: {"value": None, "headers": [(topics.WATERMARK_HEADER, dice.randbytes(20))]},
        lambda: {"value": b"[" * 5_000},
        lambda: {"value": whole, "headers": [("traceparent", dice.randbytes(80))], "key": b"\xff"},
    ]
    return [
        Record(**{"offset": offset, "timestamp": at_ms, "key": b"u1", "headers": ()} | dice.choice(makers)())
        for offset, at_ms in between(9)
    ]


def huge() -> list[Record]:
    """Events of exactly the bound, which count; of one byte more, and of a megabyte, which do not."""
    records = []
    for offset, at_ms in list(between(3))[:60]:
        whole = event(offset, "huge", "visit", at_ms)
        size = (codec.MESSAGE_BYTES, codec.MESSAGE_BYTES + 1, 1_000_000)[offset % ROOM - 1]
        value = (whole.value or b"")[:-1] + b',"x":"'
        records.append(whole._replace(value=value + b"x" * (size - len(value) - 2) + b'"}'))
    return records


def behind() -> list[Record]:
    """A clock that jumps back, by an hour, a month, nine years, and past the bound of ten."""
    steps = (3_600_000, 30 * DAY_MS, 9 * 365 * DAY_MS, 11 * 365 * DAY_MS)
    return [event(offset, "late", "visit", at_ms - steps[offset % 4], arrived_ms=at_ms) for offset, at_ms in between(4)]


def beyond() -> list[Record]:
    """A clock that runs more than a day ahead."""
    return [event(offset, "fast", "search", at_ms + DAY_MS + 1, arrived_ms=at_ms) for offset, at_ms in between(3)]


def duplicates() -> list[Record]:
    """A stranger who sends one event again and again, and a producer that sends every event of the others twice."""
    again = [record._replace(offset=record.offset + 1) for record in OTHERS]
    return again + [event(o, "again", "search", at_ms, event_id="one") for o, at_ms in between(5) if o % ROOM > 1]


class Ended(NamedTuple):
    """What became of a log: everything of the others, and what was counted."""

    requests: list[bytes]
    labels: list[bytes]
    profiles: dict[str, bytes]
    counts: dict[str, int]


def ended(records: list[Record], *, batch: int, max_users: int) -> Ended:
    """Runs a live partition that keeps what it changed after every batch and lets users go."""
    partition = Partition(1, epoch=1, next_offset=0, watermark_ms=0, knowledge=KNOWN, rules=LIVE)
    stored: dict[str, bytes] = {}
    requests: list[bytes] = []
    labels: list[bytes] = []
    for start in range(0, len(records), batch):
        decoded = partition.decode(records[start : start + batch])
        for user in partition.missing(one.event.user_id for one in decoded if one.event is not None):
            partition.admit(user, decode(stored[user]) if user in stored else Profile())
        for one in decoded:  # one by one, so that no request replaces another before it is seen
            partition.apply([one])
            requests += [fired.request for user, fired in sorted(partition.requests.items()) if user.startswith("u")]
            partition.requests.clear()
        labels += [codec.encode(label) for label in partition.labels if label.user_id.startswith("u")]
        snapshot = partition.snapshot()
        stored |= {user: encode(partition.residents[user].profile) for user in snapshot.users}
        partition.settled(snapshot)
        partition.evict(max_users)
    profiles = {user: data for user, data in stored.items() if user.startswith("u")}
    return Ended(requests, labels, profiles, dict(partition.counts))


@pytest.mark.parametrize("hostile", [hot_user, garbage, huge, behind, beyond, duplicates], ids=lambda made: made.__name__)
@pytest.mark.parametrize(("batch", "max_users"), [(1_000, 1_000), (7, 3)])
def test_hostile_records_change_nothing_for_the_others(
    hostile: Callable[[], list[Record]], batch: int, max_users: int
) -> None:
    alone = ended(OTHERS, batch=batch, max_users=max_users)
    found = ended(sorted(OTHERS + hostile(), key=lambda record: record.offset), batch=batch, max_users=max_users)
    assert found[:3] == alone[:3]
    assert len(alone.requests) > USERS
    assert len(alone.labels) > 0
    assert len(alone.profiles) == USERS


def test_hostile_records_are_what_they_say() -> None:
    counts = {
        made.__name__: ended(sorted(OTHERS + made(), key=lambda record: record.offset), batch=500, max_users=99).counts
        for made in (hot_user, garbage, huge, behind, beyond, duplicates)
    }
    assert counts["hot_user"]["events"] == EVENTS + 20_000  # 1,000 times the 20 that a user of ten has on average
    assert counts["garbage"]["dead_letters_DecodeError"] == 9 * EVENTS
    assert (counts["huge"]["events"], counts["huge"]["dead_letters_DecodeError"]) == (EVENTS + 20, 40)
    assert counts["behind"]["dead_letters_DecodeError"] == EVENTS
    assert counts["beyond"]["dead_letters_DecodeError"] == 3 * EVENTS
    assert counts["duplicates"]["duplicates"] >= EVENTS
