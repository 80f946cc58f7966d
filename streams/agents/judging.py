"""The judging worker: requests in, slates out. One Faust agent takes requests; tasks serve them in batches.

Of one user's waiting requests only the newest is answered; the others are finished with it. An offset is committed when
nothing before it is unfinished, after the slates are in Redis. So a crash repeats work and loses none, and the fence makes the
repetition invisible.

A Redis that dies may lose what it acknowledged in its last second. So a slate is published twice: at once, and again after
`JudgingLimits.settle_s`, which brings it back where it was lost, and changes nothing where it still is; only then is its
request finished. Until then readers of a lost slate find an older one, or none; a Redis that forgets more than that keeps the
older one until the user's next request.

Where SerenGPT cannot answer, a lower tier does (`streams.agents.answering`). Where none of them has an item, the last good
slate stays as it is until it expires: nothing worse is put over it. A user without one gets an empty slate of the tier
`nothing`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

import msgspec

from models.entities import PackedRequest, Slate, Tier
from models.errors import SerenError
from models.fallback import nothing_for
from models.pipeline import Answer
from models.value import value_of
from streams import codec, topics
from streams.agents.answering import Answering, LowerTiers, Run, Serve
from streams.agents.clock import Clock
from streams.agents.intake import Commit, Intake, is_cancelled
from streams.agents.limits import JudgingLimits
from streams.agents.publishing import Publisher
from streams.agents.waiting import Waiting, WaitingQueue, most_valuable_first
from streams.checkpoint import CAUSED_HEADER
from streams.deadletters.letter import attempt_of
from streams.engines.budget import Budget, Unlimited
from streams.marks import Forgotten, forgotten_of
from streams.observability.distribution import Distribution
from streams.observability.spans import NoSpans, Spans
from streams.observability.tracing import context_of, trace_id_of
from streams.production import Produce
from streams.records import Record
from streams.slates.store import Publication, SlateStore

_NONE = LowerTiers()


class Settling(NamedTuple):
    """Slates that were published, and are to be published again at `due_s` of the monotonic clock."""

    due_s: float
    publications: list[Publication]
    batch: list[Waiting[PackedRequest]]


class JudgingWorker(Intake[PackedRequest]):
    """Answers requests.

    Args:
        serve: SerenGPT's judging walk; blocking.
        lower: the tiers below it.
        slates: where slates go.
        produce: puts records on a topic (dead letters).
        commit: commits offsets to Kafka.
        limits: what bounds this worker.
        run: runs the walk beside the event loop: in a thread.
        clock: the machine's.
    """

    def __init__(
        self,
        *,
        serve: Serve,
        lower: LowerTiers = _NONE,
        slates: SlateStore,
        produce: Produce,
        commit: Commit,
        limits: JudgingLimits,
        run: Run = asyncio.to_thread,
        clock: Clock = time,
    ) -> None:
        queue = WaitingQueue(_place, most_valuable_first(clock, patience_s=limits.value.patience_s))
        super().__init__(topics.REQUESTS, queue, produce=produce, commit=commit, max_waiting=limits.max_waiting, clock=clock)
        self.spans: Spans = NoSpans()
        self.budget: Budget = Unlimited()
        self.record: Callable[[], Awaitable[None]] = _nothing  # writes the model's answers down; before a commit
        self.event_to_slate_s = Distribution()
        self.answer_s = Distribution()
        self._answering = Answering(
            serve, lower, outages=self.outages, limits=limits, run=run, clock=clock, counts=self.counts
        )
        self._probe_s = lower.policy.probe_s
        self._publisher = Publisher(slates, outages=self.outages, counts=self.counts, remembered_count=limits.max_waiting)
        self._limits = limits
        self._settling: asyncio.Queue[Settling] = asyncio.Queue()  # holds what is published within `settle_s`

    # ------------------------------------------------------------------ requests in

    async def _read(self, partition: int, record: Record) -> Waiting[PackedRequest] | None:
        if forgotten := forgotten_of(record):
            await self._forget(codec.decode_key(record.key, "user_id"), forgotten)
            return None
        request = codec.decode_request(record.value or b"")
        if self._publisher.is_forgotten(request):
            return None
        return Waiting(
            request,
            partition,
            record.offset,
            caused_ms=_caused_ms(record.headers),
            context=context_of(record.headers),
            attempt=attempt_of(record.headers),
            since_ms=record.timestamp,
            value=value_of(request, self._limits.value),
        )

    def _encode(self, asked: PackedRequest) -> bytes:
        return codec.encode_request(asked)

    async def _forget(self, user_id: str, forgotten: Forgotten) -> None:
        def drop() -> None:
            waiting = self._queue.of((user_id, forgotten.surface))
            if waiting is not None and self._publisher.is_forgotten(waiting.request):
                self._drop(waiting)

        await self._publisher.forget(user_id, forgotten, beside=drop)

    # ------------------------------------------------------------------ slates out

    async def serve_forever(self) -> None:
        """Serves what waits, batch by batch, the most valuable first, and sees to it that what was published stays."""
        serving = [self._serve_waiting() for _ in range(self._limits.side_by_side)]
        work = (*serving, self._settle_published(), self._probe_now_and_then())
        tasks = [asyncio.create_task(one) for one in work]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()

    async def _serve_waiting(self) -> None:
        while not is_cancelled():
            await self._serve_batch(await self._next_batch(self._limits.batch))
            await self._pay()

    async def _pay(self) -> None:
        """Waits until the budget has room for the next batch."""
        wait_s = await self.outages.retrying(self.budget.settle, what="pay for a batch")
        if wait_s > 0:
            self.outages.paused_s["budget"] += wait_s
            await asyncio.sleep(wait_s)

    async def _serve_batch(self, batch: list[Waiting[PackedRequest]]) -> None:
        begun_s, contexts = self._clock.monotonic(), [waiting.context for waiting in batch]
        with self.spans.during("answer", {"seren.requests": len(batch)}, contexts=contexts):
            asked = [waiting.request for waiting in batch]
            answers = await self._answering.answers(asked, queue_age_s=self._queue_age_s())
        seconds, ended_s = self._clock.monotonic() - begun_s, self._clock.time()
        self.answer_s.add(seconds)
        self.spans.of_traces("seren answer", contexts, begun_s=ended_s - seconds, ended_s=ended_s)
        published_ms = int(self._clock.time() * 1000)
        publications, answered = [], []
        for waiting, answer in zip(batch, answers, strict=True):
            if isinstance(answer, Exception):
                await self._bury_asked(waiting, answer)
            else:
                publications.append(self._publication(waiting, answer, published_ms))
                answered.append(waiting)
        outcomes = await self._publisher.publish(publications)
        for waiting, publication, outcome in zip(answered, publications, outcomes, strict=True):
            if isinstance(outcome, SerenError):
                await self._bury_asked(waiting, outcome)
                continue
            self.counts[f"slates_{outcome}"] += 1
            self.counts[f"answers_{'last_good' if outcome == 'kept' else publication.slate.tier}"] += 1
            if outcome == "accepted" and waiting.caused_ms >= 0:
                wait_s = (published_ms - waiting.caused_ms) / 1000
                self.event_to_slate_s.add(wait_s)
                self.counts["slates_late"] += wait_s > self._limits.soft_ttl_s
        await self.record()
        if self._limits.settle_s > 0 and publications:
            self._settle(publications, batch)
        else:
            await self._finish_all(batch)

    async def _probe_now_and_then(self) -> None:
        while not is_cancelled():
            await asyncio.sleep(self._probe_s)
            await self._answering.probe(queue_age_s=self._queue_age_s)

    def _queue_age_s(self) -> float:
        """Since the oldest request in hand reached its topic; 0 without any, or when no broker has said when."""
        asked_ms = min((one.asked_ms for one in self.undone() if one.asked_ms > 0), default=None)
        return 0.0 if asked_ms is None else max(0.0, self._clock.time() - asked_ms / 1000)

    def _settle(self, publications: list[Publication], batch: list[Waiting[PackedRequest]]) -> None:
        self._settling.put_nowait(Settling(self._clock.monotonic() + self._limits.settle_s, publications, batch))

    async def _settle_published(self) -> None:
        while not is_cancelled():
            settling = await self._settling.get()
            await asyncio.sleep(max(0.0, settling.due_s - self._clock.monotonic()))
            outcomes = await self._publisher.publish(settling.publications)
            restored = outcomes.count("accepted")
            if restored:  # these may be lost as the first ones were
                self.counts["slates_restored"] += restored
                self._settle(settling.publications, settling.batch)
            else:
                await self._finish_all(settling.batch)

    async def _finish_all(self, batch: list[Waiting[PackedRequest]]) -> None:
        for waiting in batch:
            self._finish(waiting)
        await self._commit_finished({waiting.partition for waiting in batch})

    def _publication(self, waiting: Waiting[PackedRequest], found: Answer | None, published_ms: int) -> Publication:
        request = waiting.request
        answer = nothing_for(request) if found is None else found
        trace = answer.trace
        if waiting.context:
            trace = msgspec.structs.replace(trace, trace_id=trace_id_of(waiting.context))
        slate = Slate(
            user_id=request.user_id,
            surface=request.surface,
            epoch=request.epoch,
            offset=request.offset,
            watermark_ms=request.as_of_ms,
            published_ms=published_ms,
            soft_expiry_ms=published_ms + int(self._limits.soft_ttl_s * 1000),
            model_id=answer.model_id,
            tier=answer.tier,
            items=answer.items,
        )
        self.counts["items"] += len(answer.items)
        return Publication(slate, trace, is_last_resort=found is None)

    # ------------------------------------------------------------------ what it tells of itself

    @property
    def tier(self) -> Tier:
        """Who answers now."""
        return self._answering.tier

    @property
    def tiers(self) -> tuple[Tier, ...]:
        """Who can, best first."""
        return self._answering.tiers

    @property
    def switches(self) -> list[dict[str, object]]:
        """The last changes of the tier, the newest first, as JSON values."""
        return self._answering.switches

    @property
    def stale_replaced(self) -> int:
        """Published slates whose elder was past its soft expiry."""
        return self._publisher.stale_replaced


async def _nothing() -> None:
    """There is no score log."""


def _place(request: PackedRequest) -> tuple[str, str]:
    return request.user_id, request.surface


def _caused_ms(headers: Sequence[tuple[str, bytes | None]]) -> int:
    for name, value in headers:
        if name == CAUSED_HEADER and value and value.lstrip(b"-").isdigit():
            return int(value)
    return -1
