"""Worker processes as `streams.app` wires them up, with Faust's part played by `Consumer`.

What of Faust matters here: on a rebalance the flow stops and the buffers are emptied, then `release` is called, and after the
join `take_over`, whose answer is where reading starts; a chunk that the agent already holds is finished; an error that nothing
handles ends the process. Knows nothing about faults.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial
from typing import Any, Protocol, cast

from faust.types import TP
from redis.asyncio import Redis

from models.entities import PackedRequest
from models.errors import SerenError
from models.pipeline import Answer
from models.serengpt.address import Decoding
from models.tiers import TierPolicy
from streams import topics
from streams.agents.answering import LowerTiers, Rung, Serve
from streams.agents.judging import JudgingWorker
from streams.agents.limits import JudgingLimits, ProfilesLimits
from streams.agents.profiles import ProfilesWorker
from streams.knowledge import Knowledge
from streams.partition import Rules
from streams.production import Outgoing, Produce
from streams.scores.engine import LoggedEngine
from streams.scores.log import ScoreLog
from streams.scores.writer import ScoreWriter
from streams.simulation.broker import Broker, Group
from streams.simulation.chance import Chance
from streams.simulation.loop import Process, ProcessClock, VirtualLoop
from streams.simulation.model import Model, SimulatedEngine, answer_below, answer_with
from streams.simulation.redis import Client, Server
from streams.slates.store import SlateStore
from streams.state import PartitionStore, ProfileStore
from streams.transport import Chunk

TENANT = "sim"
SURFACE = "home"
TICK_S = 0.4
_BUFFERED_CHUNKS = 2
_RECORDS_PER_CHUNK = 6
_HARD_TTL_MS = 86_400_000
_OF_NO_USER = (topics.DEAD_LETTERS, topics.SCORES)  # here they have one partition
_SCORES_BYTES = 4_000  # of a worker's score log: a handful of answers, so that some are evicted
_RECORD_S = 2.0
# Nobody is given up who is only frozen, or behind a slow model: those are for SerenGPT to answer, however late.
_TIERS = TierPolicy(
    failures_count=2, slow_s=60.0, late_s=60.0, queue_age_s=1e6, queue_young_s=1e6, probe_s=0.5, probes_count=2, steady_s=2.0
)

Ended = Callable[[BaseException], None]


class Worker(Protocol):
    """What Faust calls."""

    counts: Counter[str]

    async def take_over(self, assigned: set[TP]) -> dict[TP, int]: ...  # noqa: D102
    async def release(self, revoked: set[TP]) -> None: ...  # noqa: D102
    async def take(self, chunk: Chunk) -> None: ...  # noqa: D102


class Consumer:
    """One process's membership in its group, with a buffer of chunks before its agent.

    Args:
        broker: what is read.
        group: whose member it is.
        loop: the world's time.
        chance: how long things take.
    """

    def __init__(self, broker: Broker, group: Group, loop: VirtualLoop, chance: Chance) -> None:
        self.worker: Worker
        self._broker = broker
        self._group = group
        self._loop = loop
        self._chance = chance
        self._generation = -1
        self._positions: dict[TP, int] = {}
        self._flow = 0  # odd while chunks may flow; each change of it makes what was fetched before worthless
        self._called = asyncio.Event()
        self._changed = asyncio.Event()
        self._buffer: deque[Chunk] = deque()
        self._arrived = asyncio.Event()
        self._committing = asyncio.Lock()

    def called(self) -> None:
        """See `broker.Member`."""
        self._called.set()

    def appended(self) -> None:
        """There is something new to read."""
        self._changed.set()

    async def commit(self, offsets: Mapping[TP, int]) -> bool:
        """The port of the workers."""
        ours = {tp: offset for tp, offset in offsets.items() if tp in self._positions}
        async with self._committing:  # one connection to the coordinator, so one after the other
            return bool(ours) and await self._group.commit(self, self._generation, ours)

    async def belong(self) -> None:
        """One generation after another."""
        while True:
            self._called.clear()
            self._generation, assigned = await self._group.join(self)
            self._positions = {tp: self._group.committed.get(tp, 0) for tp in sorted(assigned)}
            self._positions.update(await self.worker.take_over(set(assigned)))
            self._flow += 1
            self._changed.set()
            await self._called.wait()
            await self.leave()

    async def leave(self) -> None:
        """Stops the flow and lets the partitions go."""
        if self._flow % 2:
            self._flow += 1
            self._buffer.clear()
            self._changed.set()
            await self.worker.release(set(self._positions))

    async def fetch(self) -> None:
        """Fills the buffer."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            while self._flow % 2 and await self._fetch_once():
                pass

    async def _fetch_once(self) -> bool:
        flow, partitions = self._flow, list(self._positions)
        self._chance.dice.shuffle(partitions)
        got = False
        for tp in partitions:
            records = self._broker.read(tp, self._positions[tp], self._chance.dice.randint(1, _RECORDS_PER_CHUNK))
            if not records:
                continue
            await asyncio.sleep(self._chance.latency_s())
            while len(self._buffer) >= _BUFFERED_CHUNKS and self._flow == flow:
                self._changed.clear()
                await self._changed.wait()
            if self._flow != flow:
                return True
            got = True
            self._positions[tp] = records[-1].offset + 1
            self._buffer.append(Chunk(tp.topic, tp.partition, cast("Any", records), self._broker.ends[tp]))
            self._arrived.set()
        return got

    async def agent(self) -> None:
        """Hands one chunk after another to the worker."""
        while True:
            while not self._buffer:
                self._arrived.clear()
                await self._arrived.wait()
            chunk = self._buffer.popleft()
            self._changed.set()
            await self.worker.take(chunk)


class Machinery:
    """What all processes of a world share.

    Args:
        loop: time.
        chance: the dice.
        redis: the server.
        broker: the logs.
        partitions: of every topic that is keyed by user.
        partition_of: the partition of a user.
    """

    def __init__(
        self,
        *,
        loop: VirtualLoop,
        chance: Chance,
        redis: Server,
        broker: Broker,
        partitions: int,
        partition_of: Mapping[str, int],
    ) -> None:
        self.loop = loop
        self.chance = chance
        self.redis = redis
        self.broker = broker
        self.model = Model()
        numbers = range(partitions)
        self.profiles_group = Group(
            broker, loop, chance, [TP(topic, n) for n in numbers for topic in (topics.EVENTS, topics.ATTRIBUTES)]
        )
        self.judging_group = Group(broker, loop, chance, [TP(topics.REQUESTS, n) for n in numbers])
        self._partition_of = partition_of

    def client(self) -> Redis:
        """A process's connection to Redis."""
        return cast("Redis", Client(self.redis, self.loop, self.chance))

    def producer(self) -> Produce:
        """A process's way to the topics."""

        async def produce(topic: str, records: Sequence[Outgoing]) -> None:
            for key, value, headers in records:
                partition = 0 if topic in _OF_NO_USER else self._partition_of[(key or b"").decode()]
                await self.broker.produce(TP(topic, partition), key=key, value=value, headers=headers)

        return produce


class Running:
    """A running worker process.

    Args:
        process: what its tasks belong to.
        group: its group.
        consumer: its membership.
        worker: what does the work.
        scores: the counts of its score log.
    """

    def __init__(
        self, process: Process, group: Group, consumer: Consumer, worker: Worker, scores: Counter[str] | None = None
    ) -> None:
        self.scores = Counter() if scores is None else scores
        self.process = process
        self.group = group
        self.consumer = consumer
        self.worker = worker
        consumer.worker = worker

    @property
    def counts(self) -> Counter[str]:
        """The worker's, and its score log's as `score_log_...`."""
        return self.worker.counts + Counter({f"score_log_{name}": count for name, count in self.scores.items()})

    def start(self, loop: VirtualLoop, tasks: Mapping[str, Callable[[], Coroutine[Any, Any, None]]], ended: Ended) -> None:
        """Starts its tasks; `ended` is told of an error that nothing handles."""

        def look(task: asyncio.Task[Any]) -> None:
            error = None if task.cancelled() else task.exception()
            if error is not None and self.process.state != "dead":
                ended(error)

        for name, task in {
            "belongs": self.consumer.belong,
            "fetches": self.consumer.fetch,
            "takes": self.consumer.agent,
            **tasks,
        }.items():
            loop.start(self.process, task(), name).add_done_callback(look)


def start_profiles(
    process: Process, machinery: Machinery, *, knowledge: Knowledge, rules: Rules, limits: ProfilesLimits, ended: Ended
) -> Running:
    """A profile worker, as `streams.app.profiles_app` makes one."""
    group = machinery.profiles_group
    consumer = Consumer(machinery.broker, group, machinery.loop, machinery.chance)
    client = machinery.client()
    worker = ProfilesWorker(
        knowledge=knowledge,
        profiles=ProfileStore(client, tenant=TENANT),
        partitions=PartitionStore(client, tenant=TENANT),
        produce=machinery.producer(),
        commit=consumer.commit,
        rules=rules,
        limits=limits,
        clock=ProcessClock(machinery.loop, process),
    )

    async def tick() -> None:
        while True:
            await asyncio.sleep(TICK_S)
            await worker.tick()

    running = Running(process, group, consumer, cast("Worker", worker))
    running.start(machinery.loop, {"ticks": tick}, ended)
    return running


def start_judging(
    process: Process, machinery: Machinery, *, limits: JudgingLimits, concurrency: int, answer_s: float, ended: Ended
) -> Running:
    """A judging worker, as `streams.app.judging_app` makes one; `concurrency` tasks serve, a batch takes up to `answer_s`."""
    group = machinery.judging_group
    consumer = Consumer(machinery.broker, group, machinery.loop, machinery.chance)

    async def run(serve: Serve, requests: Sequence[PackedRequest]) -> list[Answer | SerenError]:
        usual_s = machinery.chance.dice.uniform(0.001, answer_s)
        await asyncio.sleep(usual_s if serve is answer_below else machinery.model.takes_s(usual_s))
        return serve(requests)

    scores = ScoreLog(cache_bytes=_SCORES_BYTES, pending_bytes=_SCORES_BYTES)
    for record in machinery.broker.logs.get(TP(topics.SCORES, 0), ()):  # as `streams.scores.topic` reads them
        scores.read(record.value or b"", key=record.key or b"")
    model = SimulatedEngine(machinery.model)
    engine = LoggedEngine(model, scores, decoding=Decoding.of())
    worker = JudgingWorker(
        serve=partial(answer_with, engine),
        lower=LowerTiers((Rung("category", answer_below),), _TIERS, probe=partial(answer_with, model)),
        slates=SlateStore(machinery.client(), tenant=TENANT, hard_ttl_ms=_HARD_TTL_MS),
        produce=machinery.producer(),
        commit=consumer.commit,
        limits=limits,
        run=run,
        clock=ProcessClock(machinery.loop, process),
    )
    clock = ProcessClock(machinery.loop, process)
    worker.record = ScoreWriter(scores, machinery.producer(), record_s=_RECORD_S, clock=clock, pause_s=_RECORD_S).write
    running = Running(process, group, consumer, cast("Worker", worker), scores.counts)
    tasks = {f"serves {number}": worker.serve_forever for number in range(concurrency)}
    running.start(machinery.loop, tasks, ended)
    return running
