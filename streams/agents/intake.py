"""Questions in: one place a user while they wait, and an offset committed when nothing before it is unfinished.

So a crash repeats work and loses none. Knows nothing about what is asked, nor about how it is answered.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from typing import Generic

from faust.types import TP

from models.errors import SerenError, Verdict, verdict
from streams import topics
from streams.agents.clock import Clock
from streams.agents.outages import Outages
from streams.agents.unfinished import Undone, Unfinished
from streams.agents.waiting import Asked, Waiting, WaitingQueue
from streams.checkpoint import buried
from streams.deadletters.letter import DeadLetter, letter, reason_of
from streams.production import Produce
from streams.records import Record
from streams.transport import Chunk

Commit = Callable[[Mapping[TP, int]], Awaitable[bool]]


class Intake(ABC, Generic[Asked]):
    """What every worker that answers questions does with them; subclasses read and answer them.

    Args:
        topic: where the questions come from.
        queue: where they wait.
        produce: puts records on a topic (dead letters).
        commit: commits offsets to Kafka.
        max_waiting: users who wait in memory; past it the partitions are held back.
        clock: the machine's.
    """

    def __init__(
        self,
        topic: str,
        queue: WaitingQueue[Asked],
        *,
        produce: Produce,
        commit: Commit,
        max_waiting: int,
        clock: Clock,
    ) -> None:
        self.counts: Counter[str] = Counter()
        self.assigned: frozenset[int] | None = None  # None: before the first assignment, and during a rebalance
        self.outages = Outages(clock, self.counts)
        self._topic = topic
        self._queue = queue
        self._produce = produce
        self._commit = commit
        self._max_waiting = max_waiting
        self._clock = clock
        self._unfinished = Unfinished(clock, topic)
        self._changed = asyncio.Condition()

    @abstractmethod
    async def _read(self, partition: int, record: Record) -> Waiting[Asked] | None:
        """The question in a record; None where nothing is to be answered.

        Raises:
            SerenError: one to bury costs this record alone.
        """

    @abstractmethod
    def _encode(self, asked: Asked) -> bytes:
        """The question as its topic has it."""

    # ------------------------------------------------------------------ assignment

    async def take_over(self, assigned: set[TP]) -> dict[TP, int]:
        """Starts at the committed offsets, with nothing in hand."""
        async with self._changed:
            self._queue.clear()
            self.assigned = frozenset(tp.partition for tp in assigned)
            self._unfinished.start(self.assigned)
            self._changed.notify_all()  # whoever waits for room has it, and finds that its partition has gone
        return {}

    async def release(self, revoked: Iterable[TP]) -> None:
        """Lets the questions of revoked partitions go; their next owner reads them again."""
        self.assigned = None
        numbers = {tp.partition for tp in revoked}
        await self._commit_finished(numbers)
        async with self._changed:
            self._queue.drop_partitions(numbers)
            self._unfinished.drop(numbers)
            self._changed.notify_all()

    # ------------------------------------------------------------------ questions in

    async def take(self, chunk: Chunk) -> None:
        """Lets the chunk's questions wait, the newest of each user in place of the older ones."""
        life = self._unfinished.life(chunk.partition)
        for record in chunk.records:
            if life is None or self._unfinished.life(chunk.partition) is not life:
                return  # the partition has gone, perhaps while we waited: its next owner reads the rest again
            self._unfinished.take(chunk.partition, record.offset, asked_ms=record.timestamp)
            waiting = await self._read_or_bury(chunk.partition, record)
            if waiting is None:
                self._unfinished.finish(chunk.partition, record.offset)
                await self._commit_finished([chunk.partition])
                continue
            async with self._changed:
                await self._wait_for_room()
                if self._unfinished.life(chunk.partition) is not life:
                    return
                self._put(waiting)
                self._changed.notify_all()

    async def _read_or_bury(self, partition: int, record: Record) -> Waiting[Asked] | None:
        try:
            return await self._read(partition, record)
        except SerenError as error:
            if verdict(error) is not Verdict.BURY:
                raise
            await self._bury(letter(self._topic, partition, record, error))
            return None

    async def _wait_for_room(self) -> None:
        begun_s = self._clock.monotonic()
        await self._changed.wait_for(lambda: len(self._queue) < self._max_waiting)
        self.outages.paused_s["room"] += self._clock.monotonic() - begun_s

    def _put(self, waiting: Waiting[Asked]) -> None:
        superseded = self._queue.put(waiting)
        if superseded is not None:
            self.counts["coalesced"] += 1
            self._finish(superseded)

    def _drop(self, waiting: Waiting[Asked]) -> None:
        """Lets one go that waits, and needs no answer any more."""
        self._queue.drop(waiting)
        self._finish(waiting)

    # ------------------------------------------------------------------ answers out

    async def _next_batch(self, count: int) -> list[Waiting[Asked]]:
        """Waits until somebody waits; then at most `count` of them, who wait no longer."""
        async with self._changed:
            await self._changed.wait_for(lambda: len(self._queue) > 0)
            batch = self._queue.take(count)
            self._changed.notify_all()
        return batch

    async def _bury_asked(self, waiting: Waiting[Asked], error: Exception) -> None:
        dead = DeadLetter(
            self._topic,
            waiting.partition,
            waiting.offset,
            type(error).__name__,
            reason_of(error),
            waiting.request.user_id.encode(),
            self._encode(waiting.request),
            waiting.context,
            waiting.attempt,
        )
        await self._bury(dead)

    async def _bury(self, dead: DeadLetter) -> None:
        self.counts[f"dead_letters_{dead.error}"] += 1
        bury = partial(self._produce, topics.DEAD_LETTERS, [buried(dead)])
        await self.outages.retrying(bury, what=f"bury a record of {self._topic}")

    def _finish(self, waiting: Waiting[Asked]) -> None:
        self._unfinished.finish(waiting.partition, waiting.offset)

    async def _commit_finished(self, partitions: Iterable[int]) -> None:
        offsets = self._unfinished.committable(partitions)
        if offsets:
            await self._commit(offsets)

    # ------------------------------------------------------------------ what it tells of itself

    @property
    def waiting_count(self) -> int:
        """Users who wait for an answer."""
        return len(self._queue)

    def undone(self) -> list[Undone]:
        """The questions that were taken and are not finished with."""
        return self._unfinished.undone()

    def oldest_undone_s(self) -> float:
        """For how long the oldest of them has been here; 0 without any."""
        return self._unfinished.oldest_s()

    def positions(self) -> dict[TP, int]:
        """The first offset of each partition that is not finished with; -1 before the first record."""
        return self._unfinished.positions()


def is_cancelled() -> bool:
    """Python 3.11's asyncio.wait_for, with which redis-py sends, may swallow a cancellation: so look before each new work."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
