"""Laws of the watch: a partition stands still only while records wait for it, and whoever does not answer is away."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import pytest
import redis.asyncio
from faust.types import TP

from models.errors import SerenError, StoreUnavailable
from streams.agents.outages import Outages
from streams.embedded.broker import start_broker
from streams.observability import watch as watch_module
from streams.observability.watch import Servers, Watch

EVENTS = TP("behaviour-events", 0)


class HandClock:
    def __init__(self) -> None:
        self.now_s = 1_000.0

    def time(self) -> float:
        return self.now_s

    def monotonic(self) -> float:
        return self.now_s


class World:
    """A worker at a position, and the servers that it leans on."""

    def __init__(self) -> None:
        self.clock = HandClock()
        self.outages = Outages(self.clock, Counter())
        self.assigned: frozenset[int] | None = frozenset({0})
        self.position: int | None = 0
        self.end = 0
        self.trouble: SerenError | None = None
        self.answers = True
        self.watch = Watch(self, self, clock=self.clock)

    def positions(self) -> dict[TP, int]:
        return {} if self.position is None else {EVENTS: self.position}

    async def ping(self) -> None:
        if not self.answers:
            await asyncio.Event().wait()
        if self.trouble is not None:
            raise self.trouble

    async def ends(self, partitions: Iterable[TP]) -> Mapping[TP, int]:
        return dict.fromkeys(partitions, self.end)

    async def look(self, after_s: float = 0.0, **change: Any) -> None:
        self.clock.now_s += after_s
        for name, value in change.items():
            setattr(self, name, value)
        await self.watch.look()


@pytest.fixture
def world() -> World:
    return World()


async def test_partition_stands_still_from_when_records_wait_until_it_moves(world: World) -> None:
    await world.look()
    await world.look(3_600.0)
    assert world.watch.standing_s() == {}  # an hour without records is no standstill
    await world.look(end=5)
    world.clock.now_s += 40.0
    assert world.watch.standing_s() == {EVENTS: 40.0}
    world.position = 2
    assert world.watch.standing_s() == {}  # seen at once, before the next look
    await world.look(5.0)
    await world.look(7.0)
    assert world.watch.standing_s() == {EVENTS: 7.0}
    await world.look(1.0, position=5)
    assert (world.watch.standing_s(), world.watch.lags()) == ({}, {EVENTS: 0})


async def test_lag_is_not_told_before_the_position_is_known_and_the_standstill_is(world: World) -> None:
    await world.look(position=-1, end=7)
    world.clock.now_s += 9.0
    assert world.watch.lags() == {}
    assert world.watch.standing_s() == {EVENTS: 9.0}
    await world.look(position=4)
    assert world.watch.lags() == {EVENTS: 3}


async def test_partition_that_has_gone_is_not_watched_any_more(world: World) -> None:
    await world.look(end=5)
    await world.look(10.0, position=None)
    assert (world.watch.standing_s(), world.watch.lags()) == ({}, {})


async def test_who_fails_is_away_until_the_next_answer(world: World) -> None:
    await world.look(trouble=StoreUnavailable("away"))
    world.clock.now_s += 6.0
    assert world.outages.away_s() == {"redis": 6.0}
    await world.look(trouble=None)
    assert world.outages.away_s() == {}


async def test_who_never_answers_is_away_and_holds_up_nobody(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_module, "ASK_S", 0.01)
    await world.look(answers=False, end=3)
    assert set(world.outages.away_s()) == {"redis"}
    assert world.watch.lags() == {EVENTS: 3}


async def test_worker_is_unsettled_until_it_has_what_was_assigned(world: World) -> None:
    await world.look(assigned=None, position=None)
    await world.look(20.0)
    assert world.watch.unsettled_s() == 20.0
    await world.look(5.0, assigned=frozenset({0}))
    assert world.watch.unsettled_s() == 25.0
    await world.look(5.0, position=0)
    assert world.watch.unsettled_s() == 0.0
    await world.look(5.0, assigned=frozenset(), position=None)  # a standby has all that it was assigned
    assert world.watch.unsettled_s() == 0.0


async def test_beat_is_as_old_as_the_event_loop_is_stuck(world: World) -> None:
    beating = asyncio.create_task(world.watch.beat())
    await asyncio.sleep(0)
    world.clock.now_s += 12.0
    assert world.watch.beat_age_s() == 12.0
    beating.cancel()
    await asyncio.gather(beating, return_exceptions=True)


async def test_servers_ask_a_real_redis_and_a_real_broker(redis_client: redis.asyncio.Redis) -> None:
    seen = []

    def work_ends(ends: Mapping[TP, int]) -> Mapping[TP, int]:
        seen.append(dict(ends))
        return ends

    with start_broker({"behaviour-events": 2}) as broker:
        servers = Servers(redis_client, bootstrap=broker.bootstrap, topic="behaviour-events", work_ends=work_ends)
        await servers.ping()
        await servers.ends([])
        await servers.ends([TP("behaviour-events", 0), TP("behaviour-events", 1)])
        await servers.close()
    assert seen == [{EVENTS: 0}, {EVENTS: 0, TP("behaviour-events", 1): 0}]


async def test_servers_that_are_away_are_seren_errors() -> None:
    client = redis.asyncio.Redis(port=1)
    servers = Servers(client, bootstrap="127.0.0.1:1", topic="behaviour-events", work_ends=dict)
    with pytest.raises(SerenError, match="Redis is away"):
        await servers.ping()
    with pytest.raises(SerenError, match=r"127\.0\.0\.1:1"):
        await servers.ends([])
    await servers.close()
    await client.aclose()
