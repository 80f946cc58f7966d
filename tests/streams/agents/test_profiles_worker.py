"""Laws of the profile worker, on a real Redis: when it checkpoints, what it lets go, and what an error costs."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import redis.asyncio
from faust.types import TP

from models.entities import Event, Item, UserAttributes
from models.errors import BrokerUnavailable, StoreError, StoreUnavailable
from models.profiles import ProfilePolicy, decode
from models.profiles.policy import WindowPolicy
from streams import codec, topics
from streams.agents.limits import ProfilesLimits
from streams.agents.profiles import ProfilesWorker
from streams.checkpoint import PartitionLost
from streams.embedded.redis import start_redis
from streams.keys import profile_key
from streams.knowledge import Knowledge
from streams.partition import Rules
from streams.production import Outgoing
from streams.state import PartitionStore, ProfileStore
from streams.transport import Chunk

START_MS = 20_000 * 86_400_000
NEVER_S = 1e9
KNOWN = Knowledge([Item(item_id="i0", title="thing", category=("shop", "leaf"))], max_tag_bytes=48)
REPLAY = Rules(check_clock=False, profile=ProfilePolicy(window=WindowPolicy(min_visit_days=1)))
LIVE = Rules(check_clock=True)


class Record(NamedTuple):
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()


class HandClock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def monotonic(self) -> float:
        return 5_000.0 + self.now_s

    def time(self) -> float:
        return START_MS / 1000 + self.now_s


class Broker:
    """What was produced and committed; may be away for some calls."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, bytes | None, bytes | None]] = []
        self.commits: list[dict[tuple[str, int], int]] = []
        self.away_for = 0

    async def produce(self, topic: str, records: Sequence[Outgoing]) -> None:
        if self.away_for and records:
            self.away_for -= 1
            raise BrokerUnavailable("away")
        self.sent += [(topic, record.key, record.value) for record in records]

    async def commit(self, offsets: Mapping[TP, int]) -> bool:
        self.commits.append({(tp.topic, tp.partition): offset for tp, offset in offsets.items()})
        return True

    def on(self, topic: str) -> list[bytes]:
        return [value or b"" for name, _, value in self.sent if name == topic]


class FlakyPartitions(PartitionStore):
    """The real one, away for the next `away_for` writes."""

    away_for = 0
    tries = 0

    async def write(self, partition: int, **fields: Any) -> bool:
        self.tries += 1
        if self.away_for:
            self.away_for -= 1
            raise StoreUnavailable("away")
        return await super().write(partition, **fields)


class House:
    """One Redis and one broker, and the workers that come and go."""

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self.clock = HandClock()
        self.broker = Broker()
        self.profiles = ProfileStore(client, tenant="t")
        self.partitions = FlakyPartitions(client, tenant="t")

    async def worker(self, *numbers: int, rules: Rules = REPLAY, **limits: Any) -> ProfilesWorker:
        made = self.idle_worker(rules=rules, **limits)
        await made.take_over(assigned(*numbers))
        return made

    def idle_worker(self, *, rules: Rules = REPLAY, **limits: Any) -> ProfilesWorker:
        return ProfilesWorker(
            knowledge=KNOWN,
            profiles=self.profiles,
            partitions=self.partitions,
            produce=self.broker.produce,
            commit=self.broker.commit,
            rules=rules,
            limits=ProfilesLimits(**({"checkpoint_s": NEVER_S} | limits)),
            clock=self.clock,
        )

    async def events_of(self, user_id: str) -> int:
        state = await self.profiles.read(user_id)
        return 0 if state is None else decode(state.profile).events

    async def marker(self, number: int) -> int | None:
        found = await self.partitions.read(number)
        return None if found is None else found.next_offset


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


@pytest.fixture
def house(redis_client: redis.asyncio.Redis) -> House:
    return House(redis_client)


def assigned(*numbers: int) -> set[TP]:
    return {TP(topic, number) for topic in (topics.EVENTS, topics.ATTRIBUTES) for number in numbers}


def event(offset: int, user: str, at_s: float = 0.0, kind: Any = "click", **fields: Any) -> Record:
    ts_ms = START_MS + round(at_s * 1000)
    if kind == "click":
        fields.setdefault("item_id", "i0")
    value = codec.encode(Event(event_id=f"{user}-{offset}", user_id=user, type=kind, ts_ms=ts_ms, **fields))
    return Record(offset, ts_ms, user.encode(), value)


def events(*records: Record, number: int = 0) -> Chunk:
    return Chunk(topics.EVENTS, number, list(records), records[-1].offset + 1)


def clicks(first: int, after: int, number: int = 0) -> Chunk:
    """Clicks of as many users as there are offsets; a user's events are all in one partition."""
    name = f"p{number}-u" if number else "u"
    return events(*(event(offset, f"{name}{offset}", at_s=offset) for offset in range(first, after)), number=number)


def attributes(first: int, after: int) -> Chunk:
    """One change each of the users of these offsets."""
    changes = [UserAttributes(user_id=f"u{offset}", attributes={"age": "30s"}) for offset in range(first, after)]
    records: Any = [
        Record(offset, START_MS, change.user_id.encode(), codec.encode(change))
        for offset, change in zip(range(first, after), changes, strict=True)
    ]
    return Chunk(topics.ATTRIBUTES, 0, records, after)


async def until(reached: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not reached():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.01)


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


# ---- Redis restarts and has lost what it acknowledged


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
