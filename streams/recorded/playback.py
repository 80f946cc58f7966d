"""A whole recorded log into Kafka: the catalogue, the users' attributes, then the events, watched through Redis."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import msgspec
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from models.entities import UserAttributes
from models.errors import BrokerUnavailable, DecodeError, SerenError
from streams import codec, topics
from streams.admin import Progress
from streams.offline.route import Line, Log, Refusals, read_items
from streams.recorded.replay import Pace, Replay, Replayed
from streams.state import PartitionStore

# Workers start within some seconds and checkpoint every second; who shows nothing for this long is not there.
PATIENCE_S = 60.0


class NoConsumers(SerenError):
    """A replay waits for profile workers, and none makes progress."""


class Consumers:
    """How far the profile workers' durable state has come.

    Args:
        store: their checkpoints.
        partitions: how many there are.
        patience_s: without any progress for this long while somebody waits, the wait is given up.
        watch: called at every look; raises when a worker that it looks after has died.
    """

    def __init__(
        self,
        store: PartitionStore,
        *,
        partitions: int,
        patience_s: float = PATIENCE_S,
        watch: Callable[[], None] | None = None,
    ) -> None:
        self._store = store
        self._partitions = partitions
        self._patience_s = patience_s
        self._watch = watch
        self._last: dict[int, int] = {}
        self._moved_s = time.monotonic()

    async def consumed(self) -> dict[int, int]:
        """The next offset of each partition's checkpoint; 0 where there is none."""
        found = {number: await self._store.read(number) for number in range(self._partitions)}
        return {number: (point.next_offset or 0) if point else 0 for number, point in found.items()}

    async def awaited(self) -> dict[int, int]:
        """The same, for whoever cannot go on without progress.

        Raises:
            NoConsumers: there was none for too long.
        """
        if self._watch is not None:
            self._watch()
        found = await self.consumed()
        if found != self._last:
            self._last, self._moved_s = found, time.monotonic()
        elif time.monotonic() - self._moved_s > self._patience_s:
            message = (
                f"no profile worker has made progress for {self._patience_s:.0f} s (checkpoints in Redis: {found}); "
                "start one with `seren worker profiles`"
            )
            raise NoConsumers(message)
        return found

    async def reach(self, ends: Mapping[int, int], *, every_s: float) -> None:
        """Waits until every partition's state covers its end. Raises `NoConsumers`."""
        self._moved_s = time.monotonic()
        while True:
            found = await self.awaited()
            if all(found.get(number, 0) >= end for number, end in ends.items()):
                return
            await asyncio.sleep(every_s)


@dataclass(frozen=True, kw_only=True)
class Fed:
    """What went into Kafka."""

    replayed: Replayed
    items: int
    users: set[str]
    refused: Refusals  # those of events are on the dead-letter topic, too


async def feed(
    log: Log,
    bootstrap: str,
    *,
    consumed: Callable[[], Awaitable[Mapping[int, int]]],
    pace: Pace,
    advance: Callable[[int], None],
) -> Fed:
    """Sends everything.

    Args:
        log: what to send.
        bootstrap: Kafka's address; the topics must be there.
        consumed: the offset up to which each partition's state is durable; asked while the replay is held back.
        pace: bounds.
        advance: told the number of events sent so far.

    Raises:
        BrokerUnavailable: Kafka is away.
        NoConsumers: from `consumed`.
    """
    refused = Refusals()
    seen = _Seen(refused)
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, linger_ms=5, max_batch_size=262_144)
    try:
        await producer.start()
    except (KafkaError, OSError) as error:
        await producer.stop()
        message = f"Kafka at {bootstrap}: {error}"
        raise BrokerUnavailable(message) from error
    try:
        starts = await _ends(bootstrap)
        replay = Replay(producer, starts=starts, consumed=consumed, pace=pace, on_progress=advance)
        items = read_items(log, refused)
        await replay.items(items)
        await replay.attributes(seen.changes(log.users()))
        replayed = await replay.events(seen.events(log.events()))
    finally:
        await producer.stop()
    return Fed(replayed=replayed, items=len(items), users=seen.users, refused=refused)


async def _ends(bootstrap: str) -> dict[int, int]:
    async with Progress(bootstrap, group="seren-profiles", topic=topics.EVENTS, partitions=topics.USER_PARTITIONS) as progress:
        return await progress.ends()


class _User(msgspec.Struct):
    user_id: str


class _Seen:
    """Notes whom the lines are about while they pass."""

    def __init__(self, refused: Refusals) -> None:
        self.users: set[str] = set()
        self._refused = refused
        self._user = msgspec.json.Decoder(_User)

    def changes(self, lines: Iterable[Line]) -> Iterator[UserAttributes]:
        for number, line in lines:
            try:
                change = codec.decode_attributes(line)
            except DecodeError as error:
                self._refused.add("users", number, error)
                continue
            self.users.add(change.user_id)
            yield change

    def events(self, lines: Iterable[Line]) -> Iterator[Line]:
        for number, line in lines:
            try:
                codec.decode_event(line)
                self.users.add(self._user.decode(line).user_id)
            except DecodeError as error:
                self._refused.add("events", number, error)
            yield number, line
