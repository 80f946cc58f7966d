"""What an error costs a judging worker on a real Redis: the request that caused it, and nothing else."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
import redis.asyncio

from models.errors import EngineError, RequestError, UnknownVersion
from streams import codec
from tests.streams.agents.one_judging_worker import House, answer, chunk, request, serving, until


@pytest.fixture
def house(redis_client: redis.asyncio.Redis) -> House:
    return House(redis_client)


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
    assert value == codec.encode_request(request("v", 2))
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
    newer = codec.encode_request(msgspec.structs.replace(request("u", 1), version=3))
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
    house.judge.instead = {"v": RequestError("no candidates")}
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
    made = answer(request("u", 1))
    endless = msgspec.structs.replace(made.items[0], item_id="x" * 70_000)
    house.judge.instead["u"] = msgspec.structs.replace(made, items=(endless,))
    await worker.take(chunk(request("u", 1), request("v", 2)))
    async with serving(worker):
        await until(lambda: bool(house.commits))
    assert await house.offset_of("v") == 2
    assert house.commits == [{0: 2}]
    assert worker.counts["slates_accepted"] + len(house.letters) == 2
