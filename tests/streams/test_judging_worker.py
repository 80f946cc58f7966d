"""Laws of the judging worker, on a real Redis: who is answered, when an offset is committed, and what an error costs."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import msgspec
import pytest
import redis.asyncio
from faust.types import TP

from models.entities import Digest, Exclusions, Request, ScoredItem, Seen, Trace
from models.errors import EngineDead, EngineError, EngineOverloaded, RequestError, SerenError, StoreUnavailable, UnknownVersion
from models.pipeline import Answer
from streams import codec, topics
from streams.agents.judging import JudgingWorker
from streams.agents.limits import JudgingLimits
from streams.checkpoint import CAUSED_HEADER
from streams.production import Outgoing
from streams.spans import NoSpans
from streams.store import Publication, SlateStore
from streams.transport import Chunk

NOW_MS = 1_700_000_000_000


class Record(NamedTuple):
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()
    timestamp: int = NOW_MS


class StoppedClock:
    """Stands still at `NOW_MS`."""

    def time(self) -> float:
        return NOW_MS / 1000

    def monotonic(self) -> float:
        return 0.0


class FlakySlates(SlateStore):
    """The real one, away for the next `away_for` calls."""

    away_for = 0

    async def publish(self, publications: Sequence[Publication]) -> Any:
        if self.away_for:
            self.away_for -= 1
            raise StoreUnavailable("away")
        return await super().publish(publications)


class Judge:
    """Stands for the judging walk: answers with one item, `made for <user> at <offset>`, or raises and answers as told."""

    def __init__(self) -> None:
        self.batches: list[list[tuple[str, int]]] = []
        self.raises: list[Exception] = []
        self.refuses: dict[str, SerenError] = {}
        self.bombs: set[str] = set()  # users whose requests end the whole call
        self.open = threading.Event()
        self.open.set()

    def __call__(self, requests: Sequence[Request]) -> list[Answer | SerenError]:
        self.batches.append([(request.user_id, request.offset) for request in requests])
        assert self.open.wait(10)
        if self.raises:
            raise self.raises.pop(0)
        if self.bombs & {request.user_id for request in requests}:
            raise ZeroDivisionError("a bug")
        return [self.refuses.get(request.user_id) or answer(request) for request in requests]


class House:
    """One Redis, one broker, one judge, and the workers that come and go."""

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self.judge = Judge()
        self.slates = FlakySlates(client, tenant="t", hard_ttl_ms=60_000)
        self.letters: list[tuple[bytes | None, dict[str, bytes]]] = []
        self.commits: list[dict[int, int]] = []
        self.slates_at_commit: list[int] = []

    async def produce(self, topic: str, records: Sequence[Outgoing]) -> None:
        assert topic == topics.DEAD_LETTERS
        self.letters += [(record.value, dict(record.headers)) for record in records]

    async def commit(self, offsets: Mapping[TP, int]) -> bool:
        assert {tp.topic for tp in offsets} == {topics.REQUESTS}
        self.commits.append({tp.partition: offset for tp, offset in offsets.items()})
        self.slates_at_commit.append(sum([await self.offset_of(user) is not None for user in "uvw"]))
        return True

    async def worker(self, *numbers: int, **limits: Any) -> JudgingWorker:
        made = JudgingWorker(
            serve=self.judge,
            slates=self.slates,
            produce=self.produce,
            commit=self.commit,
            limits=JudgingLimits(**({"settle_s": 0.0} | limits)),
            clock=StoppedClock(),
        )
        await made.take_over({TP(topics.REQUESTS, number) for number in numbers})
        return made

    async def offset_of(self, user_id: str) -> int | None:
        """The offset of the user's published slate."""
        slate = await self.slates.read(user_id, "home")
        return None if slate is None else slate.offset


@pytest.fixture
def house(redis_client: redis.asyncio.Redis) -> House:
    return House(redis_client)


@asynccontextmanager
async def serving(worker: JudgingWorker) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(worker.serve_forever())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(reached: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not reached():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.005)


def request(user: str, offset: int, epoch: int = 1) -> Request:
    return Request(
        user_id=user,
        surface="home",
        reason="visit",
        as_of_ms=1_000,
        epoch=epoch,
        partition=0,
        offset=offset,
        digest=Digest(),
        seen=Seen(),
        exclusions=Exclusions(),
    )


def answer(asked: Request) -> Answer:
    item = ScoredItem(
        item_id=f"for {asked.user_id} at {asked.offset}",
        serendipity=0.5,
        relevance=1.0,
        unexpectedness=1.0,
        aligned=0.5,
        propensity=1.0,
        reason=0,
    )
    trace = Trace(
        user_id=asked.user_id,
        surface="home",
        reason="visit",
        as_of_ms=asked.as_of_ms,
        offset=asked.offset,
        digest=asked.digest,
        imagined=(),
        candidates=(),
        filtered=(),
        kept=(item,),
    )
    return Answer(items=(item,), trace=trace, tier="serengpt", model_id="m")


def chunk(*asked: Request | bytes, first: int = 0, number: int = 0, headers: Any = ()) -> Chunk:
    """The requests at consecutive offsets; bytes stand for what is no request."""
    records = [
        Record(number, first + place, b"k", one if isinstance(one, bytes) else codec.encode(one), headers)
        for place, one in enumerate(asked)
    ]
    return Chunk(topics.REQUESTS, number, records, first + len(asked))  # type: ignore[arg-type]


# ---- who is answered


async def test_newest_request_of_a_user_is_answered_and_the_others_are_finished_with_it(house: House) -> None:
    worker = await house.worker(0)
    await worker.take(chunk(request("u", 5), request("u", 7), request("u", 6)))
    async with serving(worker):
        await until(lambda: bool(house.commits))
    assert house.judge.batches == [[("u", 7)]]
    assert await house.offset_of("u") == 7
    assert house.commits == [{0: 3}]
    assert worker.counts["coalesced"] == 2


async def test_late_request_of_an_older_epoch_replaces_nothing(house: House) -> None:
    worker = await house.worker(0)
    await worker.take(chunk(request("u", 5, epoch=2), request("u", 900, epoch=1)))
    async with serving(worker):
        await until(lambda: bool(house.commits))
    assert house.judge.batches == [[("u", 5)]]
    assert house.commits == [{0: 2}]


async def test_requests_of_two_surfaces_are_answered_both(house: House) -> None:
    worker = await house.worker(0)
    await worker.take(chunk(request("u", 5), msgspec.structs.replace(request("u", 6), surface="cart")))
    async with serving(worker):
        await until(lambda: bool(house.commits))
    assert house.judge.batches == [[("u", 5), ("u", 6)]]


async def test_batches_take_the_oldest_first_and_a_newer_request_keeps_its_elder_s_place(house: House) -> None:
    worker = await house.worker(0, batch=2)
    await worker.take(chunk(request("u", 1), request("v", 2), request("w", 3), request("u", 4)))
    async with serving(worker):
        await until(lambda: len(house.commits) == 2)
    assert house.judge.batches == [[("u", 4), ("v", 2)], [("w", 3)]]


# ---- when an offset is committed


async def test_offset_is_committed_when_nothing_before_it_is_unfinished_and_its_slate_is_in_redis(house: House) -> None:
    """u's newer request at 3 is answered first; 2 waits still, so no more than 2 may be committed."""
    worker = await house.worker(0, batch=1)
    await worker.take(chunk(request("u", 1), request("u", 2), request("v", 3), request("u", 4)))
    async with serving(worker):
        await until(lambda: len(house.slates_at_commit) == 2)
    assert house.judge.batches == [[("u", 4)], [("v", 3)]]
    assert house.commits == [{0: 2}, {0: 4}]
    assert house.slates_at_commit == [1, 2]


async def test_slate_that_redis_loses_before_it_settles_is_published_again(house: House) -> None:
    worker = await house.worker(0, settle_s=0.3)
    await worker.take(chunk(request("u", 5)))
    async with serving(worker):
        await until(lambda: worker.counts["slates_accepted"] == 1)
        assert house.commits == []
        for restored in (1, 2):  # what was brought back may be lost as well
            assert await house.slates.forget("u", ["home"]) == 2
            await until(lambda count=restored: worker.counts["slates_restored"] == count)  # type: ignore[misc]
        await until(lambda: bool(house.commits))
    assert await house.offset_of("u") == 5
    assert house.commits == [{0: 1}]
    assert house.judge.batches == [[("u", 5)]]


async def test_slate_that_stays_is_published_once_and_its_offset_committed_when_it_has_settled(house: House) -> None:
    worker = await house.worker(0, settle_s=0.05)
    await worker.take(chunk(request("u", 5)))
    async with serving(worker):
        await until(lambda: bool(house.commits))
    assert house.commits == [{0: 1}]
    assert (worker.counts["slates_accepted"], worker.counts["slates_restored"]) == (1, 0)


async def test_commits_are_told_by_partition(house: House) -> None:
    worker = await house.worker(0, 1)
    await worker.take(chunk(request("u", 1), first=10))
    await worker.take(chunk(request("v", 1), number=1, first=70))
    async with serving(worker):
        await until(lambda: bool(house.commits))
    assert house.commits == [{0: 11, 1: 71}]


async def test_publication_is_tried_again_while_the_store_is_away(house: House) -> None:
    worker = await house.worker(0)
    house.slates.away_for = 2
    await worker.take(chunk(request("u", 1)))
    async with serving(worker):
        await until(lambda: bool(house.commits))
    assert worker.counts["retries"] == 2
    assert await house.offset_of("u") == 1
    assert len(house.judge.batches) == 1, "the model is not asked again"


async def test_answer_is_tried_again_when_the_engine_is_overloaded(house: House) -> None:
    worker = await house.worker(0)
    house.judge.raises = [EngineOverloaded("full", retry_after_s=0.01)]
    await worker.take(chunk(request("u", 1)))
    async with serving(worker):
        await until(lambda: bool(house.commits))
    assert worker.counts["retries"] == 1
    assert await house.offset_of("u") == 1


async def test_dead_engine_ends_the_serving_and_commits_nothing(house: House) -> None:
    worker = await house.worker(0)
    house.judge.raises = [EngineDead("gone")]
    await worker.take(chunk(request("u", 1)))
    async with serving(worker) as task:
        with pytest.raises(EngineDead):
            await asyncio.wait_for(task, 10)
    assert house.commits == []


# ---- what cannot be answered


async def test_request_that_ends_the_whole_call_is_buried_after_its_tries_and_its_batch_is_answered(house: House) -> None:
    worker = await house.worker(0, attempts=2, attempt_s=0.0)
    house.judge.bombs = {"v"}
    await worker.take(chunk(request("u", 1), request("v", 2), request("w", 3), headers=[("seren-attempt", b"2")]))
    async with serving(worker):
        await until(lambda: bool(house.commits))
    assert house.judge.batches == [[("u", 1), ("v", 2), ("w", 3)], [("u", 1)], [("v", 2)], [("v", 2)], [("w", 3)]]
    assert [await house.offset_of(user) for user in "uvw"] == [1, None, 3]
    [(value, headers)] = house.letters
    assert value == codec.encode(request("v", 2))
    assert (headers["error"], headers["offset"], headers["seren-attempt"]) == (b"ZeroDivisionError", b"1", b"2")
    assert headers["reason"].endswith(b"in __call__: ZeroDivisionError: a bug")
    assert house.commits == [{0: 3}]


async def test_call_that_failed_once_is_no_reason_to_bury_anybody(house: House) -> None:
    worker = await house.worker(0, attempt_s=0.0)
    house.judge.raises = [EngineError("out of memory, this once"), EngineError("and once more")]
    await worker.take(chunk(request("u", 1), request("v", 2)))
    async with serving(worker):
        await until(lambda: bool(house.commits))
    assert house.letters == []
    assert [await house.offset_of(user) for user in "uv"] == [1, 2]


async def test_engine_that_answers_nobody_ends_the_serving_and_does_not_bury_everybody(house: House) -> None:
    worker = await house.worker(0, attempts=1, max_failures=3, batch=4)
    house.judge.bombs = {"u0", "u1", "u2", "u3"}
    await worker.take(chunk(*(request(f"u{n}", n) for n in range(4))))
    async with serving(worker) as task:
        with pytest.raises(ZeroDivisionError):
            await asyncio.wait_for(task, 10)
    assert (house.letters, house.commits) == ([], [])


async def test_request_of_a_newer_release_stops_the_worker(house: House) -> None:
    worker = await house.worker(0)
    newer = codec.encode(msgspec.structs.replace(request("u", 1), version=2))
    with pytest.raises(UnknownVersion):
        await worker.take(chunk(newer))
    assert house.letters == []


async def test_malformed_request_is_dead_lettered_with_its_reason_while_the_rest_flows(house: House) -> None:
    worker = await house.worker(0)
    await worker.take(chunk(request("u", 1), b'{"user_id": 7}', request("v", 1)))
    async with serving(worker):
        await until(lambda: bool(house.commits))
    [(value, headers)] = house.letters
    assert value == b'{"user_id": 7}'
    assert (headers["topic"], headers["partition"], headers["offset"]) == (b"seren-requests", b"0", b"1")
    assert headers["error"] == b"DecodeError"
    assert b"user_id" in headers["reason"] or b"request" in headers["reason"]
    assert house.commits == [{0: 3}]
    assert worker.counts["dead_letters_DecodeError"] == 1
    assert await house.offset_of("v") == 1


async def test_request_that_failed_is_dead_lettered_and_takes_nothing_from_its_batch_mates(house: House) -> None:
    worker = await house.worker(0)
    house.judge.refuses = {"v": RequestError("no candidates")}
    await worker.take(chunk(request("u", 1), request("v", 2), request("w", 3)))
    async with serving(worker):
        await until(lambda: bool(house.commits))
    [(value, headers)] = house.letters
    assert codec.decode_request(value or b"") == request("v", 2)
    assert (headers["error"], headers["reason"], headers["offset"]) == (
        b"RequestError",
        b"no candidates",
        b"1",
    )
    assert house.commits == [{0: 3}]
    assert [await house.offset_of(user) for user in "uvw"] == [1, None, 3]


async def test_slate_without_bytes_is_dead_lettered_and_takes_nothing_from_its_batch_mates(house: House) -> None:
    worker = await house.worker(0)
    surrogate = msgspec.structs.replace(request("u", 1), surface="x" * 40_000)
    await worker.take(chunk(surrogate, request("v", 2)))
    async with serving(worker):
        await until(lambda: bool(house.commits))
    assert await house.offset_of("v") == 2
    assert house.commits == [{0: 2}]
    assert worker.counts["slates_accepted"] + len(house.letters) == 2


# ---- room


async def test_take_waits_while_the_bound_of_waiting_users_is_reached(house: House) -> None:
    worker = await house.worker(0, max_waiting=2, batch=1)
    taking = asyncio.create_task(worker.take(chunk(*(request(f"user {n}", n) for n in range(5)))))
    await asyncio.sleep(0.05)
    assert not taking.done()
    assert worker.waiting_count == 2
    async with serving(worker):
        await until(lambda: house.commits[-1:] == [{0: 5}])
    await taking
    assert [user for batch in house.judge.batches for user, _ in batch] == [f"user {n}" for n in range(5)]


# ---- partitions that go


async def test_release_lets_the_requests_of_revoked_partitions_go_and_keeps_the_others(house: House) -> None:
    worker = await house.worker(0, 1)
    await worker.take(chunk(request("u", 1)))
    await worker.take(chunk(request("v", 1), number=1))
    await worker.release({TP(topics.REQUESTS, 0)})
    assert worker.waiting_count == 1
    await worker.take(chunk(request("w", 1), first=1))  # was in the buffer still
    async with serving(worker):
        await until(lambda: bool(house.commits))
    assert house.judge.batches == [[("v", 1)]]
    assert house.commits == [{1: 1}]


@pytest.mark.parametrize("gone", ["released", "assigned anew"])
async def test_partition_that_goes_while_its_chunk_waits_for_room_stops_nobody(house: House, gone: str) -> None:
    """Nobody serves at that moment: only the partition's going can wake whoever waits."""
    worker = await house.worker(0, max_waiting=1)
    taking = asyncio.create_task(worker.take(chunk(request("u", 1), request("v", 2), request("w", 3))))
    await asyncio.sleep(0.02)
    assert not taking.done()
    if gone == "released":
        await worker.release({TP(topics.REQUESTS, 0)})
    await worker.take_over({TP(topics.REQUESTS, 0)})
    await asyncio.wait_for(taking, 10)
    assert worker.waiting_count == 0, "what is left of the old chunk comes again"
    async with serving(worker):
        await worker.take(chunk(request("u", 1), request("v", 2), request("w", 3)))
        await until(lambda: house.commits[-1:] == [{0: 3}])
    assert [await house.offset_of(user) for user in "uvw"] == [1, 2, 3]


async def test_partition_that_goes_while_it_is_answered_gets_its_slate_and_no_commit(house: House) -> None:
    worker = await house.worker(0)
    house.judge.open.clear()
    await worker.take(chunk(request("u", 1)))
    async with serving(worker):
        await until(lambda: bool(house.judge.batches))
        await worker.release({TP(topics.REQUESTS, 0)})
        house.judge.open.set()
        await until(lambda: worker.counts["slates_accepted"] == 1)
        await worker.take_over({TP(topics.REQUESTS, 0)})
        await worker.take(chunk(request("u", 1)))
        await until(lambda: bool(house.commits))
    assert worker.counts["slates_repeated"] == 1, "the fence makes the repetition invisible"
    assert house.commits == [{0: 1}]


# ---- what is counted


async def test_publications_are_counted_by_what_the_fence_said(house: House) -> None:
    worker = await house.worker(0, batch=1)
    async with serving(worker):
        for place, asked in enumerate([request("u", 5), request("u", 5), request("u", 4), request("u", 6)]):
            await worker.take(chunk(asked, first=place))
            await until(lambda done=place + 1: house.commits[-1:] == [{0: done}])  # type: ignore[misc]
    assert {name: worker.counts[f"slates_{name}"] for name in ("accepted", "repeated", "refused")} == {
        "accepted": 2,
        "repeated": 1,
        "refused": 1,
    }
    assert await house.offset_of("u") == 6


async def test_wait_is_measured_from_the_event_behind_the_request_and_for_accepted_slates_alone(house: House) -> None:
    worker = await house.worker(0, batch=1)
    async with serving(worker):
        for place, caused in enumerate([str(NOW_MS - 2_500), str(NOW_MS - 2_500), "-1", "x"]):
            headers = [(CAUSED_HEADER, caused.encode())]
            await worker.take(chunk(request("u", max(1, place)), first=place, headers=headers))
            await until(lambda done=place + 1: house.commits[-1:] == [{0: done}])  # type: ignore[misc]
    assert (sum(worker.event_to_slate_s.counts), worker.event_to_slate_s.sum_s) == (1, 2.5)


async def test_slate_is_dated_by_the_worker_s_clock_and_stale_after_the_soft_ttl(house: House) -> None:
    worker = await house.worker(0, soft_ttl_s=10.0)
    await worker.take(chunk(request("u", 1)))
    async with serving(worker):
        await until(lambda: bool(house.commits))
    slate = await house.slates.read("u", "home")
    assert slate is not None
    assert (slate.published_ms, slate.soft_expiry_ms, slate.watermark_ms) == (NOW_MS, NOW_MS + 10_000, 1_000)
    trace = await house.slates.why("u", "home")
    assert trace is not None
    assert [item.item_id for item in trace.kept] == ["for u at 1"]


# ---- trace context

PARENT = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


async def test_slate_s_trace_names_the_trace_of_its_request_and_no_other(house: House) -> None:
    worker = await house.worker(0)
    await worker.take(chunk(request("u", 1), headers=[("traceparent", PARENT), ("tracestate", b"a=1")]))
    await worker.take(chunk(request("v", 2), first=1, headers=[("traceparent", b"nonsense")]))
    async with serving(worker):
        await until(lambda: house.commits[-1:] == [{0: 2}])
    traces = [await house.slates.why(user, "home") for user in "uv"]
    assert [trace.trace_id for trace in traces if trace] == ["0af7651916cd43dd8448eb211c80319c", ""]


async def test_newest_request_brings_its_own_context(house: House) -> None:
    worker = await house.worker(0)
    await worker.take(chunk(request("u", 1), headers=[("traceparent", PARENT)]))
    await worker.take(chunk(request("u", 2), first=1))
    async with serving(worker):
        await until(lambda: house.commits[-1:] == [{0: 2}])
    trace = await house.slates.why("u", "home")
    assert trace is not None
    assert (trace.offset, trace.trace_id) == (2, "")


async def test_dead_letters_of_requests_carry_their_context(house: House) -> None:
    house.judge.refuses["u"] = RequestError("no")
    worker = await house.worker(0)
    await worker.take(chunk(request("u", 1), headers=[("traceparent", PARENT)]))
    await worker.take(chunk(b"{", first=1, headers=[("traceparent", PARENT)]))
    async with serving(worker):
        await until(lambda: len(house.letters) == 2)
    assert [headers["traceparent"] for _, headers in house.letters] == [PARENT, PARENT]


# ---- what it tells of itself


async def test_slate_is_late_when_its_event_was_staler_than_a_slate_may_be(house: House) -> None:
    worker = await house.worker(0, soft_ttl_s=10.0)
    for place, waited_ms in enumerate([10_000, 10_001]):
        headers = [(CAUSED_HEADER, str(NOW_MS - waited_ms).encode())]
        await worker.take(chunk(request("uv"[place], 1), first=place, headers=headers))
    async with serving(worker):
        await until(lambda: house.commits[-1:] == [{0: 2}])
    assert (worker.counts["slates_accepted"], worker.counts["slates_late"]) == (2, 1)
    assert worker.counts["answers_serengpt"] == 2
    assert sum(worker.answer_s.counts) == 1


async def test_request_is_undone_until_its_slate_is_published_or_it_is_buried(house: House) -> None:
    worker = await house.worker(0)
    assert (worker.undone(), worker.positions()) == ([], {TP(topics.REQUESTS, 0): -1})
    await worker.take(chunk(request("u", 1), request("v", 2), b"{", request("v", 3)))
    assert len(worker.undone()) == 2  # v's older request went with the newer one, the bad one is buried
    assert worker.undone()[0].asked_ms == NOW_MS
    async with serving(worker):
        await until(lambda: house.commits[-1:] == [{0: 4}])
    assert (worker.undone(), worker.oldest_undone_s()) == ([], 0.0)
    assert worker.positions() == {TP(topics.REQUESTS, 0): 4}


async def test_requests_of_a_partition_that_has_gone_are_not_undone_here(house: House) -> None:
    worker = await house.worker(0)
    await worker.take(chunk(request("u", 1)))
    await worker.release({TP(topics.REQUESTS, 0)})
    assert (worker.undone(), worker.positions(), worker.assigned) == ([], {}, None)


# ---- users who are forgotten


def forgetting(user: str, epoch: int, offset: int, *, at: int) -> Chunk:
    told = b'{"epoch":%d,"offset":%d,"surface":"home"}' % (epoch, offset)
    record = Record(0, at, user.encode(), None, [(topics.FORGET_HEADER, told)])
    return Chunk(topics.REQUESTS, 0, [record], at + 1)  # type: ignore[list-item]


async def test_forgotten_user_loses_the_slate_and_the_requests_from_before(house: House) -> None:
    worker = await house.worker(0)
    async with serving(worker):
        await worker.take(chunk(request("u", 1), request("v", 2)))
        await until(lambda: len(house.commits) == 1)
        await worker.take(forgetting("u", 1, 5, at=2))
        assert [await house.offset_of(user) for user in "uv"] == [None, 2]
        assert await house.slates.why("u", "home") is None
        await worker.take(chunk(request("u", 4), first=3))  # a late one
        assert await house.offset_of("u") is None
        await worker.take(chunk(request("u", 6), first=4))
        await until(lambda: house.commits[-1] == {0: 5})
    assert await house.offset_of("u") == 6
    assert ("u", 4) not in [one for batch in house.judge.batches for one in batch]
    assert house.letters == []


async def test_answer_that_was_being_made_when_its_user_was_forgotten_is_not_published(house: House) -> None:
    worker = await house.worker(0)
    house.judge.open.clear()
    async with serving(worker):
        await worker.take(chunk(request("u", 1), request("v", 1)))
        await until(lambda: bool(house.judge.batches))
        await worker.take(forgetting("u", 1, 5, at=2))
        house.judge.open.set()
        await until(lambda: {0: 3} in house.commits)
    assert [await house.offset_of(user) for user in "uv"] == [None, 1]


async def test_slate_of_a_forgotten_user_is_not_published_again(house: House) -> None:
    worker = await house.worker(0, settle_s=0.2)
    async with serving(worker):
        await worker.take(chunk(request("u", 1)))
        await until(lambda: worker.counts["slates_accepted"] == 1)
        await worker.take(forgetting("u", 1, 1, at=1))
        await until(lambda: {0: 2} in house.commits)
    assert await house.offset_of("u") is None


async def test_mark_that_makes_no_sense_is_dead_lettered(house: House) -> None:
    worker = await house.worker(0)
    record = Record(0, 0, b"u", None, [(topics.FORGET_HEADER, b"7")])
    await worker.take(Chunk(topics.REQUESTS, 0, [record], 1))  # type: ignore[list-item]
    [(_, headers)] = house.letters
    assert b"seren-forget header" in headers["reason"]
    assert house.commits == [{0: 1}]


async def test_answer_is_told_to_the_traces_of_its_requests(house: House) -> None:
    class Noted(NoSpans):
        told: list[tuple[str, list[bytes], float]] = []  # noqa: RUF012

        def of_traces(self, name: str, contexts: Any, *, begun_s: float, ended_s: float) -> None:
            self.told.append((name, list(contexts), ended_s))

    worker = await house.worker(0)
    worker.spans = Noted()
    await worker.take(chunk(request("u", 1), headers=[("traceparent", PARENT)]))
    await worker.take(chunk(request("v", 2), first=1))
    async with serving(worker):
        await until(lambda: house.commits[-1:] == [{0: 2}])
    assert Noted.told == [("seren answer", [PARENT, b""], NOW_MS / 1000)]
