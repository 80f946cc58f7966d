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
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from models.errors import DecodeError, RequestError, SerenError, Verdict, verdict
from models.profiles.exchange import ProfileTags, ProfilingRequest
from streams import codec, topics
from streams.agents.clock import Clock
from streams.agents.intake import Commit, Intake, is_cancelled
from streams.agents.limits import ProfilingLimits
from streams.agents.waiting import Waiting, WaitingQueue
from streams.deadletters.letter import attempt_of
from streams.forgetting.fences import Fences
from streams.marks import Forgotten, forgotten_of
from streams.observability.distribution import Distribution
from streams.production import Outgoing, Produce
from streams.records import Record

logger = logging.getLogger(__name__)

Infer = Callable[[Sequence[ProfilingRequest]], list[ProfileTags | SerenError]]
Run = Callable[[Infer, Sequence[ProfilingRequest]], Awaitable[list[ProfileTags | SerenError]]]


class ProfilingWorker(Intake[ProfilingRequest]):
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
        queue = WaitingQueue[ProfilingRequest](lambda request: request.user_id)
        super().__init__(topics.PROFILING, queue, produce=produce, commit=commit, max_waiting=limits.max_waiting, clock=clock)
        self.answer_s = Distribution()
        self._infer = infer
        self._limits = limits
        self._run = run
        self._forgotten = Fences(remembered_count=limits.max_waiting)
        self._failures = 0  # questions in a row that failed

    # ------------------------------------------------------------------ questions in

    async def _read(self, partition: int, record: Record) -> Waiting[ProfilingRequest] | None:
        if forgotten := forgotten_of(record):
            self._forget(codec.decode_key(record.key, "user_id"), forgotten)
            return None
        request = codec.decode_question(record.value or b"")
        if self._is_forgotten(request):
            return None
        return Waiting(request, partition, record.offset, attempt=attempt_of(record.headers))

    def _encode(self, asked: ProfilingRequest) -> bytes:
        return codec.encode_question(asked)

    def _forget(self, user_id: str, forgotten: Forgotten) -> None:
        """No question from before is asked or answered."""
        self._forgotten.put(user_id, (forgotten.epoch, forgotten.offset))
        waiting = self._queue.of(user_id)
        if waiting is not None and self._is_forgotten(waiting.request):
            self._drop(waiting)
        self.counts["users_forgotten"] += 1

    def _is_forgotten(self, request: ProfilingRequest) -> bool:
        return self._forgotten.cover(request.user_id, (request.epoch, request.offset))

    # ------------------------------------------------------------------ answers out

    async def serve_forever(self) -> None:
        """Asks what waits, batch by batch, the oldest first."""
        while not is_cancelled():
            await self._serve_batch(await self._next_batch(self._limits.batch))

    async def _serve_batch(self, batch: list[Waiting[ProfilingRequest]]) -> None:
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

    async def _settle(self, waiting: Waiting[ProfilingRequest], outcome: ProfileTags | Exception) -> None:
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
        self._finish(waiting)

    async def _fail(self, waiting: Waiting[ProfilingRequest], error: Exception) -> None:
        if verdict(error) is not Verdict.BURY:
            raise error
        self._failures += not isinstance(error, RequestError | DecodeError)  # those are the question's own
        if self._failures >= self._limits.max_failures:
            logger.critical("%d questions in a row failed, the last: %s", self._failures, error)
            raise error
        await self._bury_asked(waiting, error)

    def _count(self, answer: ProfileTags) -> None:
        self.counts["answers"] += 1
        self.counts["tags"] += len(answer.short_term)
        self.counts["traits"] += len(answer.long_term or ())
        self.counts["summaries"] += answer.long_term is not None
        self.counts.update({f"refused_{reason.removeprefix('summary_')}": count for reason, count in answer.refused.items()})
