"""Faust's consumer, handing an agent whole chunks of raw records instead of one message at a time.

Stock Faust spends about 70 us of Python on each message: four tasks in `Consumer._drain_messages`, then sensors, event objects
and acknowledgement. Here one message carries a list of records of one partition, and three more things are changed:

- Faust's own acknowledgements never commit (0.15.3 can commit past an unfinished message); `commit_offsets` is called by
  whoever keeps the offset ledger, and only then.
- After an assignment, the worker says where to start (`take_over`), because the offsets that hold are stored beside the state.
- Its clients wait for a broker that is away when they start (`ChunkApp.reach`); Faust's end the process of it.

Written against faust-streaming 0.15.3; `tests/streams/test_transport.py` checks every attribute of Faust that is used here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping
from functools import partial
from time import monotonic
from typing import Any, ClassVar, NamedTuple, cast

import faust
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import ConsumerStoppedError
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage
from mode import Service

from streams.agents.retry import retrying
from streams.connecting import start
from streams.fetching import Fetched, fetched
from streams.records import Record

# How long to wait before looking again while a partition is held back; Faust sleeps a whole second.
_HELD_BACK_S = 0.005
_FETCH_S = 1.0  # how long a fetch may wait for records; it returns as soon as there are some

TakeOver = Callable[[set[TP]], Awaitable[Mapping[TP, int]]]


class Chunk(NamedTuple):
    """Consecutive records of one partition, and the partition's end as the broker last told it."""

    topic: str
    partition: int
    records: list[Record]
    end_offset: int


class ChunkConsumer(driver.Consumer):
    """Faust's aiokafka consumer with chunks for messages."""

    app: ChunkApp

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._fetched: dict[TP, int] = {}  # behind the last record of each partition that came
        # The group's generation for whose assignment `perform_seek` has told where to start. Nothing is fetched for another
        # one: the records before the seek would be passed over, and those behind them be taken for the first.
        self._sought_generation = -1
        super().__init__(*args, **kwargs)

    def _new_consumer_thread(self) -> driver.AIOKafkaConsumerThread:
        return ChunkConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def on_started(self) -> None:
        """Reaches the broker from this side of the thread, so that what is away is noted where everything is noted."""
        thread = cast("ChunkConsumerThread", self._thread)
        await self.app.reach(self, partial(thread.call_thread, thread.connect))

    async def _drain_messages(self, fetcher: Any) -> None:
        """Reads until stopped; Faust runs this as its fetcher."""
        try:
            while not (self.should_stop or fetcher.should_stop):
                await self._drain_once()
        except self.consumer_stopped_errors:
            if not self.app.should_stop:
                raise
        except asyncio.CancelledError:
            # Amid a rebalance Faust's fetcher takes it for a wish to start again: a worker that is to end would crash instead.
            if not self.app.should_stop:
                raise

    async def _drain_once(self) -> None:
        if not self.flow_active:
            await self.wait(self.can_resume_flow)  # type: ignore[arg-type]  # mode's hint is too narrow
        active, generation = self._get_active_partitions(), self.app.consumer_generation_id
        if not active or generation != self._sought_generation:
            await self.sleep(_HELD_BACK_S)
            return
        # A fetch does not see that a partition is wanted again before it ends, and the other partitions may have nothing.
        timeout_s = _HELD_BACK_S if self._buffered_partitions - active else _FETCH_S
        came: dict[TP, Fetched] = dict(cast("Any", await self._getmany(active_partitions=set(active), timeout=timeout_s)))
        self._fetched.update((tp, records[-1].offset + 1) for tp, (records, _) in came.items())
        while came:
            if not self.flow_active or self.app.consumer_generation_id != generation:
                await self._give_back(came)
                return
            tp = next(iter(came))
            chunk = Chunk(tp.topic, tp.partition, came.pop(tp).records, self.highwater(tp) or 0)
            await self.wait_first(self.callback(self._to_chunk_message(tp, chunk)), self.suspend_flow.wait())

    async def _give_back(self, came: Mapping[TP, Fetched]) -> None:
        """Lets records of a fetch that outlasted a rebalance be fetched again, by whoever has their partitions now.

        An assignment forgets all positions, so what was fetched before it comes again by itself. What was fetched after it,
        by a call that began before, was fetched for good: there the position is just behind the records.
        """
        consumer = self._thread._ensure_consumer()  # noqa: SLF001  # what Faust's own methods do

        async def back() -> None:
            for tp, (records, position) in came.items():
                if tp in consumer.assignment() and await consumer.position(tp) == position:
                    consumer.seek(tp, records[0].offset)

        await self._thread.call_thread(back)

    def _to_chunk_message(self, tp: TP, chunk: Chunk) -> Any:
        last = chunk.records[-1]
        return ConsumerMessage(
            tp.topic,
            tp.partition,
            last.offset,
            last.timestamp / 1000,
            timestamp_type=0,
            headers=None,
            key=last.key,
            value=cast("Any", chunk),
            checksum=None,
            tp=tp,
            generation_id=self.app.consumer_generation_id,
        )

    async def commit(self, topics: Any = None, start_new_transaction: bool = True) -> bool:
        """Does nothing: acknowledgements are not what decides here."""
        return False

    async def commit_offsets(self, offsets: Mapping[TP, int]) -> bool:
        """Commits the ledger's offsets; False when the partitions have moved on to another worker, or we have left."""
        if self._thread.thread_loop.is_closed():  # a checkpoint outlasted the end of its worker: it holds without this
            return False
        assigned = self.assignment()
        ours = {tp: offset for tp, offset in offsets.items() if tp in assigned}
        # Of the others Faust would commit what is left of them, and a commit of nothing crashes it.
        return bool(ours) and await self._commit(ours) and len(ours) == len(offsets)

    def work_ends(self, ends: Mapping[TP, int]) -> dict[TP, int]:
        """Where the work in assigned partitions ends, given where they end: there, or behind the last record that came.

        An end alone would not do: the last offsets may be markers of transactions, which no consumer is given. May be called
        from another thread than the consumer's; changes nothing.
        """
        consumer = self._thread._consumer  # noqa: SLF001  # what Faust's own methods do
        subscription = consumer._subscription.subscription if consumer is not None else None  # noqa: SLF001  # aiokafka tells no other way
        assignment = subscription.assignment if subscription is not None else None
        if assignment is None:
            return {}
        states = {tp: assignment.state_value(tp) for tp in ends if tp in assignment.tps}
        return {
            tp: self._fetched.get(tp, 0) if state.has_valid_position and state.position >= ends[tp] else ends[tp]
            for tp, state in states.items()
        }

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Stops the flow in every rebalance; Faust leaves it on where there was no assignment."""
        self.stop_flow()
        await super().on_partitions_revoked(revoked)

    async def perform_seek(self) -> None:
        """After an assignment: to the committed offsets, then to where the state really ends."""
        self._fetched.clear()
        generation = self.app.consumer_generation_id  # another one may come before we are done
        await super().perform_seek()
        starts = await self.app.take_over({TP(tp.topic, tp.partition) for tp in self.assignment()})
        if starts:
            await self.seek_wait(starts)
        self._sought_generation = generation


class ChunkConsumerThread(driver.AIOKafkaConsumerThread):
    """Faust's thread around aiokafka's consumer, which starts without a broker."""

    async def on_start(self) -> None:
        """Makes the consumer, and leaves it to `connect` to start it."""
        self._consumer = self._create_consumer(loop=self.thread_loop)
        self.time_started = monotonic()

    async def connect(self) -> None:
        """One try to start the consumer. Raises as `streams.connecting.start` does."""
        await start(self._ensure_consumer())

    async def _fetch_records(
        self,
        consumer: AIOKafkaConsumer,
        active_partitions: Collection[TP],
        timeout: float | None = None,  # noqa: ASYNC109  # Faust's name
        max_records: int | None = None,
    ) -> dict[TP, Any]:
        """As Faust's own, but for records by whole batches: `Fetched` in place of lists."""
        fetcher = consumer._fetcher  # noqa: SLF001
        if not self.consumer.flow_active:
            return {}
        if consumer._closed or fetcher._closed:  # noqa: SLF001
            raise ConsumerStoppedError
        with fetcher._subscriptions.fetch_context():  # noqa: SLF001
            most = max_records or consumer._max_poll_records  # noqa: SLF001
            found = await fetched(fetcher, active_partitions, timeout_s=timeout or 0.0, most=most)
        return {TP(*tp): taken for tp, taken in found.items()}


class ChunkProducer(driver.Producer):
    """Faust's producer, which waits for a broker that is away."""

    app: ChunkApp

    async def on_start(self) -> None:
        """Makes the producer and starts it."""
        producer = self._producer = self._new_producer()
        self.beacon.add(producer)
        await self.app.reach(self, partial(start, producer))


class ChunkTransport(driver.Transport):
    """Transport that makes `ChunkConsumer`s and `ChunkProducer`s."""

    Consumer: ClassVar[Any] = ChunkConsumer
    Producer: ClassVar[Any] = ChunkProducer


class ChunkSchema(faust.Schema[Any, Any]):
    """Hands the chunk through as it is; bytes are decoded by `streams.codec`, one record at a time."""

    def loads_key(self, app: Any, message: Any, *, loads: Any = None, serializer: Any = None) -> Any:
        """The last record's key, unread."""
        return message.key

    def loads_value(self, app: Any, message: Any, *, loads: Any = None, serializer: Any = None) -> Any:
        """The chunk."""
        return message.value


class ChunkApp(faust.App):
    """A Faust app whose agents receive `Chunk`s.

    `take_over` is called with the whole assignment after each rebalance and answers where to start (partitions that it leaves
    out start at their committed offsets). `retrying` is how the broker is waited for at the start; see `streams.agents.retry`.
    """

    take_over: TakeOver
    retrying: Callable[..., Awaitable[Any]] = staticmethod(retrying)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._from_the_start: list[Callable[[], Coroutine[Any, Any, None]]] = []

    def from_the_start(self, task: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], Coroutine[Any, Any, None]]:
        """Runs a task beside the app from before its first connection; Faust's own tasks begin after the last one."""
        self._from_the_start.append(task)
        return task

    async def on_start(self) -> None:
        """Begins with the tasks that do not wait for Kafka."""
        await super().on_start()
        for task in self._from_the_start:
            self.add_future(task())

    async def reach(self, service: Service, connect: Callable[[], Awaitable[None]]) -> None:
        """Tries to connect until it works, or until the service is to stop; what no further try cures is raised."""
        await service.wait(self.retrying(connect, what="reach Kafka"))

    async def commit_offsets(self, offsets: Mapping[TP, int]) -> bool:
        """Commits the ledger's offsets; False when the partitions have moved on to another worker."""
        committed: bool = await cast("ChunkConsumer", self.consumer).commit_offsets(offsets)
        return committed

    def kafka_producer(self) -> AIOKafkaProducer:
        """Faust's own producer as aiokafka made it: Faust offers no batches."""
        producer: AIOKafkaProducer = self.producer._ensure_producer()  # type: ignore[attr-defined]  # noqa: SLF001
        return producer

    def work_ends(self, ends: Mapping[TP, int]) -> Mapping[TP, int]:
        """See `ChunkConsumer.work_ends`."""
        return cast("ChunkConsumer", self.consumer).work_ends(ends)

    def buffered(self) -> int:
        """Chunks that wait for the agents."""
        return sum(cast("Any", channel).queue.qsize() for channel in list(self.topics))

    def _create_directories(self) -> None:
        """Makes none: there are no tables, and a worker keeps nothing on disk."""

    def _new_transport(self) -> Any:
        return ChunkTransport(self.conf.broker_consumer, self)
