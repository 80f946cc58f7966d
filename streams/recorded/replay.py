"""A recorded log into Kafka, in the order and at the pace that its consumers bear.

Lines that are no events go to the dead-letter topic, named by line, and the rest flows. Event time moves to the log's end with
one record per partition, so that the last triggers fire without a next event. Two replays of one log give every record the
same offset (on topics that are new), which is what makes slates comparable byte for byte.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from models.entities import Item, UserAttributes
from models.errors import BrokerUnavailable, DecodeError
from streams import codec, topics
from streams.checkpoint import buried
from streams.deadletters.letter import DeadLetter
from streams.production import partition_of

DAY_MS = 86_400_000


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How far a replay may run ahead of its consumers, and how fast event time may pass."""

    ahead_bytes: int = 3_000_000  # per partition; the embedded broker keeps 5 MiB of each and drops the oldest silently
    ahead_messages: int = 60_000  # per partition; it keeps 100,000
    speed: float = 0.0  # seconds of event time per second; 0: as fast as the consumers go
    poll_s: float = 0.05  # how often progress is asked for while held back


@dataclass(frozen=True, kw_only=True)
class Replayed:
    """What a replay sent: `starts` and `ends` are the offsets of its first record and after its last, by partition."""

    events: int
    dead_letters: int
    first_ts_ms: int
    last_ts_ms: int
    starts: dict[int, int]
    ends: dict[int, int]


class _Key(msgspec.Struct):
    user_id: str
    ts_ms: int


class Replay:
    """Sends one log's records to the topics.

    Args:
        producer: started.
        starts: the end of each partition of the events' topic before the replay.
        consumed: the offset up to which each partition's state is durable.
        pace: bounds.
        on_progress: called with the number of events sent so far.
    """

    def __init__(
        self,
        producer: AIOKafkaProducer,
        *,
        starts: Mapping[int, int],
        consumed: Callable[[], Awaitable[Mapping[int, int]]],
        pace: Pace,
        on_progress: Callable[[int], None],
    ) -> None:
        self._producer = producer
        self._numbers = sorted(starts)
        self._starts = dict(starts)
        self._consumed = consumed
        self._pace = pace
        self._on_progress = on_progress
        self._ends: Counter[int] = Counter(starts)
        self._ahead_bytes: Counter[int] = Counter()
        self._sizes: dict[int, deque[tuple[int, int]]] = {number: deque() for number in self._numbers}
        self._sent: deque[asyncio.Future[Any]] = deque()
        self._events = 0
        self._letters = 0
        self._keys = msgspec.json.Decoder(_Key)

    async def items(self, items: Iterable[Item]) -> None:
        """Puts the catalogue on its topic."""
        for item in items:
            await self._send(topics.ITEMS, item.item_id.encode(), codec.encode(item), partition=0)
        await self.flush()

    async def attributes(self, changes: Iterable[UserAttributes]) -> None:
        """Puts user attributes on their topic."""
        for change in changes:
            key = change.user_id.encode()
            await self._send(topics.ATTRIBUTES, key, codec.encode(change), partition=partition_of(key, self._numbers))
        await self.flush()

    async def events(self, lines: Iterable[tuple[int, bytes]]) -> Replayed:
        """Sends every line that is an event, then the end of the log's time.

        Raises:
            BrokerUnavailable: Kafka went away for longer than the producer waits.
        """
        first_ms = last_ms = -1
        started_s = time.monotonic()
        for number, line in lines:
            try:
                codec.decode_event(line)
                key = self._keys.decode(line)
            except DecodeError as error:
                await self._bury(number, line, error)
                continue
            if first_ms < 0:
                first_ms = key.ts_ms
            last_ms = max(last_ms, key.ts_ms)
            await self._keep_pace(started_s, key.ts_ms - first_ms)
            await self._event(key.user_id.encode(), line)
        await self._end_of_time(last_ms)
        await self.flush()
        self._on_progress(self._events)
        return Replayed(
            events=self._events,
            dead_letters=self._letters,
            first_ts_ms=first_ms,
            last_ts_ms=last_ms,
            starts=self._starts,
            ends=dict(self._ends),
        )

    async def flush(self) -> None:
        """Waits until the broker has everything that was sent."""
        try:
            await self._producer.flush()
            while self._sent:
                await self._sent.popleft()
        except KafkaError as error:
            message = f"replay: {error}"
            raise BrokerUnavailable(message) from error

    async def _event(self, key: bytes, line: bytes) -> None:
        number = partition_of(key, self._numbers)
        size = len(key) + len(line) + 64
        while self._sizes[number] and (  # an event that is larger than the bound goes alone
            self._ahead_bytes[number] + size > self._pace.ahead_bytes or len(self._sizes[number]) >= self._pace.ahead_messages
        ):
            await self._wait_for_consumers()
        self._sizes[number].append((self._ends[number], size))
        self._ahead_bytes[number] += size
        self._ends[number] += 1
        await self._send(topics.EVENTS, key, line, partition=number)
        self._events += 1
        if self._events % 2_000 == 0:
            self._on_progress(self._events)

    async def _wait_for_consumers(self) -> None:
        await self.flush()
        await asyncio.sleep(self._pace.poll_s)
        for number, offset in (await self._consumed()).items():
            sizes = self._sizes[number]
            while sizes and sizes[0][0] < offset:
                self._ahead_bytes[number] -= sizes.popleft()[1]

    async def _keep_pace(self, started_s: float, event_time_ms: int) -> None:
        if self._pace.speed <= 0:
            return
        ahead_s = event_time_ms / 1000 / self._pace.speed - (time.monotonic() - started_s)
        if ahead_s > 0:
            await self.flush()
            await asyncio.sleep(ahead_s)

    async def _end_of_time(self, last_ms: int) -> None:
        header = (topics.WATERMARK_HEADER, str(last_ms + DAY_MS).encode())
        for number in self._numbers:
            self._ends[number] += 1
            await self._send(topics.EVENTS, b"", None, partition=number, headers=[header])  # a key is asked for

    async def _bury(self, number: int, line: bytes, error: DecodeError) -> None:
        self._letters += 1
        letter = DeadLetter("replay", 0, number, type(error).__name__, f"line {number}: {error}", None, line)
        key, value, headers = buried(letter)
        await self._send(topics.DEAD_LETTERS, key, value, partition=0, headers=list(headers))

    async def _send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        *,
        partition: int,
        headers: list[tuple[str, bytes]] | None = None,
    ) -> None:
        try:
            self._sent.append(await self._producer.send(topic, value, key, partition=partition, headers=headers))
            while len(self._sent) > 10_000:
                await self._sent.popleft()
        except KafkaError as error:
            message = f"topic {topic!r}: {error}"
            raise BrokerUnavailable(message) from error
