"""What bad company costs the others: their time from an event to its profile in Redis, alone and beside hostile records.

One worker process behind the embedded broker. The others' events come at a steady pace; a hostile producer adds its records
between them. An event's time ends when a checkpoint that covers it is recorded, so most of it is the wait for the next
checkpoint (`ProfilesLimits.checkpoint_s`). Each hostile run follows a run alone, and the two are a pair.
"""

from __future__ import annotations

import asyncio
import random
import tempfile
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaProducer
from redis.asyncio import Redis

from models.entities import Event
from streams import codec, topics
from streams.bench.figures import Figure, quantile
from streams.demo.servers import Addresses, Servers
from streams.production import Outgoing, partition_of, producer_of
from streams.state import PartitionStore

TENANT = "bench"
OTHERS_PER_S = 200  # an event a second of each of 200 users: a worker that is not busy, so that what is seen is not its queue
USERS = 200
SHARE = 9  # hostile records for one of the others: 90 % of the topic
_HOT_SHARE = 5  # of one user at 1,000 times the rate of each of the others
_LOOK_S = 0.005
_TICK_S = 0.02
_PATIENCE_S = 30.0
_DAY_MS = 86_400_000

Hostile = Callable[[int, int], tuple[bytes, bytes]]  # number, now in ms -> key and value


def _event(user: str, number: int, ts_ms: int, *, kind: Any = "click", event_id: str = "") -> tuple[bytes, bytes]:
    item = f"i{number % 1000}" if kind == "click" else None
    made = Event(event_id=event_id or f"{user}-{number}", user_id=user, type=kind, ts_ms=ts_ms, item_id=item)
    return user.encode(), codec.encode(made)


def _garbage(number: int, _: int) -> tuple[bytes, bytes]:
    return f"u{number % USERS}".encode(), b'{"event_id":"torn","user_id":"' + random.Random(number).randbytes(40)  # noqa: S311


def _huge(number: int, now_ms: int) -> tuple[bytes, bytes]:
    """Half of them of the bound, half a byte more."""
    key, value = _event("huge", number, now_ms, kind="visit")
    head = value[:-1] + b',"x":"'
    return key, head + b"x" * (codec.MESSAGE_BYTES + number % 2 - len(head) - 2) + b'"}'


HOSTILE: dict[str, tuple[Hostile, float, str]] = {
    "hot user": (
        lambda number, now_ms: _event("hot", number, now_ms),
        _HOT_SHARE,
        "one user at 1,000 times the others' rate",
    ),
    "garbage": (_garbage, SHARE, "nine torn records for one event"),
    "huge events": (_huge, 0.1, "one record of 64 KiB, or a byte more, for ten events: 1.3 MB/s"),
    "ahead": (
        lambda number, now_ms: _event("fast", number, now_ms + _DAY_MS * (1 + number % 2) - 60_000),
        SHARE,
        "nine events of a clock almost one, or two, days ahead for one event",
    ),
    "late": (
        lambda number, now_ms: _event(f"late{number % 50}", number, now_ms - number % 1000 * _DAY_MS),
        SHARE,
        "nine events from up to three years ago for one event",
    ),
    "duplicates": (lambda _, now_ms: _event("again", 1, now_ms, event_id="one"), SHARE, "one event nine times for one event"),
}


def beside(hostile: Sequence[str], *, seconds: float, runs: int) -> list[Figure]:
    """The others' times, alone and beside each kind of hostile records.

    Args:
        hostile: names in `HOSTILE`.
        seconds: how long events are sent in each run.
        runs: pairs of a run alone and one in company.
    """
    figures: list[Figure] = []
    for name in hostile:
        make, share, what = HOSTILE[name]
        pairs = [(_waits(None, 0.0, seconds), _waits(make, share, seconds)) for _ in range(runs)]
        for place, company in enumerate(("alone", name)):
            for share_of, label in ((0.5, "p50"), (0.99, "p99")):
                figures.append(
                    Figure(
                        name=f"event to profile {label}, {company}" + (f" (before {name})" if not place else ""),
                        unit="ms",
                        what=f"{OTHERS_PER_S} events/s of {USERS} users" + (f", beside {what}" if place else ""),
                        n=len(pairs[0][place]),
                        runs=tuple(quantile(pair[place], share_of) for pair in pairs),
                    )
                )
    return figures


def _waits(make: Hostile | None, share: float, seconds: float) -> list[float]:
    """Milliseconds from sending each of the others' events to the checkpoint that covers it, in a world of its own."""
    with tempfile.TemporaryDirectory() as folder, Servers(Path(folder), Addresses(), lambda _: None) as servers:
        config = Path(folder) / "bench.toml"
        config.write_text(
            f'kafka.bootstrap = "{servers.bootstrap}"\nkafka.manage_topics = false\n'
            f'redis.url = "{servers.redis_url}"\nredis.tenant = "{TENANT}"\n'
        )
        servers.start_worker("profiles", config)
        return asyncio.run(_Run(servers, make, share, seconds).measure())


class _Run:
    """One run: a producer at a steady pace, and a look at the checkpoints every few milliseconds."""

    def __init__(self, servers: Servers, make: Hostile | None, share: float, seconds: float) -> None:
        self._servers = servers
        self._make = make
        self._share = share
        self._seconds = seconds
        self._waiting: dict[int, deque[tuple[int, float]]] = {n: deque() for n in range(topics.USER_PARTITIONS)}
        self._waits_ms: list[float] = []

    async def measure(self) -> list[float]:
        client = Redis.from_url(self._servers.redis_url)
        producer = AIOKafkaProducer(bootstrap_servers=self._servers.bootstrap, linger_ms=2, max_batch_size=262_144)
        await producer.start()
        try:
            store = PartitionStore(client, tenant=TENANT)
            await self._warm(producer, store)
            looking = asyncio.create_task(self._look(store))
            await self._send(producer)
            async with asyncio.timeout(_PATIENCE_S):
                while any(self._waiting.values()):  # noqa: ASYNC110  # checkpoints have no event
                    await asyncio.sleep(_LOOK_S)
            looking.cancel()
        finally:
            await producer.stop()
            await client.aclose()
        return self._waits_ms

    async def _warm(self, producer: AIOKafkaProducer, store: PartitionStore) -> None:
        """Sends every user's first event, and waits until all of them are durable."""
        now_ms = int(time.time() * 1000)
        for number in range(USERS):
            await self._one(producer, *_event(f"u{number}", -1, now_ms))
        await producer.flush()
        async with asyncio.timeout(_PATIENCE_S):
            while any(self._waiting.values()):
                await self._settle(store)
                await asyncio.sleep(_LOOK_S)
        self._waits_ms.clear()

    async def _send(self, producer: AIOKafkaProducer) -> None:
        started_s = time.monotonic()
        sent, hostile = 0, 0
        produce = producer_of(lambda: producer)
        sending: list[asyncio.Future[None]] = []
        while (passed_s := time.monotonic() - started_s) < self._seconds:
            now_ms = int(time.time() * 1000)
            for number in range(sent, int(passed_s * OTHERS_PER_S)):
                await self._one(producer, *_event(f"u{number % USERS}", number, now_ms))
                sent = number + 1
            if self._make is not None:
                made = [Outgoing(*self._make(number, now_ms)) for number in range(hostile, int(sent * self._share))]
                sending.append(asyncio.ensure_future(produce(topics.EVENTS, made)))  # in batches: it must not slow us
                hostile += len(made)
            await asyncio.sleep(_TICK_S)
        await asyncio.gather(*sending)
        await producer.flush()

    async def _one(self, producer: AIOKafkaProducer, key: bytes, value: bytes) -> None:
        partition = partition_of(key, range(topics.USER_PARTITIONS))
        sent_s = time.monotonic()
        acknowledged = await producer.send(topics.EVENTS, value, key, partition=partition)
        acknowledged.add_done_callback(lambda future: self._waiting[partition].append((future.result().offset, sent_s)))

    async def _look(self, store: PartitionStore) -> None:
        while True:
            await self._settle(store)
            await asyncio.sleep(_LOOK_S)

    async def _settle(self, store: PartitionStore) -> None:
        for number, waiting in self._waiting.items():
            point = await store.read(number)
            now_s = time.monotonic()
            while waiting and point and waiting[0][0] < (point.next_offset or 0):
                self._waits_ms.append((now_s - waiting.popleft()[1]) * 1000)
