"""A judging worker on a real Redis and the users who are forgotten meanwhile."""

from __future__ import annotations

import pytest
import redis.asyncio

from streams import topics
from streams.transport import Chunk
from tests.streams.agents.one_judging_worker import House, Record, chunk, request, serving, until


@pytest.fixture
def house(redis_client: redis.asyncio.Redis) -> House:
    return House(redis_client)


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
