"""Laws of the profile worker whose Redis dies, comes back, or has forgotten what it acknowledged."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import redis.asyncio

from models.errors import StoreError
from streams import topics
from streams.embedded.redis import start_redis
from tests.streams.agents.one_profiles_worker import (
    House,
    assigned,
    clicks,
    until,
)


class Forgetful:
    """A Redis that keeps nothing when it restarts, and a house on it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._server = start_redis(folder)
        self._client = redis.asyncio.Redis.from_url(self._server.url)
        self.house = House(self._client)

    async def restart(self) -> None:
        self._server.stop()
        await self._client.connection_pool.disconnect()
        self._server = start_redis(self._folder, port=self._server.port)

    async def close(self) -> None:
        await self._client.aclose()
        self._server.stop()


async def test_worker_waits_for_a_redis_that_died_and_loses_nothing(tmp_path: Path) -> None:
    """A real server that dies and comes back on its port with its append-only file."""
    first = start_redis(tmp_path, append_only=True)
    client = redis.asyncio.Redis.from_url(first.url)
    try:
        house = House(client)
        worker = await house.worker(0, checkpoint_events=1)
        await worker.take(clicks(0, 1))
        os.kill(first.pid, signal.SIGKILL)
        first.stop()
        taking = asyncio.create_task(worker.take(clicks(1, 4)))
        await until(lambda: worker.counts["retries"] >= 1)
        assert not taking.done()
        with start_redis(tmp_path, port=first.port, append_only=True):
            await taking
            assert await house.marker(0) == 4
            assert [await house.events_of(f"u{offset}") for offset in range(4)] == [1, 1, 1, 1]
            assert house.broker.commits[-1] == {(topics.EVENTS, 0): 4}
            await client.aclose()
    finally:
        first.stop()


@pytest.fixture
async def forgetful(tmp_path: Path) -> AsyncIterator[Forgetful]:
    one = Forgetful(tmp_path)
    yield one
    await one.close()


async def test_worker_writes_everything_again_when_redis_restarts_with_nothing(forgetful: Forgetful) -> None:
    house = forgetful.house
    worker = await house.worker(0, checkpoint_events=2)
    await worker.take(clicks(0, 2))
    await forgetful.restart()
    await worker.take(clicks(2, 4))
    assert [await house.events_of(f"u{offset}") for offset in range(4)] == [1, 1, 1, 1]
    assert await house.marker(0) == 4
    assert worker.counts["store_restarts"] == 1
    await worker.take(clicks(4, 6))
    assert worker.counts["store_restarts"] == 1


async def test_quiet_worker_notices_that_redis_restarted(forgetful: Forgetful) -> None:
    house = forgetful.house
    worker = await house.worker(0, checkpoint_events=2, idle_s=10.0)
    await worker.take(clicks(0, 2))
    await forgetful.restart()
    house.clock.now_s = 9.9
    await worker.tick()
    assert await house.events_of("u0") == 0
    house.clock.now_s = 10.0
    await worker.tick()
    assert await house.events_of("u0") == 1


async def test_restart_right_after_a_takeover_ends_the_process_because_the_owner_before_may_have_lost_states(
    forgetful: Forgetful,
) -> None:
    house = forgetful.house
    before = await house.worker(0, checkpoint_events=2)
    await before.take(clicks(0, 2))
    await before.release(assigned(0))
    after = await house.worker(0, checkpoint_events=2, durable_s=3.0)
    await forgetful.restart()
    with pytest.raises(StoreError, match="right after the takeover of partition 0"):
        await after.take(clicks(2, 4))
    assert await house.events_of("u2") == 0, "a state that lacks events of before would never get them again"
    assert await house.marker(0) is None, "whoever comes next starts where what survived ends: at the beginning"


async def test_process_that_ends_after_such_a_restart_records_no_checkpoint_on_its_way_out(forgetful: Forgetful) -> None:
    house = forgetful.house
    before = await house.worker(0, checkpoint_events=2)
    await before.take(clicks(0, 2))
    await before.release(assigned(0))
    after = await house.worker(0, checkpoint_events=9, checkpoint_s=5.0, durable_s=60.0)
    await after.take(clicks(2, 4))
    await forgetful.restart()
    house.clock.now_s = 5.0
    with pytest.raises(StoreError):
        await after.tick()
    await after.release(assigned(0))
    assert await house.marker(0) is None, "the states of the owner before are lost: whoever is next must start before them"


async def test_restart_long_after_a_takeover_is_survived(forgetful: Forgetful) -> None:
    house = forgetful.house
    before = await house.worker(0, checkpoint_events=2)
    await before.take(clicks(0, 2))
    await before.release(assigned(0))
    after = await house.worker(0, checkpoint_events=2, durable_s=3.0)
    house.clock.now_s = 3.0
    await after.take(clicks(2, 4))
    await forgetful.restart()
    await after.take(clicks(4, 6))
    assert [await house.events_of(f"u{offset}") for offset in range(2, 6)] == [1, 1, 1, 1]
    assert await house.marker(0) == 6


@pytest.fixture(autouse=True)
async def _no_task_is_left() -> AsyncIterator[None]:
    yield
    assert asyncio.all_tasks() == {asyncio.current_task()}
