"""The fence of profiles, epochs and timers, against a real Redis."""

from __future__ import annotations

import asyncio

import pytest
import redis.asyncio
from hypothesis import given
from hypothesis import strategies as st

from models.errors import DecodeError, StoreError, StoreUnavailable, UnknownVersion
from streams.keys import profile_key
from streams.state import (
    CLAIM_TTL_MS,
    Checkpoint,
    Fenced,
    PartitionStore,
    ProfileState,
    ProfileStore,
    ProfileWrite,
    Restarted,
    decode_profile_state,
    encode_profile_state,
)

TTL_MS = 60_000
BIG = 2**53  # from here on a Lua number cannot tell neighbours apart


@pytest.fixture
def profiles(redis_client: redis.asyncio.Redis) -> ProfileStore:
    return ProfileStore(redis_client, tenant="t")


@pytest.fixture
def partitions(redis_client: redis.asyncio.Redis) -> PartitionStore:
    return PartitionStore(redis_client, tenant="t")


async def write(store: ProfileStore, offset: int, *, epoch: int, partition: int = 0, profile: bytes = b"p") -> bool:
    [accepted] = await store.write([ProfileWrite("u", offset, profile, TTL_MS)], epoch=epoch, partition=partition)
    return accepted


async def test_claim_of_absent_user_is_none_and_closes_the_user_to_older_epochs(
    profiles: ProfileStore, redis_client: redis.asyncio.Redis
) -> None:
    for _ in range(2):
        assert await profiles.claim(["u", "v"], epoch=2, partition=0) == [None, None]
    assert await profiles.read("u") is None
    assert 0 < await redis_client.pttl(profile_key("t", "u")) <= CLAIM_TTL_MS
    assert not await write(profiles, 5, epoch=1)
    assert await profiles.claim(["u"], epoch=1, partition=0) == [Fenced(2)]
    assert await profiles.claim(["u"], epoch=3, partition=0) == [None]
    assert not await write(profiles, 5, epoch=2)
    assert await profiles.claim(["u"], epoch=1, partition=7) == [None]
    assert await write(profiles, 0, epoch=1, partition=7)
    assert await profiles.read("u") == ProfileState(1, 7, 0, b"p")


async def test_claim_returns_the_state_as_written_in_order_of_users(profiles: ProfileStore) -> None:
    await profiles.write([ProfileWrite("a", 7, b"A\x00", TTL_MS), ProfileWrite("c", 8, b"", TTL_MS)], epoch=1, partition=0)
    assert await profiles.claim(["c", "b", "a"], epoch=2, partition=0) == [
        ProfileState(1, 0, 8, b""),
        None,
        ProfileState(1, 0, 7, b"A\x00"),
    ]


@pytest.mark.parametrize(
    ("epoch", "offset", "accepted"),
    [(5, 9, False), (5, 10, True), (5, 11, True), (4, 11, False), (4, 10, False), (6, 10, True), (6, 3, True)],
)
async def test_write_is_accepted_iff_its_fence_is_not_older(
    profiles: ProfileStore, epoch: int, offset: int, accepted: bool
) -> None:
    assert await write(profiles, 10, epoch=5)
    assert await write(profiles, offset, epoch=epoch, profile=b"new") is accepted
    state = await profiles.read("u")
    assert state == (ProfileState(epoch, 0, offset, b"new") if accepted else ProfileState(5, 0, 10, b"p"))


@pytest.mark.parametrize("offset", [BIG + 1, 2**32 * 3, 2**63 - 1])
async def test_write_tells_neighbouring_offsets_apart_beyond_what_a_lua_number_can(
    profiles: ProfileStore, offset: int
) -> None:
    assert await write(profiles, offset, epoch=1)
    assert not await write(profiles, offset - 1, epoch=1)
    assert await write(profiles, offset, epoch=1)


async def test_zombie_write_after_claim_by_a_newer_owner_is_refused(profiles: ProfileStore) -> None:
    """The newer owner has only read so far: its claim alone must shut the zombie out, even at a higher offset."""
    await write(profiles, 10, epoch=1, profile=b"one")
    [state] = await profiles.claim(["u"], epoch=2, partition=0)
    assert state == ProfileState(1, 0, 10, b"one")
    assert not await write(profiles, 99, epoch=1, profile=b"zombie")
    assert await write(profiles, 11, epoch=2, profile=b"two")
    assert await profiles.read("u") == ProfileState(2, 0, 11, b"two")


async def test_zombie_claim_is_fenced_and_changes_nothing(profiles: ProfileStore) -> None:
    await write(profiles, 10, epoch=3)
    assert await profiles.claim(["u"], epoch=2, partition=0) == [Fenced(3)]
    assert await write(profiles, 11, epoch=3)


async def test_claim_keeps_the_expiry(profiles: ProfileStore, redis_client: redis.asyncio.Redis) -> None:
    await write(profiles, 10, epoch=1)
    await profiles.claim(["u"], epoch=2, partition=0)
    assert 0 < await redis_client.pttl(profile_key("t", "u")) <= TTL_MS


async def test_claim_by_another_partition_hands_the_user_over_and_refuses_the_old_one(profiles: ProfileStore) -> None:
    await write(profiles, 500, epoch=9, partition=0, profile=b"old")
    assert not await write(profiles, 600, epoch=10, partition=1)
    assert await profiles.claim(["u"], epoch=1, partition=1) == [ProfileState(9, 0, 500, b"old")]
    assert not await write(profiles, 501, epoch=9, partition=0)
    assert await write(profiles, 3, epoch=1, partition=1, profile=b"new")
    assert await profiles.read("u") == ProfileState(1, 1, 3, b"new")


async def test_claim_of_foreign_bytes_is_that_users_error_alone(
    profiles: ProfileStore, redis_client: redis.asyncio.Redis
) -> None:
    await write(profiles, 1, epoch=1)
    await redis_client.set(profile_key("t", "junk"), b"not a state, but long enough for a header")
    later = bytearray(encode_profile_state(ProfileState(1, 0, 1, b"")))
    later[5] = 9
    await redis_client.set(profile_key("t", "later"), bytes(later))
    junk, unknown, good = await profiles.claim(["junk", "later", "u"], epoch=2, partition=0)
    assert type(junk) is DecodeError
    assert type(unknown) is UnknownVersion
    assert good == ProfileState(1, 0, 1, b"p")


async def test_concurrent_writers_leave_the_newest_fence(profiles: ProfileStore) -> None:
    fences = [(epoch, offset) for epoch in (1, 2, 3) for offset in range(20)]
    order = sorted(fences, key=lambda fence: hash((fence[1] * 7919, fence[0])))
    await asyncio.gather(
        *(write(profiles, offset, epoch=epoch, profile=b"%d/%d" % (epoch, offset)) for epoch, offset in order)
    )
    assert await profiles.read("u") == ProfileState(3, 0, 19, b"3/19")


async def test_write_of_more_users_than_one_round_trip_answers_each_in_order(profiles: ProfileStore) -> None:
    users = [f"u{at}" for at in range(1_201)]
    await profiles.write([ProfileWrite(users[at], 50, b"", TTL_MS) for at in range(0, 1_201, 3)], epoch=1, partition=0)
    answers = await profiles.write([ProfileWrite(user, 10, b"", TTL_MS) for user in users], epoch=1, partition=0)
    assert answers == [at % 3 != 0 for at in range(1_201)]


async def test_write_after_redis_has_forgotten_its_scripts_is_accepted(
    profiles: ProfileStore, redis_client: redis.asyncio.Redis
) -> None:
    assert await write(profiles, 1, epoch=1)
    await redis_client.script_flush()
    assert await write(profiles, 2, epoch=1)
    await redis_client.script_flush()
    assert await profiles.claim(["u"], epoch=1, partition=0) == [ProfileState(1, 0, 2, b"p")]


async def test_forget_deletes_the_state(profiles: ProfileStore) -> None:
    await write(profiles, 1, epoch=1)
    assert [await profiles.forget("u"), await profiles.forget("u")] == [True, False]
    assert await profiles.read("u") is None


async def test_store_away_is_unavailable_and_wrong_type_is_not(
    profiles: ProfileStore, redis_client: redis.asyncio.Redis
) -> None:
    await redis_client.lpush(profile_key("t", "u"), "a list")
    with pytest.raises(StoreError, match="WRONGTYPE") as raised:
        await write(profiles, 1, epoch=1)
    assert not raised.value.retriable
    nobody = redis.asyncio.Redis(host="127.0.0.1", port=1, retry=None)
    with pytest.raises(StoreUnavailable):
        await ProfileStore(nobody, tenant="t").claim(["u"], epoch=1, partition=0)
    await nobody.aclose()


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.integers(0, 2**63 - 1), st.binary(max_size=64))
def test_profile_state_survives_encoding(epoch: int, partition: int, offset: int, profile: bytes) -> None:
    state = ProfileState(epoch, partition, offset, profile)
    assert decode_profile_state(encode_profile_state(state)) == state


@given(st.binary(max_size=40) | st.binary(max_size=40).map(lambda tail: b"SRNP\x00\x01" + tail))
def test_decode_profile_state_of_any_bytes_is_a_state_or_a_decode_error(value: bytes) -> None:
    try:
        state = decode_profile_state(value)
    except DecodeError:
        return
    assert state.profile == value[24:]


@pytest.mark.parametrize(
    "state", [ProfileState(-1, 0, 0, b""), ProfileState(2**32, 0, 0, b""), ProfileState(0, 0, 2**63, b"")]
)
def test_encode_profile_state_out_of_bounds_is_a_value_error(state: ProfileState) -> None:
    with pytest.raises(ValueError, match="is not within"):
        encode_profile_state(state)


async def test_acquire_hands_out_rising_epochs_and_the_last_checkpoint(partitions: PartitionStore) -> None:
    assert await partitions.read(3) is None
    first = await partitions.acquire(3)
    assert first == Checkpoint(1, 0, None, None, life=first.life)
    assert await partitions.write(3, epoch=1, number=4, next_offset=BIG + 1, watermark_ms=99, next_attribute=7)
    assert await partitions.acquire(3) == Checkpoint(2, 4, BIG + 1, 99, 7, first.life)
    assert await partitions.read(3) == Checkpoint(2, 4, BIG + 1, 99, 7)
    assert await partitions.acquire(4) == Checkpoint(1, 0, None, None, 0, first.life)


async def test_checkpoint_for_another_life_of_redis_is_not_recorded_and_names_the_life(
    partitions: PartitionStore, redis_client: redis.asyncio.Redis
) -> None:
    life = (await partitions.acquire(0)).life
    assert life == await partitions.life(0) == (await redis_client.info("server"))["run_id"]
    places = {"epoch": 1, "number": 1, "next_offset": 5, "watermark_ms": 7}
    assert await partitions.write(0, **places, life="another") == Restarted(life)
    assert await partitions.read(0) == Checkpoint(1, 0, None, None)
    assert await partitions.write(0, **places, life=life) is True
    await partitions.acquire(0)
    assert await partitions.write(0, **places, life="another") is False, "a zombie is refused first"


async def test_acquire_by_many_at_once_gives_each_its_own_epoch(partitions: PartitionStore) -> None:
    taken = await asyncio.gather(*(partitions.acquire(0) for _ in range(20)))
    assert sorted(checkpoint.epoch for checkpoint in taken) == list(range(1, 21))


async def test_acquire_with_a_floor_never_goes_below_it_nor_back(partitions: PartitionStore) -> None:
    floors = [0, 1_700_000_000, 5, 1_700_000_001, 2**32 - 1]
    epochs = [(await partitions.acquire(0, floor=floor)).epoch for floor in floors]
    assert epochs == [1, 1_700_000_000, 1_700_000_001, 1_700_000_002, 2**32 - 1]


async def test_checkpoint_of_an_older_owner_is_refused(partitions: PartitionStore) -> None:
    await partitions.acquire(0)
    await partitions.acquire(0)
    assert not await partitions.write(0, epoch=1, number=9, next_offset=9, watermark_ms=9)
    assert await partitions.write(0, epoch=2, number=1, next_offset=5, watermark_ms=7)
    assert await partitions.read(0) == Checkpoint(2, 1, 5, 7)


async def test_checkpoint_repeated_is_accepted_and_an_older_number_refused(partitions: PartitionStore) -> None:
    await partitions.acquire(0)
    for number, accepted in ((1, True), (2, True), (2, True), (1, False)):
        assert await partitions.write(0, epoch=1, number=number, next_offset=number * 10, watermark_ms=0) is accepted
    assert await partitions.read(0) == Checkpoint(1, 2, 20, 0)


async def test_timers_are_read_earliest_first_and_up_to_a_time(partitions: PartitionStore) -> None:
    await partitions.acquire(0)
    assert await partitions.write_due(0, epoch=1, due_ms={"late": 30, "b{}": 20, "a": 20, "gone": 1})
    assert await partitions.write_due(0, epoch=1, due_ms={"late": 40}, clear=["gone", "never there"])
    assert await partitions.read_due(0) == [("a", 20), ("b{}", 20), ("late", 40)]
    assert await partitions.read_due(0, until_ms=20) == [("a", 20), ("b{}", 20)]
    assert await partitions.read_due(1) == []


async def test_timers_beyond_one_page_are_all_read(partitions: PartitionStore) -> None:
    due_ms = {f"u{at:04}": at for at in range(1_100)}
    assert await partitions.write_due(0, epoch=1, due_ms=due_ms)
    assert dict(await partitions.read_due(0)) == due_ms


async def test_timers_of_an_older_owner_are_refused(partitions: PartitionStore) -> None:
    await partitions.acquire(0)
    await partitions.write_due(0, epoch=1, due_ms={"u": 5})
    await partitions.acquire(0)
    assert not await partitions.write_due(0, epoch=1, due_ms={"v": 5}, clear=["u"])
    assert await partitions.read_due(0) == [("u", 5)]


async def test_timers_are_not_cleared_in_another_life_of_redis(partitions: PartitionStore) -> None:
    """The states that clearing rests on may have been lost with the life before."""
    found = await partitions.acquire(0)
    await partitions.write_due(0, epoch=1, due_ms={"u": 5})
    assert not await partitions.write_due(0, epoch=1, due_ms={}, clear=["u"], life="f" * 40)
    assert await partitions.read_due(0) == [("u", 5)]
    assert await partitions.write_due(0, epoch=1, due_ms={}, clear=["u"], life=found.life)
    assert await partitions.read_due(0) == []
