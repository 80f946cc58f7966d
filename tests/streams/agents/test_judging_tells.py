"""What a judging worker tells of its work on a real Redis: counts, times, dates, and the traces it belongs to."""

from __future__ import annotations

from typing import Any

import pytest
import redis.asyncio
from faust.types import TP

from models.errors import RequestError
from streams import topics
from streams.checkpoint import CAUSED_HEADER
from streams.observability.spans import NoSpans
from tests.streams.agents.one_judging_worker import NOW_MS, House, chunk, request, serving, until


@pytest.fixture
def house(redis_client: redis.asyncio.Redis) -> House:
    return House(redis_client)


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
    house.judge.instead["u"] = RequestError("no")
    worker = await house.worker(0)
    await worker.take(chunk(request("u", 1), headers=[("traceparent", PARENT)]))
    await worker.take(chunk(b"{", first=1, headers=[("traceparent", PARENT)]))
    async with serving(worker):
        await until(lambda: len(house.letters) == 2)
    assert [headers["traceparent"] for _, headers in house.letters] == [PARENT, PARENT]


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
