"""Laws of the profile worker, on a real Redis: when it checkpoints, what it lets go, and what an error costs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import redis.asyncio
from faust.types import TP

from models.entities import UserAttributes
from models.errors import StoreError
from streams import codec, topics
from streams.agents.profiles import ProfilesWorker
from streams.checkpoint import PartitionLost
from streams.keys import profile_key
from streams.transport import Chunk
from tests.streams.agents.one_profiles_worker import (
    LIVE,
    START_MS,
    House,
    Record,
    assigned,
    attributes,
    clicks,
    event,
    events,
    until,
)


@pytest.fixture
def house(redis_client: redis.asyncio.Redis) -> House:
    return House(redis_client)


# ---- when a checkpoint is due


async def test_worker_checkpoints_when_so_many_events_were_applied(house: House) -> None:
    worker = await house.worker(0, checkpoint_events=3)
    await worker.take(clicks(0, 2))
    assert house.broker.commits == []
    await worker.take(clicks(2, 3))
    assert house.broker.commits == [{(topics.EVENTS, 0): 3}]
    assert await house.marker(0) == 3
    assert [await house.events_of(f"u{offset}") for offset in range(3)] == [1, 1, 1]
    assert worker.counts["checkpoints"] == 1


async def test_worker_checkpoints_when_dead_letters_hold_so_many_bytes(house: House) -> None:
    worker = await house.worker(0, checkpoint_letter_bytes=1_000)
    flood = [event(offset, "u")._replace(value=b"x" * 499) for offset in range(3)]  # and a byte each for the key
    await worker.take(events(flood[0]))
    assert house.broker.commits == []
    await worker.take(events(flood[1]))
    assert house.broker.commits == [{(topics.EVENTS, 0): 2}]
    assert len(house.broker.on(topics.DEAD_LETTERS)) == 2
    await worker.take(events(flood[2]))
    assert len(house.broker.commits) == 1


async def test_worker_checkpoints_when_the_interval_is_over_and_something_changed(house: House) -> None:
    worker = await house.worker(0, checkpoint_s=1.0)
    await worker.take(clicks(0, 2))
    house.clock.now_s = 0.9
    await worker.tick()
    assert house.broker.commits == []
    house.clock.now_s = 1.0
    await worker.tick()
    assert house.broker.commits == [{(topics.EVENTS, 0): 2}]
    house.clock.now_s = 9.0
    await worker.tick()
    assert len(house.broker.commits) == 1, "nothing changed: there is nothing to write"
    house.clock.now_s = 11.0
    await worker.tick()
    assert len(house.broker.commits) == 2, "a quiet worker still looks after Redis, every ten seconds"


async def test_worker_keeps_no_more_users_than_its_bound(house: House) -> None:
    worker = await house.worker(0, checkpoint_events=5, max_users=2, durable_s=0.0)
    await worker.take(clicks(0, 5))
    assert len(worker.owned[0].residents) == 2
    assert worker.counts["evicted"] == 3
    await worker.take(events(event(5, "u0", at_s=9)))
    assert worker.owned[0].residents["u0"].profile.events == 2, "an evicted user comes back as it was stored"


# ---- what it takes over, and what it leaves alone


async def test_worker_keeps_users_that_redis_may_still_lose(house: House) -> None:
    """Two users are in a checkpoint at 0 s, two in one at 2.9 s: at 3 s the first two may go."""
    worker = await house.worker(0, checkpoint_events=2, max_users=1, durable_s=3.0)
    await worker.take(clicks(0, 2))
    house.clock.now_s = 2.9
    await worker.take(clicks(2, 4))
    assert sorted(worker.owned[0].residents) == ["u0", "u1", "u2", "u3"]
    house.clock.now_s = 3.0
    await worker.take(clicks(4, 6))
    assert sorted(worker.owned[0].residents) == ["u2", "u3", "u4", "u5"]


async def test_take_over_starts_where_the_state_ends(house: House) -> None:
    before = await house.worker(0, 1, checkpoint_events=3)
    await before.take(attributes(0, 2))
    await before.take(clicks(0, 3))
    await before.take(attributes(2, 3))  # not durable, as the next one
    await before.take(clicks(3, 4))
    after = house.idle_worker()
    assert await after.take_over(assigned(0, 1)) == {
        TP(topics.EVENTS, 0): 3,
        TP(topics.ATTRIBUTES, 0): 2,
        TP(topics.EVENTS, 1): 0,
        TP(topics.ATTRIBUTES, 1): 0,
    }
    await after.take(clicks(3, 5))
    assert after.owned[0].residents["u4"].profile.events == 1


async def test_worker_takes_nothing_of_a_partition_that_is_not_its_own(house: House) -> None:
    worker = await house.worker(0, checkpoint_events=1)
    await worker.take(clicks(0, 2, number=3))
    assert worker.counts == {}
    assert house.broker.commits == []


async def test_attributes_are_folded_in_once_and_committed_with_the_events(house: House) -> None:
    value = codec.encode(UserAttributes(user_id="u0", attributes={"age": "30s"}))
    chunk = Chunk(topics.ATTRIBUTES, 0, [Record(7, START_MS, b"u0", value)], 8)  # type: ignore[list-item]
    worker = await house.worker(0, checkpoint_s=1.0)
    await worker.take(chunk)
    house.clock.now_s = 1.0
    await worker.tick()
    assert house.broker.commits == [{(topics.EVENTS, 0): 0, (topics.ATTRIBUTES, 0): 8}]
    after = await house.worker(0)
    await after.take(chunk)  # delivered again: its commit was lost
    partition = after.owned[0]
    assert partition.residents["u0"].profile.attributes == {"age": "30s"}
    assert not partition.dirty


# ---- errors


async def test_checkpoint_is_tried_again_while_the_store_or_the_broker_is_away(house: House) -> None:
    worker = await house.worker(0, checkpoint_events=3)
    house.partitions.away_for = house.broker.away_for = 1
    await worker.take(events(event(0, "u0"), event(1, "u1"), Record(2, START_MS, b"u2", b"{")))
    assert worker.counts["retries"] == 2
    assert len(house.broker.on(topics.DEAD_LETTERS)) >= 1
    assert house.broker.commits == [{(topics.EVENTS, 0): 3}]
    assert [await house.events_of(user) for user in ("u0", "u1")] == [1, 1]


async def test_worker_raises_what_no_retry_cures(house: House, redis_client: redis.asyncio.Redis) -> None:
    worker = await house.worker(0, checkpoint_events=1)
    await redis_client.lpush(profile_key("t", "u0"), "not a profile")
    with pytest.raises(StoreError):
        await worker.take(clicks(0, 1))
    assert house.broker.commits == []


async def test_worker_drops_a_partition_that_a_newer_owner_has(house: House) -> None:
    worker = await house.worker(0, 1, checkpoint_events=2)
    await house.partitions.acquire(0)
    await worker.take(clicks(0, 2))
    assert list(worker.owned) == [1]
    assert worker.counts["partitions_lost"] == 1
    assert house.broker.commits == []
    await worker.take(clicks(2, 4))
    assert worker.counts["events"] == 2, "what follows is left to the owner"
    await worker.take(clicks(0, 2, number=1))
    assert house.broker.commits == [{(topics.EVENTS, 1): 2}]


async def test_tick_drops_a_partition_that_a_newer_owner_has(house: House) -> None:
    worker = await house.worker(0, checkpoint_s=1.0)
    await worker.take(clicks(0, 2))
    await house.partitions.acquire(0)
    house.clock.now_s = 1.0
    await worker.tick()
    assert worker.owned == {}
    assert worker.counts["partitions_lost"] == 1


async def test_partition_that_was_lost_without_a_rebalance_ends_the_process(house: House) -> None:
    """Whoever took it has died: without an end, nobody would ever have it."""
    worker = await house.worker(0, checkpoint_events=2, lost_s=90.0)
    await house.partitions.acquire(0)
    await worker.take(clicks(0, 2))
    house.clock.now_s = 90.0
    await worker.tick()
    house.clock.now_s = 90.1
    with pytest.raises(PartitionLost, match="partition 0 was lost 90 s ago and no rebalance has come"):
        await worker.tick()
    await worker.take_over(assigned(0))
    await worker.tick()


# ---- release


async def test_release_writes_what_is_not_durable_and_lets_go(house: House) -> None:
    worker = await house.worker(0, 1)
    await worker.take(clicks(0, 3))
    await worker.release(assigned(0))
    assert list(worker.owned) == [1]
    assert await house.marker(0) == 3
    assert house.broker.commits == [{(topics.EVENTS, 0): 3}]
    after = house.idle_worker()
    assert await after.take_over(assigned(0)) == {TP(topics.EVENTS, 0): 3, TP(topics.ATTRIBUTES, 0): 0}


async def test_release_of_a_partition_that_a_newer_owner_has_lets_go_without_an_error(house: House) -> None:
    worker = await house.worker(0, 1)
    await worker.take(clicks(0, 3))
    await worker.take(clicks(0, 2, number=1))
    await house.partitions.acquire(0)
    await worker.release(assigned(0, 1))
    assert worker.owned == {}
    assert worker.counts["partitions_lost"] == 1
    assert await house.marker(1) == 2


async def test_release_gives_up_within_one_budget_for_all_partitions_and_loses_nothing(house: House) -> None:
    """Waits of 0.05 and 0.1 s fit into 0.3 s, so each of three partitions alone would make three tries: nine."""
    worker = await house.worker(0, 1, 2, release_s=0.3)
    for number in range(3):
        await worker.take(clicks(0, 2, number=number))
    house.partitions.away_for = 1_000_000
    await worker.release(assigned(0, 1, 2))
    assert worker.owned == {}
    assert worker.counts["releases_abandoned"] == 3
    assert 3 <= house.partitions.tries < 9
    assert house.broker.commits == []
    house.partitions.away_for = 0
    after = await house.worker(0, checkpoint_events=2)
    await after.take(clicks(0, 2))
    assert [await house.events_of(f"u{offset}") for offset in range(2)] == [1, 1], "applied once, whoever did it"


async def test_release_does_not_wait_for_a_checkpoint_that_waits_for_the_store(house: House) -> None:
    worker = await house.worker(0, checkpoint_events=2, release_s=0.1)
    house.partitions.away_for = 1_000_000
    taking = asyncio.create_task(worker.take(clicks(0, 2)))
    await until(lambda: worker.counts["retries"] >= 1)
    await worker.release(assigned(0))
    assert worker.owned == {}
    assert worker.counts["releases_abandoned"] == 1
    await house.partitions.acquire(0)
    house.partitions.away_for = 0
    await taking
    assert house.broker.commits == [], "the new owner's epoch refused what came too late"
    assert worker.counts["partitions_lost"] == 1


# ---- time


async def requests_after(house: House, worker: ProfilesWorker, now_s: float) -> list[str]:
    house.clock.now_s = now_s
    await worker.tick()
    return sorted(codec.decode_request(value).user_id for value in house.broker.on(topics.REQUESTS))


async def test_tick_fires_the_triggers_of_a_quiet_live_partition_when_they_are_due_and_not_before(house: House) -> None:
    """u's trigger is due 30 s after its visit, v's 30 s after its click at 20 s, with which the partition falls quiet."""
    worker = await house.worker(0, rules=LIVE, checkpoint_s=0.0)
    house.clock.now_s = 20.0
    await worker.take(events(event(0, "u", kind="visit"), event(1, "v", kind="visit"), event(2, "v", at_s=20.0)))
    assert await requests_after(house, worker, 29.9) == []
    assert await requests_after(house, worker, 30.0) == ["u"]
    assert await requests_after(house, worker, 49.9) == ["u"]
    assert await requests_after(house, worker, 50.0) == ["u", "v"]


async def test_tick_never_moves_the_time_of_a_replay(house: House) -> None:
    worker = await house.worker(0, checkpoint_s=0.0)
    await worker.take(events(event(0, "u", kind="visit")))
    assert await requests_after(house, worker, 86_400.0) == []
    assert worker.owned[0].watermark_ms == START_MS


async def test_live_epochs_rise_above_those_of_a_redis_that_forgot_its_checkpoints(
    house: House, redis_client: redis.asyncio.Redis
) -> None:
    before = await house.worker(0, rules=LIVE)
    epoch = before.owned[0].epoch
    await redis_client.flushall()
    house.clock.now_s = 1.0
    after = await house.worker(0, rules=LIVE)
    assert after.owned[0].epoch > epoch


@pytest.fixture(autouse=True)
async def _no_task_is_left() -> AsyncIterator[None]:
    yield
    assert asyncio.all_tasks() == {asyncio.current_task()}
