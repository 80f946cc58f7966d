"""The judging worker: requests in, slates out. One Faust agent takes requests; one task serves them in batches.

Of one user's waiting requests only the newest is answered; the others are finished with it. An offset is committed when
nothing before it is unfinished, after the slates are in Redis. So a crash repeats work and loses none, and the fence makes the
repetition invisible.

A Redis that dies may lose what it acknowledged in its last second. So a slate is published twice: at once, and again after
`JudgingLimits.settle_s`, which brings it back where it was lost, and changes nothing where it still is; only then is its
request finished. Until then readers of a lost slate find an older one, or none; a Redis that forgets more than that keeps the
older one until the user's next request.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec
from faust.types import TP

from models.entities import Request, Slate
from models.errors import RequestError, SerenError, Verdict, verdict
from models.pipeline import Answer
from streams import codec, topics
from streams.agents.clock import Clock
from streams.agents.limits import JudgingLimits
from streams.agents.outages import Outages
from streams.checkpoint import CAUSED_HEADER, buried
from streams.distribution import Distribution
from streams.ledger import OffsetLedger
from streams.letters import DeadLetter, attempt_of, letter, reason_of
from streams.marks import Forgotten, forgotten_of
from streams.production import Produce
from streams.spans import NoSpans, Spans
from streams.store import Publication, PublishOutcome, SlateStore
from streams.tracing import context_of, trace_id_of
from streams.transport import Chunk

logger = logging.getLogger(__name__)

Serve = Callable[[Sequence[Request]], list[Answer | SerenError]]
Commit = Callable[[Mapping[TP, int]], Awaitable[bool]]
Run = Callable[[Serve, Sequence[Request]], Awaitable[list[Answer | SerenError]]]


class Waiting(NamedTuple):
    """A request that waits, with where it came from and when the event behind it reached the broker (-1: unknown)."""

    request: Request
    partition: int
    offset: int
    caused_ms: int
    context: bytes = b""  # of the trace that it belongs to
    attempt: int = 1


class Undone(NamedTuple):
    """When a request was taken, by the monotonic clock, and when its topic got it (ms since 1970)."""

    taken_s: float
    asked_ms: int


class Settling(NamedTuple):
    """Slates that were published, and are to be published again at `due_s` of the monotonic clock."""

    due_s: float
    publications: list[Publication]
    batch: list[Waiting]


class JudgingWorker:
    """Answers requests.

    Args:
        serve: the judging walk; blocking.
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
        self.event_to_slate_s = Distribution()
        self.answer_s = Distribution()
        self._serve = serve
        self._slates = slates
        self._produce = produce
        self._commit = commit
        self._limits = limits
        self._run = run
        self._clock = clock
        self._waiting: OrderedDict[tuple[str, str], Waiting] = OrderedDict()
        self._ledgers: dict[int, OffsetLedger] = {}
        self._undone: dict[TP, dict[int, Undone]] = {}
        self._changed = asyncio.Condition()
        self._forgotten: OrderedDict[tuple[str, str], tuple[int, int]] = OrderedDict()  # (user, surface) -> fence
        self._publishing = asyncio.Lock()  # nobody is forgotten between the look at them and the publication
        self._failures = 0  # requests in a row that used up their tries
        self._settling: asyncio.Queue[Settling] = asyncio.Queue()  # holds what is published within `settle_s`

    # ------------------------------------------------------------------ assignment

    async def take_over(self, assigned: set[TP]) -> dict[TP, int]:
        """Starts at the committed offsets, with nothing in hand."""
        async with self._changed:
            self._waiting.clear()
            self._ledgers = {tp.partition: OffsetLedger(0) for tp in assigned}
            self._undone = {tp: {} for tp in assigned}
            self.assigned = frozenset(self._ledgers)
            self._changed.notify_all()  # whoever waits for room has it, and finds that its partition has gone
        return {}

    async def release(self, revoked: Iterable[TP]) -> None:
        """Lets the requests of revoked partitions go; their next owner reads them again."""
        self.assigned = None
        numbers = {tp.partition for tp in revoked}
        await self._commit_finished(numbers)
        async with self._changed:
            for key in [key for key, waiting in self._waiting.items() if waiting.partition in numbers]:
                del self._waiting[key]
            for number in numbers:
                self._ledgers.pop(number, None)
                self._undone.pop(TP(topics.REQUESTS, number), None)
            self._changed.notify_all()

    # ------------------------------------------------------------------ requests in

    async def take(self, chunk: Chunk) -> None:
        """Lets the chunk's requests wait, the newest of each user in place of the older ones."""
        ledger, undone = self._ledgers.get(chunk.partition), self._undone.get(TP(topics.REQUESTS, chunk.partition), {})
        for record in chunk.records:
            if ledger is None or self._ledgers.get(chunk.partition) is not ledger:
                return  # the partition has gone, perhaps while we waited: its next owner reads the rest again
            ledger.take(record.offset)
            undone[record.offset] = Undone(self._clock.monotonic(), record.timestamp)
            try:
                if forgotten := forgotten_of(record):
                    await self._forget(codec.decode_key(record.key, "user_id"), forgotten)
                request = None if forgotten else codec.decode_request(record.value or b"")
            except SerenError as error:
                if verdict(error) is not Verdict.BURY:
                    raise
                request = None
                await self._bury(letter(topics.REQUESTS, record.partition, record, error))
            if request is None or self._is_forgotten(request):
                ledger.finish(record.offset)
                undone.pop(record.offset, None)
                await self._commit_finished([chunk.partition])
                continue
            async with self._changed:
                await self._wait_for_room()
                if self._ledgers.get(chunk.partition) is not ledger:
                    return
                caused_ms, context = _caused_ms(record.headers), context_of(record.headers)
                attempt = attempt_of(record.headers)
                self._put(Waiting(request, chunk.partition, record.offset, caused_ms, context, attempt))
                self._changed.notify_all()

    async def _wait_for_room(self) -> None:
        begun_s = self._clock.monotonic()
        await self._changed.wait_for(lambda: len(self._waiting) < self._limits.max_waiting)
        self.outages.paused_s["room"] += self._clock.monotonic() - begun_s

    def _put(self, waiting: Waiting) -> None:
        """The newest by fence, not by arrival: a zombie's request may come late, and its slate would be refused."""
        key = (waiting.request.user_id, waiting.request.surface)
        other = self._waiting.get(key)
        if other is None:
            self._waiting[key] = waiting
            return
        self.counts["coalesced"] += 1
        if _fence(waiting.request) < _fence(other.request):
            self._finish(waiting)
        else:
            self._waiting[key] = waiting  # at its elder's place in the queue
            self._finish(other)

    async def _forget(self, user_id: str, forgotten: Forgotten) -> None:
        """Takes a user's slate away, and sees to it that no request from before makes another one.

        What is remembered of the users is bounded and dies with the process: a request that a zombie sends after both is
        answered, and its slate lives until it expires.
        """
        key, fence = (user_id, forgotten.surface), (forgotten.epoch, forgotten.offset)
        async with self._publishing:
            self._forgotten[key] = max(fence, self._forgotten.pop(key, fence))
            if len(self._forgotten) > self._limits.max_waiting:
                self._forgotten.popitem(last=False)
            waiting = self._waiting.get(key)
            if waiting is not None and self._is_forgotten(waiting.request):
                del self._waiting[key]
                self._finish(waiting)
            await self.outages.retrying(
                lambda: self._slates.forget_up_to(user_id, forgotten.surface, epoch=fence[0], offset=fence[1]),
                what="forget a user's slate",
            )
            self.counts["users_forgotten"] += 1

    def _is_forgotten(self, one: Request | Slate) -> bool:
        fence = self._forgotten.get((one.user_id, one.surface))
        return fence is not None and (one.epoch, one.offset) <= fence

    async def _bury(self, dead: DeadLetter) -> None:
        self.counts[f"dead_letters_{dead.error}"] += 1
        records = [buried(dead)]
        await self.outages.retrying(lambda: self._produce(topics.DEAD_LETTERS, records), what="bury a request")

    # ------------------------------------------------------------------ slates out

    async def serve_forever(self) -> None:
        """Serves what waits, batch by batch, oldest first, and sees to it that what was published stays."""
        tasks = [asyncio.create_task(self._serve_waiting()), asyncio.create_task(self._settle_published())]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()

    async def _serve_waiting(self) -> None:
        while not _cancelled():
            async with self._changed:
                await self._changed.wait_for(lambda: bool(self._waiting))
                batch = [self._waiting.popitem(last=False)[1] for _ in range(min(self._limits.batch, len(self._waiting)))]
                self._changed.notify_all()
            await self._serve_batch(batch)

    async def _serve_batch(self, batch: list[Waiting]) -> None:
        begun_s, contexts = self._clock.monotonic(), [waiting.context for waiting in batch]
        with self.spans.during("answer", {"seren.requests": len(batch)}, contexts=contexts):
            answers = await self._answers(batch)
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
        outcomes = await self._publish(publications)
        for waiting, outcome in zip(answered, outcomes, strict=True):
            if isinstance(outcome, SerenError):
                await self._bury_request(waiting, outcome)
                continue
            self.counts[f"slates_{outcome}"] += 1
            if outcome == "accepted" and waiting.caused_ms >= 0:
                wait_s = (published_ms - waiting.caused_ms) / 1000
                self.event_to_slate_s.add(wait_s)
                self.counts["slates_late"] += wait_s > self._limits.soft_ttl_s
        if self._limits.settle_s > 0 and publications:
            self._settle(publications, batch)
        else:
            await self._finish_all(batch)

    async def _answers(self, batch: list[Waiting]) -> list[Answer | Exception]:
        """One outcome per request. When a batch fails as a whole, each request is tried alone: so that one costs no other."""
        try:
            answers: list[Answer | Exception] = [*await self._answer([waiting.request for waiting in batch])]
        except Exception as error:
            if verdict(error) is not Verdict.BURY:
                raise
            logger.exception("a batch of %d requests failed; each is tried alone", len(batch))
            return [await self._answer_alone(waiting.request) for waiting in batch]
        self._failures = 0
        return answers

    async def _answer_alone(self, request: Request) -> Answer | Exception:
        """The request's answer, or the error of its last try.

        Raises:
            Exception: one that must stop this worker, or the last of too many requests that failed one after the other.
        """
        tries = 0
        while True:
            try:
                [answer] = await self._answer([request])
            except Exception as error:
                if verdict(error) is not Verdict.BURY:
                    raise
                tries += 1
                if tries >= self._limits.attempts:
                    self._failures += 1
                    if self._failures >= self._limits.max_failures:
                        raise
                    return error
            else:
                self._failures = 0
                return answer
            await asyncio.sleep(self._limits.attempt_s)

    async def _answer(self, requests: Sequence[Request]) -> list[Answer | SerenError]:
        async def once() -> list[Answer | SerenError]:
            answers = await self._run(self._serve, requests)
            for answer in answers:
                if isinstance(answer, SerenError) and verdict(answer) is not Verdict.BURY:
                    raise answer
            return answers

        return await self.outages.retrying(once, what="answer requests")

    def _settle(self, publications: list[Publication], batch: list[Waiting]) -> None:
        self._settling.put_nowait(Settling(self._clock.monotonic() + self._limits.settle_s, publications, batch))

    async def _settle_published(self) -> None:
        while not _cancelled():
            settling = await self._settling.get()
            await asyncio.sleep(max(0.0, settling.due_s - self._clock.monotonic()))
            outcomes = await self._publish(settling.publications)
            restored = outcomes.count("accepted")
            if restored:  # these may be lost as the first ones were
                self.counts["slates_restored"] += restored
                self._settle(settling.publications, settling.batch)
            else:
                await self._finish_all(settling.batch)

    async def _publish(self, publications: list[Publication]) -> list[PublishOutcome | RequestError]:
        """One outcome each; slates of users who were forgotten meanwhile are refused here."""
        async with self._publishing:
            forgotten = [self._is_forgotten(one.slate) for one in publications]
            wanted = [one for one, is_gone in zip(publications, forgotten, strict=True) if not is_gone]
            outcomes = await self.outages.retrying(lambda: self._slates.publish(wanted), what="publish slates")
        of_wanted = iter(outcomes)
        return ["refused" if is_gone else next(of_wanted) for is_gone in forgotten]

    async def _finish_all(self, batch: list[Waiting]) -> None:
        for waiting in batch:
            self._finish(waiting)
        await self._commit_finished({waiting.partition for waiting in batch})

    def _publication(self, waiting: Waiting, answer: Answer, published_ms: int) -> Publication:
        request, trace = waiting.request, answer.trace
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
        self.counts[f"answers_{answer.tier}"] += 1
        return Publication(slate, trace)

    async def _bury_request(self, waiting: Waiting, error: Exception) -> None:
        dead = DeadLetter(
            topics.REQUESTS,
            waiting.partition,
            waiting.offset,
            type(error).__name__,
            reason_of(error),
            waiting.request.user_id.encode(),
            codec.encode(waiting.request),
            waiting.context,
            waiting.attempt,
        )
        await self._bury(dead)

    # ------------------------------------------------------------------ what it tells of itself

    @property
    def waiting_count(self) -> int:
        """Users who wait for a slate."""
        return len(self._waiting)

    @property
    def stale_replaced(self) -> int:
        """Published slates whose elder was past its soft expiry."""
        return self._slates.stale_replaced

    def undone(self) -> list[Undone]:
        """The requests that were taken and are not finished with."""
        return [one for taken in list(self._undone.values()) for one in list(taken.values())]

    def oldest_undone_s(self) -> float:
        """For how long the oldest of them has been here; 0 without any."""
        return max((self._clock.monotonic() - one.taken_s for one in self.undone()), default=0.0)

    def positions(self) -> dict[TP, int]:
        """The first offset of each partition that is not finished with; -1 before the first record."""
        return {TP(topics.REQUESTS, number): ledger.committable or -1 for number, ledger in list(self._ledgers.items())}

    # ------------------------------------------------------------------ offsets

    def _finish(self, waiting: Waiting) -> None:
        ledger = self._ledgers.get(waiting.partition)
        if ledger is not None:
            ledger.finish(waiting.offset)
            self._undone.get(TP(topics.REQUESTS, waiting.partition), {}).pop(waiting.offset, None)

    async def _commit_finished(self, partitions: Iterable[int]) -> None:
        offsets = {
            TP(topics.REQUESTS, number): self._ledgers[number].committable
            for number in partitions
            if number in self._ledgers and self._ledgers[number].committable > 0
        }
        if offsets:
            await self._commit(offsets)


def _cancelled() -> bool:
    """Python 3.11's asyncio.wait_for, with which redis-py sends, may swallow a cancellation: so look before each new work."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _fence(request: Request) -> tuple[int, int]:
    return request.epoch, request.offset


def _caused_ms(headers: Sequence[tuple[str, bytes]]) -> int:
    for name, value in headers:
        if name == CAUSED_HEADER and value.lstrip(b"-").isdigit():
            return int(value)
    return -1
