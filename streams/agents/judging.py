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
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec
from faust.types import TP

from models.entities import Slate, Tier
from models.errors import SerenError, Verdict, verdict
from models.fallback import nothing_for
from models.pipeline import Answer
from models.value import value_of
from streams import codec, topics
from streams.agents.answering import Answering, LowerTiers, Run, Serve
from streams.agents.clock import Clock
from streams.agents.limits import JudgingLimits
from streams.agents.outages import Outages
from streams.agents.publishing import Publisher
from streams.agents.unfinished import Undone, Unfinished
from streams.agents.waiting import Waiting, WaitingQueue, most_valuable_first
from streams.checkpoint import CAUSED_HEADER, buried
from streams.deadletters.letter import DeadLetter, attempt_of, letter, reason_of
from streams.engines.budget import Budget, Unlimited
from streams.marks import Forgotten, forgotten_of
from streams.observability.distribution import Distribution
from streams.observability.spans import NoSpans, Spans
from streams.observability.tracing import context_of, trace_id_of
from streams.production import Produce
from streams.slates.store import Publication, SlateStore
from streams.transport import Chunk

Commit = Callable[[Mapping[TP, int]], Awaitable[bool]]
_NONE = LowerTiers()


class Settling(NamedTuple):
    """Slates that were published, and are to be published again at `due_s` of the monotonic clock."""

    due_s: float
    publications: list[Publication]
    batch: list[Waiting]


class JudgingWorker:
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
        self.counts: Counter[str] = Counter()
        self.assigned: frozenset[int] | None = None  # None: before the first assignment, and during a rebalance
        self.outages = Outages(clock, self.counts)
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
        self._produce = produce
        self._commit = commit
        self._limits = limits
        self._clock = clock
        self._queue = WaitingQueue(most_valuable_first(clock, patience_s=limits.value.patience_s))
        self._unfinished = Unfinished(clock)
        self._changed = asyncio.Condition()
        self._settling: asyncio.Queue[Settling] = asyncio.Queue()  # holds what is published within `settle_s`

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
        """Lets the requests of revoked partitions go; their next owner reads them again."""
        self.assigned = None
        numbers = {tp.partition for tp in revoked}
        await self._commit_finished(numbers)
        async with self._changed:
            self._queue.drop_partitions(numbers)
            self._unfinished.drop(numbers)
            self._changed.notify_all()

    # ------------------------------------------------------------------ requests in

    async def take(self, chunk: Chunk) -> None:
        """Lets the chunk's requests wait, the newest of each user in place of the older ones."""
        life = self._unfinished.life(chunk.partition)
        for record in chunk.records:
            if life is None or self._unfinished.life(chunk.partition) is not life:
                return  # the partition has gone, perhaps while we waited: its next owner reads the rest again
            self._unfinished.take(chunk.partition, record.offset, asked_ms=record.timestamp)
            try:
                if forgotten := forgotten_of(record):
                    await self._forget(codec.decode_key(record.key, "user_id"), forgotten)
                request = None if forgotten else codec.decode_request(record.value or b"")
                value = 0.0 if request is None else value_of(request, self._limits.value)
            except SerenError as error:
                if verdict(error) is not Verdict.BURY:
                    raise
                request = None
                await self._bury(letter(topics.REQUESTS, record.partition, record, error))
            if request is None or self._publisher.is_forgotten(request):
                self._unfinished.finish(chunk.partition, record.offset)
                await self._commit_finished([chunk.partition])
                continue
            async with self._changed:
                await self._wait_for_room()
                if self._unfinished.life(chunk.partition) is not life:
                    return
                caused_ms, context = _caused_ms(record.headers), context_of(record.headers)
                attempt, since_ms = attempt_of(record.headers), record.timestamp
                self._put(Waiting(request, chunk.partition, record.offset, caused_ms, context, attempt, since_ms, value))
                self._changed.notify_all()

    async def _wait_for_room(self) -> None:
        begun_s = self._clock.monotonic()
        await self._changed.wait_for(lambda: len(self._queue) < self._limits.max_waiting)
        self.outages.paused_s["room"] += self._clock.monotonic() - begun_s

    def _put(self, waiting: Waiting) -> None:
        superseded = self._queue.put(waiting)
        if superseded is not None:
            self.counts["coalesced"] += 1
            self._finish(superseded)

    async def _forget(self, user_id: str, forgotten: Forgotten) -> None:
        def drop() -> None:
            waiting = self._queue.of(user_id, forgotten.surface)
            if waiting is not None and self._publisher.is_forgotten(waiting.request):
                self._queue.drop(waiting)
                self._finish(waiting)

        await self._publisher.forget(user_id, forgotten, beside=drop)

    async def _bury(self, dead: DeadLetter) -> None:
        self.counts[f"dead_letters_{dead.error}"] += 1
        records = [buried(dead)]
        await self.outages.retrying(lambda: self._produce(topics.DEAD_LETTERS, records), what="bury a request")

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
        while not _cancelled():
            async with self._changed:
                await self._changed.wait_for(lambda: len(self._queue) > 0)
                batch = self._queue.take(self._limits.batch)
                self._changed.notify_all()
            await self._serve_batch(batch)
            await self._pay()

    async def _pay(self) -> None:
        """Waits until the budget has room for the next batch."""
        wait_s = await self.outages.retrying(self.budget.settle, what="pay for a batch")
        if wait_s > 0:
            self.outages.paused_s["budget"] += wait_s
            await asyncio.sleep(wait_s)

    async def _serve_batch(self, batch: list[Waiting]) -> None:
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
                await self._bury_request(waiting, answer)
            else:
                publications.append(self._publication(waiting, answer, published_ms))
                answered.append(waiting)
        outcomes = await self._publisher.publish(publications)
        for waiting, publication, outcome in zip(answered, publications, outcomes, strict=True):
            if isinstance(outcome, SerenError):
                await self._bury_request(waiting, outcome)
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
        while not _cancelled():
            await asyncio.sleep(self._probe_s)
            await self._answering.probe(queue_age_s=self._queue_age_s)

    def _queue_age_s(self) -> float:
        """Since the oldest request in hand reached its topic; 0 without any, or when no broker has said when."""
        asked_ms = min((one.asked_ms for one in self.undone() if one.asked_ms > 0), default=None)
        return 0.0 if asked_ms is None else max(0.0, self._clock.time() - asked_ms / 1000)

    def _settle(self, publications: list[Publication], batch: list[Waiting]) -> None:
        self._settling.put_nowait(Settling(self._clock.monotonic() + self._limits.settle_s, publications, batch))

    async def _settle_published(self) -> None:
        while not _cancelled():
            settling = await self._settling.get()
            await asyncio.sleep(max(0.0, settling.due_s - self._clock.monotonic()))
            outcomes = await self._publisher.publish(settling.publications)
            restored = outcomes.count("accepted")
            if restored:  # these may be lost as the first ones were
                self.counts["slates_restored"] += restored
                self._settle(settling.publications, settling.batch)
            else:
                await self._finish_all(settling.batch)

    async def _finish_all(self, batch: list[Waiting]) -> None:
        for waiting in batch:
            self._finish(waiting)
        await self._commit_finished({waiting.partition for waiting in batch})

    def _publication(self, waiting: Waiting, found: Answer | None, published_ms: int) -> Publication:
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

    async def _bury_request(self, waiting: Waiting, error: Exception) -> None:
        dead = DeadLetter(
            topics.REQUESTS,
            waiting.partition,
            waiting.offset,
            type(error).__name__,
            reason_of(error),
            waiting.request.user_id.encode(),
            codec.encode_request(waiting.request),
            waiting.context,
            waiting.attempt,
        )
        await self._bury(dead)

    # ------------------------------------------------------------------ what it tells of itself

    @property
    def waiting_count(self) -> int:
        """Users who wait for a slate."""
        return len(self._queue)

    @property
    def tier(self) -> Tier:
        """Who answers now."""
        return self._answering.tier

    @property
    def tiers(self) -> tuple[Tier, ...]:
        """Who can, best first."""
        return self._answering.tiers

    @property
    def stale_replaced(self) -> int:
        """Published slates whose elder was past its soft expiry."""
        return self._publisher.stale_replaced

    def undone(self) -> list[Undone]:
        """The requests that were taken and are not finished with."""
        return self._unfinished.undone()

    def oldest_undone_s(self) -> float:
        """For how long the oldest of them has been here; 0 without any."""
        return self._unfinished.oldest_s()

    def positions(self) -> dict[TP, int]:
        """The first offset of each partition that is not finished with; -1 before the first record."""
        return self._unfinished.positions()

    # ------------------------------------------------------------------ offsets

    def _finish(self, waiting: Waiting) -> None:
        self._unfinished.finish(waiting.partition, waiting.offset)

    async def _commit_finished(self, partitions: Iterable[int]) -> None:
        offsets = self._unfinished.committable(partitions)
        if offsets:
            await self._commit(offsets)


async def _nothing() -> None:
    """There is no score log."""


def _cancelled() -> bool:
    """Python 3.11's asyncio.wait_for, with which redis-py sends, may swallow a cancellation: so look before each new work."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _caused_ms(headers: Sequence[tuple[str, bytes]]) -> int:
    for name, value in headers:
        if name == CAUSED_HEADER and value.lstrip(b"-").isdigit():
            return int(value)
    return -1
