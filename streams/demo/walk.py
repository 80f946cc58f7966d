"""The walk: a recorded log into the workers, at their pace, until every event is applied and every request answered."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from redis.asyncio import Redis

from models.errors import BrokerError, BrokerUnavailable, ConfigError, SerenError, StoreUnavailable
from streams import codec, topics
from streams.admin import Progress, create_topics
from streams.demo.servers import TENANT, Servers
from streams.observability.scrape import scrape
from streams.recorded.logs import RecordedLog
from streams.recorded.replay import Pace, Replay, Replayed
from streams.state import Checkpoint, PartitionStore

_T = TypeVar("_T")
_LOOK_S = 0.25
_FAREWELL_S = 2.0  # how long a producer may take to end, whose broker may have ended before


@dataclass(frozen=True, kw_only=True)
class WalkOptions:
    """How a log is played."""

    profile_workers: int = 1
    judging_workers: int = 1
    speed: float = 0.0  # seconds of event time per second; 0: as fast as the workers go
    patience_s: float = 600.0  # without any progress for this long, the run is given up


@dataclass(frozen=True, kw_only=True)
class Walked:
    """What the walk measured."""

    replayed: Replayed
    ingest_s: float  # from the first event sent to the last one durable in Redis
    seconds: float  # from the first event sent to the last slate
    counts: dict[str, float]  # metrics of all workers, added up


@dataclass(frozen=True, kw_only=True)
class Moment:
    """How far the walk has come; shown while it runs."""

    sent: int
    applied: int
    requests: int
    slates: int


Show = Callable[[Moment], None]


async def walk(log: RecordedLog, servers: Servers, options: WalkOptions, config: Path, show: Show) -> Walked:
    """Plays the log through the workers.

    Raises:
        WorkerDied, BrokerError: a part that cannot be replaced ended.
        SerenError: nothing moved for `patience_s`.
    """
    if not servers.embedded_broker:
        await create_topics(servers.bootstrap)
    redis = Redis.from_url(servers.redis_url)
    producer = AIOKafkaProducer(bootstrap_servers=servers.bootstrap, linger_ms=5, max_batch_size=262_144)
    try:
        await _start(producer)
        async with _progress(servers, "seren-profiles", topics.EVENTS) as progress:
            starts = await progress.ends()
        await _check_fits(PartitionStore(redis, tenant=TENANT), starts)
        return await _Walk(log, servers, options, show, redis=redis, producer=producer, starts=starts).run(config)
    except BrokerError:
        servers.watch()  # where our own broker ended, it says so better
        raise
    finally:
        with suppress(TimeoutError):  # all that matters was flushed before; the rest would wait for a broker that ended
            await asyncio.wait_for(producer.stop(), _FAREWELL_S)
        await redis.aclose()


async def _start(producer: AIOKafkaProducer) -> None:
    try:
        await producer.start()
    except (KafkaError, OSError) as error:
        message = f"Kafka: {error}"
        raise BrokerUnavailable(message) from error


async def _check_fits(partitions: PartitionStore, starts: Mapping[int, int]) -> None:
    """Refuses a Redis whose state ends behind this broker's topics: every event would count as applied already."""
    for number, start in starts.items():
        found = await partitions.read(number)
        if found is not None and (found.next_offset or 0) > start:
            message = (
                f"Redis holds the state of tenant {TENANT!r} up to offset {found.next_offset} of partition {number}, and this "
                f"broker has {start}: it is of another broker; give a Redis without it"
            )
            raise ConfigError(message)


class _Walk:
    def __init__(
        self,
        log: RecordedLog,
        servers: Servers,
        options: WalkOptions,
        show: Show,
        *,
        redis: Redis,
        producer: AIOKafkaProducer,
        starts: Mapping[int, int],
    ) -> None:
        self._log = log
        self._servers = servers
        self._options = options
        self._show = show
        self._partitions = PartitionStore(redis, tenant=TENANT)
        self._sent = 0
        self._replay = Replay(
            producer,
            starts=starts,
            consumed=self._consumed,
            pace=Pace(speed=options.speed),
            on_progress=self._note_sent,
        )
        self._moved_s = time.monotonic()
        self._last = Moment(sent=0, applied=0, requests=0, slates=0)

    async def run(self, config: Path) -> Walked:
        """See `walk`."""
        await self._replay.items(codec.decode_item(line) for _, line in self._log.items())
        await self._replay.attributes(codec.decode_attributes(line) for _, line in self._log.users())
        for _ in range(self._options.profile_workers):
            self._servers.start_worker("profiles", config)
        for _ in range(self._options.judging_workers):
            self._servers.start_worker("judging", config)
        await self._until_ready()
        started_s = time.monotonic()
        watching = asyncio.create_task(self._watch())
        try:
            replayed = await _unless(watching, self._replay.events(self._log.events()))
            await _unless(watching, self._until(partial(self._applied, replayed)))
            ingest_s = time.monotonic() - started_s
            await _unless(watching, self._until(self._answered))
        finally:
            watching.cancel()
        counts = self._counts()
        return Walked(replayed=replayed, ingest_s=ingest_s, seconds=time.monotonic() - started_s, counts=counts)

    def _note_sent(self, count: int) -> None:
        self._sent = count

    async def _until_ready(self) -> None:
        """Waits until every partition has an owner, so that starting a process is not counted as work."""
        while len(await self._checkpoints()) < topics.USER_PARTITIONS:
            self._servers.watch()
            await asyncio.sleep(_LOOK_S)

    async def _watch(self) -> None:
        while True:
            self._servers.watch()
            counts = self._counts()
            moment = Moment(
                sent=self._sent,
                applied=int(counts['seren_events_total{outcome="applied"}']),
                requests=sum(int(count) for name, count in counts.items() if name.startswith("seren_requests_total"))
                - int(counts['seren_requests_superseded_total{by="newer"}'])
                - int(counts['seren_requests_served_total{outcome="coalesced"}']),
                slates=int(counts['seren_slates_total{outcome="accepted"}']),
            )
            if moment != self._last:
                self._last, self._moved_s = moment, time.monotonic()
                self._show(moment)
            elif time.monotonic() - self._moved_s > self._options.patience_s:
                message = f"nothing moved for {self._options.patience_s:.0f} s; last seen: {moment}"
                raise SerenError(message)
            await asyncio.sleep(_LOOK_S)

    async def _until(self, reached: Callable[[], Awaitable[bool]]) -> None:
        while not await reached():  # noqa: ASYNC110  # what is waited for is in other processes
            await asyncio.sleep(_LOOK_S)

    async def _applied(self, replayed: Replayed) -> bool:
        consumed = await self._consumed()
        return all(consumed.get(number, 0) >= end for number, end in replayed.ends.items())

    async def _answered(self) -> bool:
        """Whether all requests that fired are on their topic, and all of those finished."""
        counts = self._counts()
        fired = sum(count for name, count in counts.items() if name.startswith("seren_requests_total"))
        fired -= counts.get('seren_requests_superseded_total{by="newer"}', 0)
        async with _progress(self._servers, "seren-judging", topics.REQUESTS) as progress:
            sent = sum((await progress.ends()).values())
            return sent >= fired and await progress.lag() == 0

    async def _consumed(self) -> Mapping[int, int]:
        return {number: checkpoint.next_offset or 0 for number, checkpoint in (await self._checkpoints()).items()}

    async def _checkpoints(self) -> dict[int, Checkpoint]:
        """The partitions that have an owner; none while Redis is away."""
        try:
            found = {number: await self._partitions.read(number) for number in range(topics.USER_PARTITIONS)}
        except StoreUnavailable:
            return {}
        return {number: checkpoint for number, checkpoint in found.items() if checkpoint is not None}

    def _counts(self) -> dict[str, float]:
        counts: defaultdict[str, float] = defaultdict(float)
        for kind in ("profiles", "judging"):
            for worker in self._servers.workers(kind):
                try:
                    for name, value in scrape(worker.metrics_url).items():
                        counts[name] += value
                except OSError:
                    continue  # it is still starting; a worker that died is noticed by watch
        return counts


async def _unless(watching: asyncio.Task[None], work: Coroutine[Any, Any, _T]) -> _T:
    """The work's result, unless the watch ends first: it ends with an error, and that is what there is to say."""
    working = asyncio.create_task(work)
    try:
        await asyncio.wait([watching, working], return_when=asyncio.FIRST_COMPLETED)
        if watching.done():
            await watching
        return await working
    finally:
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)


def _progress(servers: Servers, group: str, topic: str) -> Progress:
    return Progress(servers.bootstrap, group=group, topic=topic, partitions=topics.USER_PARTITIONS)
