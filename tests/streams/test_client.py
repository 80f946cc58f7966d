"""What a ranker sees: the slate, or nothing, and never an exception; against a real Redis."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import redis
import redis.asyncio

from models.errors import DecodeError, StoreError, StoreUnavailable
from streams.client import AsyncSlateReader, ReadCounts, SlateReader
from streams.embedded.redis import RunningRedis
from streams.keys import slate_key
from streams.slates.packed import encode_slate
from streams.slates.record import ReadItem, ReadSlate

ROOT = Path(__file__).parents[2]
ALLOWED = {"redis", "hiredis", "models", "streams"}
BUDGET_MS = 5_000  # for the reads that must succeed, however busy the machine is


def slate(model: str) -> ReadSlate:
    return ReadSlate(1, 2, 3, 4, 5, model, "serengpt", (ReadItem("i", 1.0, 1.0, 1.0, 1.0, 1.0, 0),))


@pytest.fixture
async def stored(redis_client: redis.asyncio.Redis) -> None:
    for user in ("a", "c"):
        await redis_client.set(slate_key("t", user, "home"), encode_slate(slate(user)))
    await redis_client.set(slate_key("t", "junk", "home"), b"junk")


@pytest.fixture
def reader(redis_server: RunningRedis) -> Iterator[SlateReader]:
    with SlateReader(redis_server.url, tenant="t", timeout_ms=BUDGET_MS) as opened:
        yield opened


@pytest.fixture
async def async_reader(redis_server: RunningRedis) -> AsyncIterator[AsyncSlateReader]:
    async with AsyncSlateReader(redis_server.url, tenant="t", timeout_ms=BUDGET_MS) as opened:
        yield opened


@pytest.fixture
def silent_url() -> Iterator[str]:
    """A server that takes the connection and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"redis://127.0.0.1:{server.getsockname()[1]}/0"


@pytest.mark.usefixtures("stored")
def test_read_gives_the_slate_or_none_and_counts_why(reader: SlateReader) -> None:
    assert reader.read("a") == slate("a")
    assert [reader.read("b"), reader.read("a", "search"), reader.read("junk")] == [None, None, None]
    assert reader.counts == ReadCounts(found=1, absent=2, undecodable=1)


@pytest.mark.usefixtures("stored")
async def test_async_read_gives_the_slate_or_none_and_counts_why(async_reader: AsyncSlateReader) -> None:
    assert await async_reader.read("a") == slate("a")
    assert [await async_reader.read("b"), await async_reader.read("junk")] == [None, None]
    assert async_reader.counts == ReadCounts(found=1, absent=1, undecodable=1)


@pytest.mark.usefixtures("stored")
async def test_read_many_keeps_order_and_length_with_gaps(reader: SlateReader, async_reader: AsyncSlateReader) -> None:
    users = ["c", "b", "junk", "a", "c"]
    expected = [slate("c"), None, None, slate("a"), slate("c")]
    assert reader.read_many(users) == expected
    assert await async_reader.read_many(users) == expected
    assert reader.read_many([]) == await async_reader.read_many([]) == []


@pytest.mark.usefixtures("stored")
async def test_fetch_tells_absent_from_undecodable(reader: SlateReader, async_reader: AsyncSlateReader) -> None:
    assert reader.fetch("a") == await async_reader.fetch("a") == slate("a")
    assert reader.fetch("b") is await async_reader.fetch("b") is None
    with pytest.raises(DecodeError):
        reader.fetch("junk")
    with pytest.raises(DecodeError):
        await async_reader.fetch("junk")


async def test_read_from_a_silent_server_is_none_within_the_budget(silent_url: str) -> None:
    """Without the budget these reads would never end, so that they end at all is the proof."""
    with SlateReader(silent_url, tenant="t", timeout_ms=20) as reader:
        assert reader.read("a") is None
        assert reader.read_many(["a", "b"]) == [None, None]
        assert reader.counts == ReadCounts(unavailable=3)
        with pytest.raises(StoreUnavailable):
            reader.fetch("a")
    async with AsyncSlateReader(silent_url, tenant="t", timeout_ms=20) as async_reader:
        assert await async_reader.read("a") is None
        assert await async_reader.read_many(["a", "b"]) == [None, None]
        assert async_reader.counts == ReadCounts(unavailable=3)
        with pytest.raises(StoreUnavailable):
            await async_reader.fetch("a")


async def test_read_from_nobody_is_none() -> None:
    with SlateReader("redis://127.0.0.1:1/0", tenant="t") as reader:
        assert reader.read("a") is None
    async with AsyncSlateReader("redis://127.0.0.1:1/0", tenant="t") as async_reader:
        assert await async_reader.read("a") is None


@pytest.mark.usefixtures("stored")
async def test_read_after_a_read_that_ran_out_of_time_gets_its_own_answer(
    redis_server: RunningRedis, redis_client: redis.asyncio.Redis
) -> None:
    """Guards a classic: the late answer to the abandoned read of `a` must not be taken for the answer about `c`."""
    client = redis.asyncio.Redis.from_url(redis_server.url, max_connections=1, protocol=2)
    impatient = AsyncSlateReader(client, tenant="t", timeout_ms=30)
    assert await impatient.read("a") == slate("a")
    await redis_client.client_pause(200)
    assert await impatient.read("a") is None
    await redis_client.ping()  # is answered when the pause has ended
    answers = [await AsyncSlateReader(client, tenant="t", timeout_ms=BUDGET_MS).read(user) for user in ("c", "b", "a")]
    assert answers == [slate("c"), None, slate("a")]
    await impatient.close()


@pytest.mark.usefixtures("stored")
async def test_reader_takes_a_client_of_ones_own(redis_server: RunningRedis, redis_client: redis.asyncio.Redis) -> None:
    with redis.Redis.from_url(redis_server.url) as client:
        assert SlateReader(client, tenant="t").read("a") == slate("a")
    assert await AsyncSlateReader(redis_client, tenant="t", timeout_ms=BUDGET_MS).read("a") == slate("a")


def test_reader_refuses_what_cannot_work(redis_server: RunningRedis) -> None:
    with pytest.raises(ValueError, match="timeout_ms = 0"):
        SlateReader(redis_server.url, tenant="t", timeout_ms=0)
    with pytest.raises(ValueError, match="decode_responses"):
        SlateReader(redis.Redis(decode_responses=True), tenant="t")
    with pytest.raises(ValueError, match="socket_timeout"):
        SlateReader(redis.Redis(), tenant="t", timeout_ms=20)


@pytest.mark.usefixtures("stored")
async def test_wrong_type_at_the_key_is_none_to_read_and_an_error_to_fetch(
    reader: SlateReader, redis_client: redis.asyncio.Redis
) -> None:
    await redis_client.lpush(slate_key("t", "list", "home"), "x")
    assert reader.read("list") is None
    with pytest.raises(StoreError, match="WRONGTYPE"):
        reader.fetch("list")


def test_importing_the_client_loads_the_standard_library_and_redis_alone() -> None:
    """The modules that `import redis` alone brings along are redis's affair; ours may add none but this project's own."""
    code = """
import sys
import redis, redis.asyncio
before = set(sys.modules)
import streams.client
print(*{name.split(".")[0] for name in set(sys.modules) - before})
print(*sys.modules)
"""
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    added, everything = (set(line.split()) for line in answer.stdout.splitlines())
    assert added - set(sys.stdlib_module_names) <= ALLOWED
    heavy = {
        "faust",
        "mode",
        "aiokafka",
        "confluent_kafka",
        "torch",
        "numpy",
        "msgspec",
        "orjson",
        "backports",
        "click",
        "rich",
    }
    assert not heavy & everything
    assert not {"models.entities", "streams.slates.store", "streams.codec", "streams.app"} & everything
