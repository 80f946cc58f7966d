"""One profile worker on a real Redis, beside a broker that the test holds, with a clock that it moves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import redis.asyncio
from faust.types import TP

from models.entities import Event, Item, UserAttributes
from models.errors import BrokerUnavailable, StoreUnavailable
from models.profiles import ProfilePolicy, decode
from models.profiles.policy import WindowPolicy
from streams import codec, topics
from streams.agents.limits import ProfilesLimits
from streams.agents.profiles import ProfilesWorker
from streams.knowledge import Knowledge
from streams.partition import Rules
from streams.production import Outgoing
from streams.state import PartitionStore, ProfileStore, Restarted
from streams.transport import Chunk

START_MS = 20_000 * 86_400_000
NEVER_S = 1e9
KNOWN = Knowledge([Item(item_id="i0", title="thing", category=("shop", "leaf"))], max_tag_bytes=48)
REPLAY = Rules(check_clock=False, profile=ProfilePolicy(window=WindowPolicy(min_visit_days=1)))
LIVE = Rules(check_clock=True)


class Record(NamedTuple):
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()


class HandClock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def monotonic(self) -> float:
        return 5_000.0 + self.now_s

    def time(self) -> float:
        return START_MS / 1000 + self.now_s


class Broker:
    """What was produced and committed; may be away for some calls."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, bytes | None, bytes | None]] = []
        self.commits: list[dict[tuple[str, int], int]] = []
        self.away_for = 0

    async def produce(self, topic: str, records: Sequence[Outgoing]) -> None:
        if self.away_for and records:
            self.away_for -= 1
            raise BrokerUnavailable("away")
        self.sent += [(topic, record.key, record.value) for record in records]

    async def commit(self, offsets: Mapping[TP, int]) -> bool:
        self.commits.append({(tp.topic, tp.partition): offset for tp, offset in offsets.items()})
        return True

    def on(self, topic: str) -> list[bytes]:
        return [value or b"" for name, _, value in self.sent if name == topic]


class FlakyPartitions(PartitionStore):
    """The real one, away for the next `away_for` writes."""

    away_for = 0
    tries = 0

    async def write(self, partition: int, **fields: Any) -> bool | Restarted:
        self.tries += 1
        if self.away_for:
            self.away_for -= 1
            raise StoreUnavailable("away")
        return await super().write(partition, **fields)


class House:
    """One Redis and one broker, and the workers that come and go."""

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self.clock = HandClock()
        self.broker = Broker()
        self.profiles = ProfileStore(client, tenant="t")
        self.partitions = FlakyPartitions(client, tenant="t")

    async def worker(self, *numbers: int, rules: Rules = REPLAY, **limits: Any) -> ProfilesWorker:
        made = self.idle_worker(rules=rules, **limits)
        await made.take_over(assigned(*numbers))
        return made

    def idle_worker(self, *, rules: Rules = REPLAY, **limits: Any) -> ProfilesWorker:
        return ProfilesWorker(
            knowledge=KNOWN,
            profiles=self.profiles,
            partitions=self.partitions,
            produce=self.broker.produce,
            commit=self.broker.commit,
            rules=rules,
            limits=ProfilesLimits(**({"checkpoint_s": NEVER_S} | limits)),
            clock=self.clock,
        )

    async def events_of(self, user_id: str) -> int:
        state = await self.profiles.read(user_id)
        return 0 if state is None else decode(state.profile).events

    async def marker(self, number: int) -> int | None:
        found = await self.partitions.read(number)
        return None if found is None else found.next_offset


def assigned(*numbers: int) -> set[TP]:
    return {TP(topic, number) for topic in (topics.EVENTS, topics.ATTRIBUTES) for number in numbers}


def event(offset: int, user: str, at_s: float = 0.0, kind: Any = "click", **fields: Any) -> Record:
    ts_ms = START_MS + round(at_s * 1000)
    if kind == "click":
        fields.setdefault("item_id", "i0")
    value = codec.encode(Event(event_id=f"{user}-{offset}", user_id=user, type=kind, ts_ms=ts_ms, **fields))
    return Record(offset, ts_ms, user.encode(), value)


def events(*records: Record, number: int = 0) -> Chunk:
    return Chunk(topics.EVENTS, number, list(records), records[-1].offset + 1)


def clicks(first: int, after: int, number: int = 0) -> Chunk:
    """Clicks of as many users as there are offsets; a user's events are all in one partition."""
    name = f"p{number}-u" if number else "u"
    return events(*(event(offset, f"{name}{offset}", at_s=offset) for offset in range(first, after)), number=number)


def attributes(first: int, after: int) -> Chunk:
    """One change each of the users of these offsets."""
    changes = [UserAttributes(user_id=f"u{offset}", attributes={"age": "30s"}) for offset in range(first, after)]
    records: Any = [
        Record(offset, START_MS, change.user_id.encode(), codec.encode(change))
        for offset, change in zip(range(first, after), changes, strict=True)
    ]
    return Chunk(topics.ATTRIBUTES, 0, records, after)


async def until(reached: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not reached():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.01)
