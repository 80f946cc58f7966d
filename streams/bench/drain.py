"""Our profile worker on a real Kafka: draining a topic that is full already, and keeping up with one that fills."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import redis
from confluent_kafka import Producer
from redis.asyncio import Redis

from models.errors import StoreError
from models.profiles import decode
from streams import topics
from streams.bench.figures import quantile
from streams.bench.loading import MARK, PRODUCER
from streams.bench.machine import cpu_seconds, rss_bytes
from streams.demo.servers import Addresses, Servers, Worker
from streams.keys import profile_key
from streams.observability.scrape import scrape
from streams.production import partition_of
from streams.recorded.playback import Consumers
from streams.state import PartitionStore, claims_only, decode_profile_state

TENANT = "bench"
_LOOK_S = 0.05  # between two looks at the worker's checkpoints
_START_S = 90.0  # a worker joins its group and reads the catalogue in 3 s here
_TICK_S = 0.02  # between two bursts of the paced producer, and two looks at what is visible
_VISIBLE_S = 60.0
_KEYS_AT_ONCE = 5_000


@dataclass(frozen=True, kw_only=True)
class Drained:
    """What one worker did with a full topic. CPU is the worker process's own, wall time includes everybody's."""

    events: int
    in_profiles: int
    users: int
    cpu_s: float
    wall_s: float
    rss_bytes: int
    checkpoints: int
    dead_letters: int


@dataclass(frozen=True, kw_only=True)
class Visible:
    """How long events took to be in a profile that Redis shows, at a steady rate."""

    events: int
    rate: float
    p50_s: float
    p99_s: float


class Draining:
    """A worker with everything that it runs on.

    Args:
        servers: the real Kafka's and Redis's addresses, and the worker's process.
        consumers: how far its state has come.
        worker: its process.
    """

    def __init__(self, servers: Servers, consumers: Consumers, worker: Worker) -> None:
        self._servers = servers
        self._consumers = consumers
        self._worker = worker

    async def drain(self, ends: Mapping[int, int]) -> Drained:
        """Waits until every event's profile is durable. Counted from just before the first event, without the start."""
        cpu_s, wall_s = await self._started()
        await self._consumers.reach(ends, every_s=_LOOK_S)
        pid = self._worker.process.pid
        cpu_s, wall_s, rss = cpu_seconds(pid) - cpu_s, time.monotonic() - wall_s, rss_bytes(pid)
        samples = scrape(self._worker.metrics_url)
        users, in_profiles = stored_events(self._servers.redis_url)
        return Drained(
            events=sum(ends.values()),
            in_profiles=in_profiles,
            users=users,
            cpu_s=cpu_s,
            wall_s=wall_s,
            rss_bytes=rss,
            checkpoints=int(samples['seren_checkpoints_total{outcome="done"}']),
            dead_letters=int(_sum(samples, "seren_dead_letters_total")),
        )

    async def _started(self) -> tuple[float, float]:
        """CPU and wall time at the last look before the worker had applied an event."""
        deadline_s = time.monotonic() + _START_S
        before = 0.0, time.monotonic()
        while time.monotonic() < deadline_s:
            self._servers.watch()
            now = cpu_seconds(self._worker.process.pid), time.monotonic()
            try:
                if _sum(scrape(self._worker.metrics_url), "seren_events_total"):
                    return before
            except OSError:  # its metrics are not open yet
                pass
            before = now
            await asyncio.sleep(_LOOK_S)
        message = f"the worker applied no event within {_START_S:.0f} s"
        raise TimeoutError(message)

    async def pace(
        self, records: Iterator[tuple[bytes, bytes]], *, starts: Mapping[int, int], rate: float, seconds: float
    ) -> Visible:
        """Sends records at a steady rate, and looks when the checkpoint in Redis covers each.

        Args:
            records: keys and values, enough of them.
            starts: where each partition ends now; the worker has come so far.
            rate: events a second.
            seconds: how long.
        """
        told = {"bootstrap.servers": self._servers.bootstrap, "linger.ms": 5, "max.in.flight.requests.per.connection": 1}
        producer = Producer(PRODUCER | told)  # one request at a time: a repeated one could change the order
        producer.list_topics(topics.EVENTS, timeout=_START_S)  # so that the first record does not wait for the connection
        sending = Sending(starts, lambda number, key, value: producer.produce(topics.EVENTS, value, key, number))
        started_s, count = time.monotonic(), int(rate * seconds)
        while sending.sent < count or sending.open:
            passed_s = time.monotonic() - started_s
            sending.send(records, min(count, int(passed_s * rate)))
            producer.poll(0)
            sending.seen(await self._consumers.consumed())
            self._servers.watch()
            if passed_s > seconds + _VISIBLE_S:
                message = f"{sending.open} of {count} events are not visible {_VISIBLE_S:.0f} s after the last was sent"
                raise TimeoutError(message)
            await asyncio.sleep(_TICK_S)
        waits_s = sending.waits_s
        return Visible(events=count, rate=sending.rate, p50_s=quantile(waits_s, 0.5), p99_s=quantile(waits_s, 0.99))


class Sending:
    """Records on their way to Redis: when each was sent, by partition and offset.

    Args:
        starts: the end of each partition before the first of them.
        produce: puts a key and a value on a partition, in this order.
    """

    def __init__(self, starts: Mapping[int, int], produce: Callable[[int, bytes, bytes], None]) -> None:
        self.sent = 0
        self.waits_s: list[float] = []
        self._produce = produce
        self._numbers = sorted(starts)
        self._starts = dict(starts)
        self._sent_s: dict[int, list[float]] = {number: [] for number in starts}
        self._seen = dict.fromkeys(starts, 0)

    def send(self, records: Iterator[tuple[bytes, bytes]], until: int) -> None:
        """Sends records until there are so many."""
        while self.sent < until:
            key, value = next(records)
            number = partition_of(key, self._numbers)
            self._produce(number, key, value)
            self._sent_s[number].append(time.monotonic())
            self.sent += 1

    def seen(self, ends: Mapping[int, int]) -> None:
        """Notes the waits of records that are durable now."""
        now_s = time.monotonic()
        for number, end in ends.items():
            covered = min(end - self._starts[number], len(self._sent_s[number]))
            self.waits_s += [now_s - sent_s for sent_s in self._sent_s[number][self._seen[number] : covered]]
            self._seen[number] = max(self._seen[number], covered)

    @property
    def open(self) -> int:
        """Records that are sent and not seen yet."""
        return self.sent - len(self.waits_s)

    @property
    def rate(self) -> float:
        """Records a second that were really sent."""
        times = [sent_s for sent in self._sent_s.values() for sent_s in sent]
        return len(times) / (max(times) - min(times))


@asynccontextmanager
async def worker_on(kafka: str, redis_url: str, folder: Path) -> AsyncIterator[Draining]:
    """A profile worker on these servers, whose Redis is emptied before; it ends with the context.

    Args:
        kafka: "host:port".
        redis_url: of a Redis that is the benchmark's own (`empty`).
        folder: for its log and its configuration.
    """
    empty(redis_url)
    config = folder / "worker.toml"
    config.write_text(
        f'kafka.bootstrap = "{kafka}"\nredis.url = "{redis_url}"\nredis.tenant = "{TENANT}"\n'
        f"rules.check_clock = false  # the log's time is its own\n"
    )
    client = Redis.from_url(redis_url)
    try:
        with Servers(folder, Addresses(kafka=kafka, redis=redis_url), lambda _: None) as servers:
            servers.start_worker("profiles", config)
            [worker] = servers.workers("profiles")
            store = PartitionStore(client, tenant=TENANT)
            consumers = Consumers(store, partitions=topics.USER_PARTITIONS, watch=servers.watch)
            yield Draining(servers, consumers, worker)
    finally:
        await client.aclose()


def empty(redis_url: str) -> None:
    """Removes everything from the benchmark's own Redis, and marks it as such.

    Raises:
        StoreError: it holds keys that the benchmark did not put there.
    """
    with redis.Redis.from_url(redis_url) as client:
        keys = client.dbsize()
        if keys and not client.exists(MARK):
            message = f"{redis_url} holds {keys} keys of others, and the benchmark empties it: give it a Redis of its own"
            raise StoreError(message)
        client.flushdb()
        client.set(MARK, "1")


def stored_events(redis_url: str) -> tuple[int, int]:
    """Users with a stored profile, and the events that their profiles say they were made of."""
    users = events = 0
    pattern = profile_key(TENANT, "*")
    with redis.Redis.from_url(redis_url) as client:
        cursor = -1
        while cursor:
            cursor, keys = client.scan(max(cursor, 0), match=pattern, count=_KEYS_AT_ONCE)
            for value in client.mget(keys) if keys else []:
                if value is not None and not claims_only(value):
                    users += 1
                    events += decode(decode_profile_state(value).profile).events
    return users, events


def _sum(samples: Mapping[str, float], name: str) -> float:
    return sum(value for key, value in samples.items() if key.startswith(name))
