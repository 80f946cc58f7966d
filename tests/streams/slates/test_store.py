"""The fenced publish, against a real Redis."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import msgspec
import pytest
import redis.asyncio
from backports import zstd
from hypothesis import given
from hypothesis import strategies as st

from models.entities import Behaviour, Candidate, Digest, Filtered, ScoredItem, Slate, Source, Tag, Trace
from models.errors import DecodeError, RequestError, StoreError, StoreUnavailable
from streams.embedded.redis import RunningRedis, start_redis
from streams.keys import slate_key, why_key
from streams.slates.packed import encode_slate
from streams.slates.store import TRACE_BYTES, Publication, SlateStore, decode_trace, encode_trace, jittered_ttl_ms

HARD_TTL_MS = 60_000
KEY = slate_key("t", "u", "home")

ITEM = ScoredItem(item_id="i", serendipity=0.5, relevance=1.0, unexpectedness=1.0, aligned=0.5, propensity=1.0, reason=1)
TRACE = Trace(
    user_id="u",
    surface="home",
    reason="visit",
    as_of_ms=5,
    offset=7,
    digest=Digest(
        static=("adult",),
        short_term=(Tag("t-light", "category", 0.5, (3, 7)),),
        history=(Behaviour("click", "a title", 4, 7, "i", "t-light"),),
    ),
    imagined=("a lamp", "a star"),
    candidates=(Candidate(item_id="i", relevance=0.25, sources=(Source("keyword", 1, 2, 3.5),)),),
    filtered=(Filtered("j", "owned"),),
    kept=(ITEM,),
)


def slate(offset: int, *, epoch: int = 1, user: str = "u", model: str = "m", item: ScoredItem = ITEM) -> Slate:
    return Slate(
        user_id=user,
        surface="home",
        epoch=epoch,
        offset=offset,
        watermark_ms=1,
        published_ms=2,
        soft_expiry_ms=3,
        model_id=model,
        tier="serengpt",
        items=(item,),
    )


@pytest.fixture
def store(redis_client: redis.asyncio.Redis) -> SlateStore:
    return SlateStore(redis_client, tenant="t", hard_ttl_ms=HARD_TTL_MS)


async def test_slate_that_replaces_a_stale_one_is_counted(store: SlateStore) -> None:
    """Stale from 3 ms on: published at 2 (fresh), over it at 2 (still fresh), at 3 (stale), refused, repeated."""
    stale_replaced = []
    for offset, published_ms, soft_expiry_ms in (
        (1, 2, 3),
        (2, 2, 3),
        (3, 3, 2**40),
        (4, 2**40 - 1, 7),
        (3, 99, 0),
        (4, 99, 0),
    ):
        one = msgspec.structs.replace(slate(offset), published_ms=published_ms, soft_expiry_ms=soft_expiry_ms)
        await publish(store, one)
        stale_replaced.append(store.stale_replaced)
    assert stale_replaced == [0, 0, 1, 1, 1, 1]
    await publish(store, msgspec.structs.replace(slate(5), published_ms=2**40))
    assert store.stale_replaced == 2


async def publish(store: SlateStore, one: Slate, trace: Trace | None = None) -> object:
    [outcome] = await store.publish([Publication(one, trace)])
    return outcome


async def test_published_slate_and_trace_are_read_back(store: SlateStore, redis_client: redis.asyncio.Redis) -> None:
    assert await publish(store, slate(7), TRACE) == "accepted"
    assert await redis_client.get(KEY) == encode_slate(slate(7))
    assert await store.why("u", "home") == TRACE
    assert await store.read("u", "other") is None
    assert await store.why("v", "home") is None


@pytest.mark.parametrize(
    ("epoch", "offset", "outcome"),
    [
        (5, 10, "repeated"),
        (5, 9, "refused"),
        (5, 11, "accepted"),
        (4, 11, "refused"),
        (4, 10, "refused"),
        (6, 10, "accepted"),
        (6, 3, "accepted"),
    ],
)
async def test_publish_goes_by_epoch_then_offset(store: SlateStore, epoch: int, offset: int, outcome: str) -> None:
    await publish(store, slate(10, epoch=5, model="first"), TRACE)
    later = msgspec.structs.replace(TRACE, offset=offset, imagined=())
    assert await publish(store, slate(offset, epoch=epoch, model="second"), later) == outcome
    stored, why = await store.read("u", "home"), await store.why("u", "home")
    assert stored is not None
    assert why is not None
    shown = (stored.model_id, stored.epoch, stored.offset, why)
    assert shown == (("second", epoch, offset, later) if outcome == "accepted" else ("first", 5, 10, TRACE))


@pytest.mark.parametrize(("behind_ms", "outcome"), [(1, "refused"), (0, "accepted"), (-1, "accepted")])
async def test_publish_of_a_new_owner_that_knows_less_event_time_is_refused(
    store: SlateStore, behind_ms: int, outcome: str
) -> None:
    """An owner that takes over asks again what the one before asked and did not store, the oldest first."""
    before, after = slate(21, epoch=1), slate(6, epoch=2)
    await store.publish([Publication(before, None)])
    after = msgspec.structs.replace(after, watermark_ms=before.watermark_ms - behind_ms)
    assert await store.publish([Publication(after, None)]) == [outcome]


@pytest.mark.parametrize("offset", [2**53 + 1, 2**32, 2**63 - 1])
async def test_publish_tells_neighbouring_offsets_apart_beyond_what_a_lua_number_can(store: SlateStore, offset: int) -> None:
    outcomes = [await publish(store, slate(at)) for at in (offset - 1, offset, offset - 1, offset)]
    assert outcomes == ["accepted", "accepted", "refused", "repeated"]


async def test_publish_compares_numbers_where_strings_would_order_otherwise(store: SlateStore) -> None:
    """Trap: bytes >= 0x80 and 0x00 are where a string comparison by locale departs from the order of numbers."""
    offsets = [0x00, 0x41, 0x61, 0x7F, 0x80, 0xFF, 0x100, 0x80FF, 0xFF00]
    assert [await publish(store, slate(offset)) for offset in offsets] == ["accepted"] * 9
    assert [await publish(store, slate(offset)) for offset in offsets[:-1]] == ["refused"] * 8


async def test_repeated_publish_does_not_prolong_the_life_of_a_slate(
    store: SlateStore, redis_client: redis.asyncio.Redis
) -> None:
    await publish(store, slate(7), TRACE)
    await redis_client.pexpire(KEY, 500)
    assert await publish(store, slate(7), TRACE) == "repeated"
    assert await redis_client.pttl(KEY) <= 500


async def test_publish_sets_the_same_jittered_expiry_on_slate_and_trace(
    store: SlateStore, redis_client: redis.asyncio.Redis
) -> None:
    await publish(store, slate(7), TRACE)
    ttl_ms = jittered_ttl_ms(KEY, ttl_ms=HARD_TTL_MS, jitter_ratio=0.1)
    assert HARD_TTL_MS * 0.9 <= ttl_ms <= HARD_TTL_MS
    for key in (KEY, why_key("t", "u", "home")):
        assert ttl_ms - 30_000 < await redis_client.pttl(key) <= ttl_ms


async def test_publish_without_trace_removes_the_older_one(store: SlateStore) -> None:
    await publish(store, slate(7), TRACE)
    await publish(store, slate(8))
    assert await store.why("u", "home") is None


async def test_publish_of_a_bad_slate_is_its_own_error_and_the_rest_go_out(store: SlateStore) -> None:
    bad = slate(1, user="b", item=msgspec.structs.replace(ITEM, serendipity=float("nan")))
    huge = msgspec.structs.replace(TRACE, imagined=("x" * TRACE_BYTES,))
    batch = [Publication(slate(1, user="a")), Publication(bad), Publication(slate(1, user="c"), huge), Publication(slate(1))]
    first, second, third, fourth = await store.publish(batch)
    assert (first, fourth) == ("accepted", "accepted")
    assert isinstance(second, RequestError)
    assert isinstance(third, RequestError)
    assert [await store.read(user, "home") is None for user in "abcu"] == [False, True, True, False]


async def test_publish_of_more_than_one_round_trip_answers_each_in_order(store: SlateStore) -> None:
    await store.publish([Publication(slate(50, user=f"u{at}")) for at in range(0, 1_201, 3)])
    outcomes = await store.publish([Publication(slate(10, user=f"u{at}")) for at in range(1_201)])
    assert outcomes == ["refused" if at % 3 == 0 else "accepted" for at in range(1_201)]


async def test_concurrent_writers_leave_the_newest_slate_with_its_own_trace(store: SlateStore) -> None:
    fences = [(epoch, offset) for epoch in (1, 2) for offset in range(30)]
    random.Random(5).shuffle(fences)
    traces = {fence: msgspec.structs.replace(TRACE, as_of_ms=fence[0], offset=fence[1]) for fence in fences}
    await asyncio.gather(*(publish(store, slate(fence[1], epoch=fence[0]), traces[fence]) for fence in fences))
    stored, why = await store.read("u", "home"), await store.why("u", "home")
    assert stored is not None
    assert (stored.epoch, stored.offset) == (2, 29)
    assert why == traces[2, 29]


async def test_publish_after_redis_has_forgotten_its_scripts_is_accepted(
    store: SlateStore, redis_client: redis.asyncio.Redis
) -> None:
    await publish(store, slate(1))
    await redis_client.script_flush()
    assert await publish(store, slate(2)) == "accepted"


async def test_store_survives_a_restart_of_redis(tmp_path: Path) -> None:
    """Down: unavailable and retriable. Up again with its file: the fence still holds, the script is loaded again."""
    with start_redis(tmp_path, append_only=True) as server:
        client = redis.asyncio.Redis.from_url(server.url, retry=None)
        store = SlateStore(client, tenant="t", hard_ttl_ms=HARD_TTL_MS)
        assert await publish(store, slate(7)) == "accepted"
        port = server.port
    with pytest.raises(StoreUnavailable) as raised:
        await publish(store, slate(8))
    assert raised.value.retriable
    with start_redis(tmp_path, port=port, append_only=True):
        outcomes = [await publish(store, slate(offset)) for offset in (6, 7, 8)]
        await client.aclose()
    assert outcomes == ["refused", "repeated", "accepted"]


async def test_publish_over_foreign_bytes_replaces_them(store: SlateStore, redis_client: redis.asyncio.Redis) -> None:
    await redis_client.set(KEY, b"whatever somebody wrote here")
    with pytest.raises(DecodeError):
        await store.read("u", "home")
    assert await publish(store, slate(1)) == "accepted"


async def test_publish_does_not_replace_a_newer_slate_of_a_later_version(
    store: SlateStore, redis_client: redis.asyncio.Redis
) -> None:
    later = bytearray(encode_slate(slate(9, epoch=4)))
    later[4:6] = b"\x00\x63"
    await redis_client.set(KEY, bytes(later))
    outcomes = [await publish(store, slate(offset, epoch=epoch)) for epoch, offset in ((3, 99), (4, 8), (4, 10))]
    assert outcomes == ["refused", "refused", "accepted"]


async def test_publish_to_a_key_of_another_type_is_a_lasting_error(
    store: SlateStore, redis_client: redis.asyncio.Redis
) -> None:
    await redis_client.lpush(KEY, "x")
    with pytest.raises(StoreError, match="WRONGTYPE") as raised:
        await publish(store, slate(1))
    assert not raised.value.retriable


async def test_wrong_password_is_a_lasting_error_that_does_not_tell_it(redis_server: RunningRedis) -> None:
    url = f"redis://:hunter2@127.0.0.1:{redis_server.port}/0"
    client = redis.asyncio.Redis.from_url(url)
    with pytest.raises(StoreError) as raised:
        await publish(SlateStore(client, tenant="t", hard_ttl_ms=HARD_TTL_MS), slate(1))
    await client.aclose()
    assert not raised.value.retriable
    assert "hunter2" not in str(raised.value)


async def test_tenants_and_surfaces_do_not_see_each_other(store: SlateStore, redis_client: redis.asyncio.Redis) -> None:
    other = SlateStore(redis_client, tenant="t|u", hard_ttl_ms=HARD_TTL_MS)
    await publish(store, slate(9, user="u|u"))
    assert await other.read("u", "home") is None
    assert await publish(other, slate(1)) == "accepted"


async def test_forget_deletes_slates_and_traces_of_the_surfaces(store: SlateStore, redis_client: redis.asyncio.Redis) -> None:
    await publish(store, slate(1), TRACE)
    await publish(store, slate(1, user="v"))
    assert await store.forget("u", ["home", "search"]) == 2
    assert await store.forget("u", []) == 0
    assert await redis_client.keys() == [slate_key("t", "v", "home").encode()]


@pytest.mark.parametrize(("hard_ttl_ms", "jitter_ratio"), [(0, 0.1), (1, 1.0), (1, -0.1)])
def test_store_with_a_time_to_live_out_of_bounds_is_a_value_error(hard_ttl_ms: int, jitter_ratio: float) -> None:
    with pytest.raises(ValueError, match="hard_ttl_ms"):
        SlateStore(redis.asyncio.Redis(), tenant="t", hard_ttl_ms=hard_ttl_ms, jitter_ratio=jitter_ratio)


@given(st.text(max_size=20), st.integers(1, 10**9), st.floats(0, 0.99))
def test_jitter_only_shortens_and_by_no_more_than_its_ratio(key: str, ttl_ms: int, jitter_ratio: float) -> None:
    jittered = jittered_ttl_ms(key, ttl_ms=ttl_ms, jitter_ratio=jitter_ratio)
    assert 1 <= jittered <= ttl_ms
    assert jittered >= ttl_ms * (1 - jitter_ratio) - 1e-6 * ttl_ms


@given(st.binary(max_size=200) | st.binary(max_size=200).map(zstd.compress))
def test_decode_trace_of_any_bytes_is_a_trace_or_a_decode_error(value: bytes) -> None:
    try:
        decode_trace(value)
    except DecodeError:
        return


@pytest.mark.parametrize("text", [b" " * (TRACE_BYTES + 1), b"[" * 100_000, b'{"x":' * 100_000, b'{"user_id":"\xff"}'])
def test_decode_trace_of_hostile_json_is_a_decode_error(text: bytes) -> None:
    with pytest.raises(DecodeError):
        decode_trace(zstd.compress(text))


def test_trace_survives_encoding() -> None:
    assert decode_trace(encode_trace(TRACE)) == TRACE


def test_encode_trace_of_text_without_utf8_form_is_refused() -> None:
    with pytest.raises(RequestError, match="UTF-8"):
        encode_trace(msgspec.structs.replace(TRACE, imagined=("\ud800",)))
