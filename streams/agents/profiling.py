"""The profiling worker: questions about profiles in, a language model's tags out. One Faust agent takes, one task asks.

Of one user's waiting questions only the newest is asked. An answer is a record on `seren-profile-tags`; its question is
finished when the broker has it. A crash in between asks again, and of two answers to one question the profile takes the first.

A model that is away is tried for as long as it takes, and the topic is held back meanwhile. What it answers with no answer, or
refuses, goes to the dead letters; too many refusals in a row end the worker.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from faust.types import TP

from models.errors import DecodeError, RequestError, SerenError, Verdict, verdict
from models.profiles.exchange import ProfileTags, ProfilingRequest
from streams import codec, topics
from streams.agents.clock import Clock
from streams.agents.limits import ProfilingLimits
from streams.agents.outages import Outages
from streams.agents.unfinished import Undone, Unfinished
from streams.checkpoint import buried
from streams.deadletters.letter import DeadLetter, attempt_of, letter, reason_of
from streams.marks import forgotten_of
from streams.observability.distribution import Distribution
from streams.production import Outgoing, Produce
from streams.transport import Chunk

logger = logging.getLogger(__name__)

Infer = Callable[[Sequence[ProfilingRequest]], list[ProfileTags | SerenError]]
Commit = Callable[[Mapping[TP, int]], Awaitable[bool]]
Run = Callable[[Infer, Sequence[ProfilingRequest]], Awaitable[list[ProfileTags | SerenError]]]


class Waiting(NamedTuple):
    """A question that waits, with where it came from."""

    request: ProfilingRequest
    partition: int
    offset: int
    attempt: int


class ProfilingWorker:
    """Has questions answered.

    Args:
        infer: the profiling walk with its model; blocking.
        produce: puts records on a topic.
        commit: commits offsets to Kafka.
        limits: what bounds this worker.
        run: runs the walk beside the event loop: in a thread.
        clock: the machine's.
    """

    def __init__(
        self,
        *,
        infer: Infer,
        produce: Produce,
        commit: Commit,
        limits: ProfilingLimits,
        run: Run = asyncio.to_thread,
        clock: Clock = time,
    ) -> None:
        self.counts: Counter[str] = Counter()
        self.assigned: frozenset[int] | None = None  # None: before the first assignment, and during a rebalance
        self.outages = Outages(clock, self.counts)
        self.answer_s = Distribution()
        self._infer = infer
        self._produce = produce
        self._commit = commit
        self._limits = limits
        self._run = run
        self._clock = clock
        self._waiting: OrderedDict[str, Waiting] = OrderedDict()
        self._forgotten: OrderedDict[str, tuple[int, int]] = OrderedDict()  # user -> fence
        self._unfinished = Unfinished(clock, topics.PROFILING)
        self._changed = asyncio.Condition()
        self._failures = 0  # questions in a row that failed

    # ------------------------------------------------------------------ assignment

    async def take_over(self, assigned: set[TP]) -> dict[TP, int]:
        """Starts at the committed offsets, with nothing in hand."""
        async with self._changed:
            self._waiting.clear()
            self.assigned = frozenset(tp.partition for tp in assigned)
            self._unfinished.start(self.assigned)
            self._changed.notify_all()
        return {}

    async def release(self, revoked: Iterable[TP]) -> None:
        """Lets the questions of revoked partitions go; their next owner reads them again."""
        self.assigned = None
        numbers = {tp.partition for tp in revoked}
        await self._commit_finished(numbers)
        async with self._changed:
            for user_id in [user_id for user_id, one in self._waiting.items() if one.partition in numbers]:
                del self._waiting[user_id]
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
            request = None
            try:
                if forgotten := forgotten_of(record):
                    self._forget(codec.decode_key(record.key, "user_id"), (forgotten.epoch, forgotten.offset))
                else:
                    request = codec.decode_question(record.value or b"")
            except SerenError as error:
                if verdict(error) is not Verdict.BURY:
                    raise
                await self._bury(letter(topics.PROFILING, chunk.partition, record, error))
            if request is None or self._is_forgotten(request):
                self._unfinished.finish(chunk.partition, record.offset)
                await self._commit_finished([chunk.partition])
                continue
            async with self._changed:
                await self._wait_for_room()
                if self._unfinished.life(chunk.partition) is not life:
                    return
                self._put(Waiting(request, chunk.partition, record.offset, attempt_of(record.headers)))
                self._changed.notify_all()

    async def _wait_for_room(self) -> None:
        begun_s = self._clock.monotonic()
        await self._changed.wait_for(lambda: len(self._waiting) < self._limits.max_waiting)
        self.outages.paused_s["room"] += self._clock.monotonic() - begun_s

    def _put(self, waiting: Waiting) -> None:
        """The newest by fence, not by arrival: a zombie's question may come late."""
        other = self._waiting.get(waiting.request.user_id)
        superseded = other
        if other is not None and _fence(waiting.request) < _fence(other.request):
            superseded = waiting
        else:
            self._waiting[waiting.request.user_id] = waiting
        if superseded is not None:
            self.counts["coalesced"] += 1
            self._unfinished.finish(superseded.partition, superseded.offset)

    def _forget(self, user_id: str, fence: tuple[int, int]) -> None:
        """No question from before is asked or answered; what is remembered of users is bounded, and dies with the process."""
        self._forgotten[user_id] = max(fence, self._forgotten.pop(user_id, fence))
        if len(self._forgotten) > self._limits.max_waiting:
            self._forgotten.popitem(last=False)
        waiting = self._waiting.get(user_id)
        if waiting is not None and self._is_forgotten(waiting.request):
            del self._waiting[user_id]
            self._unfinished.finish(waiting.partition, waiting.offset)
        self.counts["users_forgotten"] += 1

    def _is_forgotten(self, request: ProfilingRequest) -> bool:
        fence = self._forgotten.get(request.user_id)
        return fence is not None and _fence(request) <= fence

    # ------------------------------------------------------------------ answers out

    async def serve_forever(self) -> None:
        """Asks what waits, batch by batch, the oldest first."""
        while not _cancelled():
            async with self._changed:
                await self._changed.wait_for(lambda: bool(self._waiting))
                batch = [self._waiting.popitem(last=False)[1] for _ in range(min(self._limits.batch, len(self._waiting)))]
                self._changed.notify_all()
            await self._serve_batch(batch)

    async def _serve_batch(self, batch: list[Waiting]) -> None:
        begun_s, left = self._clock.monotonic(), list(batch)

        async def once() -> None:
            """One try of what is left; whatever met a model that is away stays."""
            outcomes = await self._outcomes([one.request for one in left])
            away = None
            for one, outcome in list(zip(left, outcomes, strict=True)):
                if isinstance(outcome, SerenError) and verdict(outcome) is Verdict.RETRY:
                    away = outcome
                else:
                    await self._settle(one, outcome)
                    left.remove(one)
            if away is not None:
                raise away

        await self.outages.retrying(once, what="infer tags")
        self.answer_s.add(self._clock.monotonic() - begun_s)
        await self._commit_finished({one.partition for one in batch})

    async def _outcomes(self, requests: Sequence[ProfilingRequest]) -> list[ProfileTags | Exception]:
        """One outcome each. When a batch fails as a whole, each is tried alone, so that one costs no other."""
        try:
            return [*await self._run(self._infer, requests)]
        except Exception as error:
            if verdict(error) is not Verdict.BURY:
                raise
            if len(requests) == 1:
                return [error]
            logger.exception("a batch of %d questions failed; each is tried alone", len(requests))
            return [outcome for request in requests for outcome in await self._outcomes([request])]

    async def _settle(self, waiting: Waiting, outcome: ProfileTags | Exception) -> None:
        """Sends an answer, or buries its question.

        Raises:
            Exception: it must stop this worker, or was the last of too many in a row.
        """
        if self._is_forgotten(waiting.request):
            self.counts["answers_forgotten"] += 1
        elif isinstance(outcome, ProfileTags):
            self._failures = 0
            self._count(outcome)
            answer = Outgoing(outcome.user_id.encode(), codec.encode(outcome))
            await self.outages.retrying(partial(self._produce, topics.PROFILE_TAGS, [answer]), what="send tags")
        else:
            await self._fail(waiting, outcome)
        self._unfinished.finish(waiting.partition, waiting.offset)

    async def _fail(self, waiting: Waiting, error: Exception) -> None:
        if verdict(error) is not Verdict.BURY:
            raise error
        self._failures += not isinstance(error, RequestError | DecodeError)  # those are the question's own
        if self._failures >= self._limits.max_failures:
            logger.critical("%d questions in a row failed, the last: %s", self._failures, error)
            raise error
        dead = DeadLetter(
            topics.PROFILING,
            waiting.partition,
            waiting.offset,
            type(error).__name__,
            reason_of(error),
            waiting.request.user_id.encode(),
            codec.encode_question(waiting.request),
            attempt=waiting.attempt,
        )
        await self._bury(dead)

    def _count(self, answer: ProfileTags) -> None:
        self.counts["answers"] += 1
        self.counts["tags"] += len(answer.short_term)
        self.counts["traits"] += len(answer.long_term or ())
        self.counts["summaries"] += answer.long_term is not None
        self.counts.update({f"refused_{reason.removeprefix('summary_')}": count for reason, count in answer.refused.items()})

    async def _bury(self, dead: DeadLetter) -> None:
        self.counts[f"dead_letters_{dead.error}"] += 1
        await self.outages.retrying(partial(self._produce, topics.DEAD_LETTERS, [buried(dead)]), what="bury a question")

    # ------------------------------------------------------------------ what it tells of itself

    @property
    def waiting_count(self) -> int:
        """Users who wait for an answer about them."""
        return len(self._waiting)

    def undone(self) -> list[Undone]:
        """The questions that were taken and are not finished with."""
        return self._unfinished.undone()

    def oldest_undone_s(self) -> float:
        """For how long the oldest of them has been here; 0 without any."""
        return self._unfinished.oldest_s()

    def positions(self) -> dict[TP, int]:
        """The first offset of each partition that is not finished with; -1 before the first record."""
        return self._unfinished.positions()

    async def _commit_finished(self, partitions: Iterable[int]) -> None:
        offsets = self._unfinished.committable(partitions)
        if offsets:
            await self._commit(offsets)


def _cancelled() -> bool:
    """A cancellation may be swallowed on the way (Python 3.11's asyncio.wait_for): so look before each new work."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _fence(request: ProfilingRequest) -> tuple[int, int]:
    return request.epoch, request.offset
