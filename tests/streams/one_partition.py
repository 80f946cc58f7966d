"""One partition by itself: records, a small catalogue, logs by seed, and what is durable between its owners."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, cast

import msgspec
from hypothesis import settings

from models.entities import Event, Item, Request, SerendipityLabel
from models.profiles import Profile, ProfilePolicy, decode, encode, unpack
from models.profiles.policy import LongTermPolicy, WindowPolicy
from streams import codec, topics
from streams.deadletters.letter import DeadLetter
from streams.knowledge import Knowledge
from streams.partition import Partition, Rules
from streams.snapshot import Fired

DAY_MS = 86_400_000
START_MS = 20_000 * DAY_MS
STABLE = settings(max_examples=15, deadline=None, derandomize=True)


class Record(NamedTuple):
    """A Kafka record as the partition sees it."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()


def event_record(offset: int, user: str, kind: Any, at_s: float, **fields: Any) -> Record:
    """An event at `at_s` seconds after the start; its id is its offset unless it has its own."""
    ts_ms = START_MS + round(at_s * 1000)
    if kind not in {"visit", "search"}:
        fields.setdefault("item_id", "i0")
    if kind == "search":
        fields.setdefault("query", "leaf")
    fields.setdefault("event_id", str(offset))
    return Record(offset, ts_ms, user.encode(), codec.encode(Event(user_id=user, type=kind, ts_ms=ts_ms, **fields)))


def watermark(offset: int, at_s: float) -> Record:
    value = str(START_MS + round(at_s * 1000)).encode()
    return Record(offset, 0, None, None, [(topics.WATERMARK_HEADER, value)])


def knowledge() -> Knowledge:
    items = [
        Item(
            item_id=f"i{number}",
            title=f"thing {number}",
            category=("shop", f"leaf {number % 7}"),
            brand=f"brand {number % 3}",
            tags=(f"interest:hobby {number % 4}",),
        )
        for number in range(14)
    ]
    return Knowledge(items, max_tag_bytes=48)


KNOWN = knowledge()
RULES = Rules(
    check_clock=False,
    profile=ProfilePolicy(
        window=WindowPolicy(min_visit_days=1, visit_days=3),
        long_term=LongTermPolicy(cycle_days=2.0, cycles=4, min_cycles=2),
        recent_event_ids=2,  # so that only offsets can tell what was redelivered
    ),
)


class Requests(dict[str, Fired]):
    """A partition's requests that remember those that a newer one replaces before they are sent as well."""

    def __init__(self) -> None:
        super().__init__()
        self.all: list[Request] = []

    def __setitem__(self, user_id: str, fired: Fired) -> None:
        super().__setitem__(user_id, fired)
        self.all.append(read(fired))


def read(fired: Fired) -> Request:
    """A request as a judging worker reads it."""
    return unpack(codec.decode_request(fired.request), KNOWN.catalogue, RULES.profile)


def fired(by: Partition) -> list[Request]:
    """Every request that the partition has fired."""
    return cast("Requests", by.requests).all


def partition(*, epoch: int = 1, next_offset: int = 0, watermark_ms: int = 0, rules: Rules = RULES) -> Partition:
    made = Partition(3, epoch=epoch, next_offset=next_offset, watermark_ms=watermark_ms, knowledge=KNOWN, rules=rules)
    made.requests = Requests()
    return made


def take(target: Partition, records: Iterable[Record], stored: dict[str, bytes] | None = None) -> None:
    """One batch, its users admitted from what is stored, or new."""
    batch = target.decode(records)
    for user_id in target.missing(decoded.event.user_id for decoded in batch if decoded.event is not None):
        admit(target, user_id, stored or {})
    target.apply(batch)


def admit(target: Partition, user_id: str, stored: dict[str, bytes]) -> None:
    target.admit(user_id, decode(stored.get(user_id, encode(Profile()))))


def profiles(target: Partition) -> dict[str, bytes]:
    return {user_id: encode(resident.profile) for user_id, resident in target.residents.items()}


def random_log(seed: int, count: int) -> list[Record]:
    """Five users; pauses from none to weeks, late events, producer retries, unknown items, bad records, gaps of offsets.

    As a replay, it ends with a record that moves event time past every trigger.
    """
    dice = random.Random(seed)
    records: list[Record] = []
    at_s, offset = 0.0, dice.choice([-1, 10_000])
    while len(records) < count:
        offset += dice.choice([1, 1, 1, 3])
        at_s += dice.choice([0, 5, 40, 700, 4_000, 86_400, 20 * 86_400])
        user = f"u{dice.randrange(5)}"
        kind = dice.choice(["visit", "visit", "search", "click", "click", "purchase", "expose", "cart", "cancel", "hide"])
        late_s = dice.choice([0, 0, 0, 0, 20, 500, 90_000])
        record = event_record(
            offset,
            user,
            kind,
            max(0.0, at_s - late_s),
            **({} if kind in {"visit", "search"} else {"item_id": f"i{dice.randrange(16)}"}),
            **({"query": f"leaf {dice.randrange(9)} hobby 2"} if kind == "search" else {}),
        )
        chance = dice.random()
        if chance < 0.04:
            record = record._replace(value=(record.value or b"")[:-5])
        elif chance < 0.06:
            record = record._replace(key=b"somebody else")
        elif chance < 0.08:
            record = watermark(offset, at_s)
        elif chance < 0.10:
            record = record._replace(value=None)
        elif chance < 0.18 and records and records[-1].value:
            record = records[-1]._replace(offset=offset)
        records.append(record)
    return [*records, watermark(offset + 1, at_s + 2 * 86_400)]


def cut(records: list[Record], seed: int) -> list[list[Record]]:
    dice = random.Random(seed)
    batches, start = [], 0
    while start < len(records):
        size = dice.choice([1, 2, 3, 10, 40])
        batches.append(records[start : start + size])
        start += size
    return batches


def without_epoch(requests: Iterable[Request]) -> list[bytes]:
    return [codec.encode(msgspec.structs.replace(request, epoch=0)) for request in requests]


def without_digest(labels: Iterable[SerendipityLabel]) -> list[SerendipityLabel]:
    return [msgspec.structs.replace(label, digest=None) for label in labels]


class Outcome(NamedTuple):
    """Everything that a partition makes of its records."""

    profiles: dict[str, bytes]
    fired: list[bytes]
    labels: list[SerendipityLabel]
    dead_letters: list[DeadLetter]


def outcome_of(records: list[Record]) -> Outcome:
    """In one batch, never interrupted."""
    whole = partition()
    take(whole, records)
    return Outcome(profiles(whole), without_epoch(fired(whole)), whole.labels, whole.dead_letters)


class Durable:
    """What would be in Redis: users' states, timers, and the checkpoint. Its steps are those of `streams.checkpoint`."""

    def __init__(self) -> None:
        self.states: dict[str, bytes] = {}
        self.timers: set[str] = set()
        self.next_offset = 0
        self.watermark_ms = 0

    def write_states(self, source: Partition) -> None:
        for user_id in source.snapshot().users:
            if source.timer_of(user_id) is not None:
                self.timers.add(user_id)
            self.states[user_id] = encode(source.residents[user_id].profile)

    def record_checkpoint(self, source: Partition) -> None:
        self.next_offset, self.watermark_ms = source.next_offset, source.watermark_ms
        source.settled(source.snapshot())

    def new_owner(self, epoch: int) -> Partition:
        owner = partition(epoch=epoch, next_offset=self.next_offset, watermark_ms=self.watermark_ms)
        for user_id in sorted(self.timers):
            admit(owner, user_id, self.states)
        return owner
