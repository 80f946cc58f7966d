"""Laws of the judging worker, on a real Redis: who is answered, when an offset is committed, and who gets room."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
import redis.asyncio
from faust.types import TP

from models.errors import EngineDead, EngineOverloaded
from streams import topics
from tests.streams.agents.one_judging_worker import House, chunk, request, serving, until


@pytest.fixture
def house(redis_client: redis.asyncio.Redis) -> House:
    return House(redis_client)


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


async def test_requests_that_come_while_others_are_answered_are_asked_about_beside_them(house: House) -> None:
    worker = await house.worker(0, side_by_side=2)
    house.judge.open.clear()
    await worker.take(chunk(request("u", 1)))
    async with serving(worker):
        await until(lambda: len(house.judge.batches) == 1)
        await worker.take(chunk(request("v", 2), first=1))
        await until(lambda: len(house.judge.batches) == 2)
        await worker.take(chunk(request("w", 3), first=2))
        await asyncio.sleep(0.05)
        assert house.judge.batches == [[("u", 1)], [("v", 2)]], "two at once, and no third"
        house.judge.open.set()
        await until(lambda: house.commits[-1:] == [{0: 3}])
    assert house.judge.batches[2] == [("w", 3)]


async def test_user_who_is_asked_about_twice_at_once_keeps_the_newer_answer(house: House) -> None:
    worker = await house.worker(0, side_by_side=2)
    house.judge.open.clear()
    await worker.take(chunk(request("u", 1)))
    async with serving(worker):
        await until(lambda: len(house.judge.batches) == 1)
        await worker.take(chunk(request("u", 2), first=1))
        await until(lambda: len(house.judge.batches) == 2)
        house.judge.open.set()
        await until(lambda: house.commits[-1:] == [{0: 2}])
    assert await house.offset_of("u") == 2


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
