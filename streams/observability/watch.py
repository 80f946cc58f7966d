"""A look, every few seconds, at what a worker lives on: its event loop, Redis, Kafka, and whether its partitions move.

It asks Kafka by a connection of its own, so that a consumer that has silently stopped fetching is seen. What it notes is read
by other threads. Knows nothing about what is made of it (`streams.observability.health`, `streams.observability.metrics`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import NamedTuple, Protocol

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from faust.types import TP
from redis.asyncio import Redis

from models.errors import BrokerUnavailable, SerenError, StoreUnavailable
from streams.agents.clock import Clock
from streams.agents.outages import Outages, cause_of
from streams.lua.scripts import translating

BEAT_S = 0.5  # how often the event loop says that it runs
LOOK_S = 5.0  # how often Redis and Kafka are asked; an outage is seen a little later than it began
ASK_S = 5.0  # and how long they may take


class Moves(Protocol):
    """What is watched of a worker."""

    outages: Outages
    assigned: frozenset[int] | None

    def positions(self) -> dict[TP, int]:
        """The first offset of each partition that is not done; -1 where it is not known yet."""


class Ports(Protocol):
    """How the watch asks."""

    async def ping(self) -> None:
        """Returns when Redis answers. Raises `SerenError`."""

    async def ends(self, partitions: Iterable[TP]) -> Mapping[TP, int]:
        """Where partitions end, so far as there is something before the end to do. Raises `SerenError`."""


class Standing(NamedTuple):
    """A partition with records that wait: where it has stood, and since when."""

    position: int
    since_s: float


class Watch:
    """One worker's.

    Args:
        worker: whose partitions move, or do not.
        ports: how Redis and Kafka are asked.
        clock: the machine's.
        buffered: how many chunks wait before the worker.
    """

    def __init__(self, worker: Moves, ports: Ports, *, clock: Clock, buffered: Callable[[], int] = lambda: 0) -> None:
        self.clock = clock
        self.buffered = buffered
        self._worker = worker
        self._ports = ports
        self._beat_s = self._settled_s = clock.monotonic()
        self._ends: dict[TP, int] = {}
        self._standing: dict[TP, Standing] = {}

    async def beat(self) -> None:
        """Says for ever that the event loop runs."""
        while True:
            self._beat_s = self.clock.monotonic()
            await asyncio.sleep(BEAT_S)

    async def look_for_ever(self) -> None:
        """Looks again and again."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        """Asks everybody once."""
        positions = self._worker.positions()
        await self._ask("ping", self._ports.ping(), StoreUnavailable("no answer in time"))
        ends = await self._ask("ends", self._ports.ends(positions), BrokerUnavailable("no answer in time"))
        if ends is not None:
            self._ends = dict(ends)
        now_s, before = self.clock.monotonic(), self._standing
        standing = {}
        for tp, position in self._worker.positions().items():
            if self._ends.get(tp, 0) > position:
                known = before.get(tp)
                standing[tp] = known if known is not None and known.position == position else Standing(position, now_s)
        self._standing = standing
        assigned = self._worker.assigned
        if assigned is not None and assigned <= {tp.partition for tp in self._worker.positions()}:
            self._settled_s = now_s

    async def _ask(self, name: str, question: Awaitable[Mapping[TP, int] | None], late: SerenError) -> Mapping[TP, int] | None:
        try:
            async with asyncio.timeout(ASK_S):
                answer = await question
        except (SerenError, TimeoutError) as error:
            self._worker.outages.failed(name, cause_of(error if isinstance(error, SerenError) else late))
            return None
        self._worker.outages.over(name)
        return answer

    # ------------------------------------------------------------------ what was seen

    def beat_age_s(self) -> float:
        """Since the event loop last ran."""
        return max(0.0, self.clock.monotonic() - self._beat_s)

    def lags(self) -> dict[TP, int]:
        """How many records of each of the worker's partitions wait, as far as is known."""
        positions = self._worker.positions().items()
        return {tp: max(0, self._ends.get(tp, 0) - position) for tp, position in positions if position >= 0}

    def unsettled_s(self) -> float:
        """For how long the worker has not had what it was assigned, or no assignment at all; short times are noise."""
        return max(0.0, self.clock.monotonic() - self._settled_s)

    def standing_s(self) -> dict[TP, float]:
        """For how long each partition has not moved although records wait; only those."""
        now_s, positions = self.clock.monotonic(), self._worker.positions()
        return {
            tp: now_s - standing.since_s
            for tp, standing in list(self._standing.items())
            if positions.get(tp) == standing.position
        }


class Servers:
    """The real ports.

    Args:
        redis: the worker's client.
        bootstrap: Kafka's address.
        topic: one that exists; asked about while no partition is ours.
        work_ends: given the partitions' ends, where the work in them ends (`ChunkConsumer.work_ends`).
    """

    def __init__(
        self, redis: Redis, *, bootstrap: str, topic: str, work_ends: Callable[[Mapping[TP, int]], Mapping[TP, int]]
    ) -> None:
        self._redis = redis
        self._bootstrap = bootstrap
        self._topic = topic
        self._work_ends = work_ends
        self._consumer: AIOKafkaConsumer | None = None

    async def ping(self) -> None:
        """See `Ports`."""
        with translating():
            await self._redis.ping()

    async def ends(self, partitions: Iterable[TP]) -> Mapping[TP, int]:
        """See `Ports`."""
        asked = [TopicPartition(tp.topic, tp.partition) for tp in partitions]
        try:
            consumer = await self._connected()
            found = await consumer.end_offsets(asked or [TopicPartition(self._topic, 0)])
        except (KafkaError, OSError) as error:
            message = f"Kafka at {self._bootstrap}: {error}"
            raise BrokerUnavailable(message) from error
        return self._work_ends({TP(tp.topic, tp.partition): end for tp, end in found.items()})

    async def close(self) -> None:
        """Ends the connection to Kafka."""
        if self._consumer is not None:
            await self._consumer.stop()

    async def _connected(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            consumer = AIOKafkaConsumer(bootstrap_servers=self._bootstrap)
            try:
                await consumer.start()
            except BaseException:
                await consumer.stop()
                raise
            self._consumer = consumer
        return self._consumer
