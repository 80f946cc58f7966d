"""Laws of the watcher: what goes backwards before a reader's eyes is a failure, unless a killed Redis has forgotten it."""

from __future__ import annotations

import asyncio

import pytest
import redis.asyncio
from redis.asyncio.client import Pipeline

from streams.chaos.watcher import Monotonic, Standstill, Watcher
from streams.keys import checkpoint_key, profile_key, slate_key
from streams.state import ProfileState, encode_profile_state


def test_fence_that_rises_is_seen_and_is_no_failure() -> None:
    seen = Monotonic()
    for epoch, offset in ((1, 5), (1, 5), (1, 6), (2, 6), (3, 9)):
        seen.see("slate of u", epoch, offset)
    assert seen.failures == []
    assert (seen.counts["looks"], seen.counts["changes seen"]) == (5, 3)


def test_epoch_or_offset_that_falls_is_a_failure_of_its_name_alone() -> None:
    seen = Monotonic()
    seen.see("slate of u", 2, 6)
    seen.see("slate of v", 1, 1)
    seen.see("slate of u", 1, 7)
    seen.see("profile of u", 1, 7)
    seen.see("profile of u", 2, 6)
    assert seen.failures == ["slate of u went back from (2, 6) to (1, 7)", "profile of u went back from (1, 7) to (2, 6)"]


def test_what_a_killed_redis_forgot_is_counted_and_then_held_again() -> None:
    seen = Monotonic()
    seen.see("slate of u", 2, 6)
    seen.redis_starts_again(lossy=True)
    seen.see("slate of u", 2, 5)
    assert seen.failures == []
    assert seen.counts["forgotten by a killed Redis"] == 1
    seen.see("slate of u", 2, 4)
    assert seen.failures == ["slate of u went back from (2, 5) to (2, 4)"]


def test_what_a_cleanly_restarted_redis_forgot_is_a_failure() -> None:
    seen = Monotonic()
    seen.see("slate of u", 2, 6)
    seen.redis_starts_again(lossy=False)
    seen.see("slate of u", 2, 5)
    assert len(seen.failures) == 1


def test_standstill_counts_only_while_records_wait() -> None:
    still = Standstill()
    for now_s, next_offset, end in (
        (0.0, 5, 9),
        (3.0, 5, 9),
        (4.0, 6, 9),
        (5.0, 9, 9),
        (90.0, 9, 9),
        (95.0, 9, 10),
        (97.0, 9, 10),
    ):
        still.see(0, next_offset=next_offset, end=end, now_s=now_s)
    assert still.longest_s == 7.0  # from 90 s on, when the end was last seen reached


async def test_watcher_sees_a_slate_a_profile_and_a_checkpoint_go_backwards_in_redis(
    redis_client: redis.asyncio.Redis,
) -> None:
    watcher = Watcher(redis_client, tenant="t", surface="home", users=["u"], partitions=1)

    async def put(offset: int) -> None:
        slate = b"SRNS" + bytes(4) + (7).to_bytes(4, "big") + offset.to_bytes(8, "big")
        await redis_client.set(slate_key("t", "u", "home"), slate)
        await redis_client.set(profile_key("t", "u"), encode_profile_state(ProfileState(7, 0, offset, b"")))
        await redis_client.hset(checkpoint_key("t", 0), mapping={"epoch": 7, "next_offset": offset})
        assert await watcher.look()

    await put(5)
    await put(6)
    assert watcher.monotonic.failures == []
    await put(4)
    assert [one.split(" went")[0] for one in watcher.monotonic.failures] == [
        "profile of u",
        "slate of u",
        "checkpoint of partition 0",
    ]


async def test_look_whose_answer_is_late_is_not_overtaken_by_the_next(
    redis_client: redis.asyncio.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    watcher = Watcher(redis_client, tenant="t", surface="home", users=["u"], partitions=1)
    await redis_client.set(profile_key("t", "u"), encode_profile_state(ProfileState(7, 0, 5, b"")))
    answered, may_go_on, execute = asyncio.Event(), asyncio.Event(), Pipeline.execute

    async def execute_slowly(pipeline: Pipeline) -> list[object]:
        answers = await execute(pipeline)
        if not answered.is_set():
            answered.set()
            await may_go_on.wait()
        return answers

    monkeypatch.setattr(Pipeline, "execute", execute_slowly)
    first = asyncio.create_task(watcher.look())
    await answered.wait()
    await redis_client.set(profile_key("t", "u"), encode_profile_state(ProfileState(8, 0, 5, b"")))
    second = asyncio.create_task(watcher.look())
    await asyncio.wait({second}, timeout=0.05)
    may_go_on.set()
    assert await first
    assert await second
    assert watcher.monotonic.counts["looks"] == 2
    assert watcher.monotonic.failures == []


async def test_commit_ahead_of_its_state_is_a_failure_unless_the_state_was_forgotten(
    redis_client: redis.asyncio.Redis,
) -> None:
    watcher = Watcher(redis_client, tenant="t", surface="home", users=["u"], partitions=1)
    watcher.compare_committed("events", {0: 5}, {0: 5})
    watcher.monotonic.redis_starts_again(lossy=True)
    watcher.compare_committed("events", {0: 5}, {0: 3})
    watcher.compare_committed("events", {0: 5}, {0: 8})
    assert watcher.monotonic.failures == []
    watcher.compare_committed("events", {0: 9}, {0: 8})
    assert watcher.monotonic.failures == ["events, partition 0: 9 is committed, the state ends at 8"]
