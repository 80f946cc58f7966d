"""With a real Redis on loopback: the engine's fenced checkpoints, publishing slates, reading them as a ranker does."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import redis
from msgspec.structs import replace
from redis.asyncio import Redis

from models.entities import Item, ScoredItem, Slate
from streams.bench.figures import Figure, Meaning, quantile, repeated
from streams.bench.profiles import CHECKPOINT_EVENTS, through_engine
from streams.bench.workload import Workload
from streams.client import SlateReader
from streams.offline import RedisStates
from streams.slates.packed import encode_slate
from streams.slates.store import Publication, SlateStore
from streams.state import PartitionStore, ProfileStore

TENANT = "bench"
_SLATE_ITEMS = 50
_USERS = 1_000
_HARD_TTL_MS = 3_600_000


def engine_on_redis(work: Workload, url: str, *, runs: int) -> list[Figure]:
    """The engine with its states in Redis."""

    async def once() -> None:
        client = Redis.from_url(url)
        try:
            await client.flushall()
            states = RedisStates(ProfileStore(client, tenant=TENANT), PartitionStore(client, tenant=TENANT))
            await through_engine(work, states)
        finally:
            await client.aclose()

    def measure() -> dict[str, float]:
        cpu_s, wall_s, server_s = time.process_time(), time.monotonic(), server_cpu_s(url)
        asyncio.run(once())
        events = len(work.routed)
        return {
            "engine + Redis": events / (time.process_time() - cpu_s),
            "engine + Redis, wall": events / (time.monotonic() - wall_s),
            "engine + Redis, server": (server_cpu_s(url) - server_s) / events * 1e6,
        }

    what = f"the engine with claims and fenced checkpoints in Redis, one every {CHECKPOINT_EVENTS:,} events of a partition"
    meanings = {
        "engine + Redis": Meaning("events/s per core", what),
        "engine + Redis, wall": Meaning("events/s", "the same run by wall time, one process and one Redis"),
        "engine + Redis, server": Meaning("us CPU/event", "what the same run costs the Redis server"),
    }
    return repeated(measure, meanings, n=len(work.routed), runs=runs)


def slates(items: Sequence[Item], url: str, *, reads: int, runs: int) -> list[Figure]:
    """Publishing and reading slates of 50 items."""
    made = [_slate(f"user-{number}", items, number) for number in range(_USERS)]
    size = len(encode_slate(made[0]))

    async def publish(epoch: int) -> float:
        client = Redis.from_url(url)
        try:
            store = SlateStore(client, tenant=TENANT, hard_ttl_ms=_HARD_TTL_MS)
            await store.publish([Publication(_slate("warm", items, 0))])
            started_s = time.monotonic()
            outcomes = await store.publish([Publication(_with_epoch(slate, epoch)) for slate in made])
            seconds = time.monotonic() - started_s
        finally:
            await client.aclose()
        assert outcomes == ["accepted"] * len(made)
        return seconds

    epochs = iter(range(1, 1_000_000))

    def measure() -> dict[str, float]:
        published_s = asyncio.run(publish(next(epochs)))
        waits_us = _read_waits_us(url, reads)
        return {
            "slate publish": len(made) / published_s,
            "slate read p50": quantile(waits_us, 0.5),
            "slate read p99": quantile(waits_us, 0.99),
        }

    meanings = {
        "slate publish": Meaning("slates/s", f"pack and publish through the fence, {_USERS:,} slates, pipelined, one process"),
        "slate read p50": Meaning("us", "streams.client.SlateReader.read: one GET on loopback and decoding 50 items"),
        "slate read p99": Meaning("us", "the same"),
    }
    figures = repeated(measure, meanings, n=reads, runs=runs)
    what = f"one packed slate of {_SLATE_ITEMS} items"
    return [*figures, Figure(name="slate", unit="bytes", what=what, n=1, runs=(float(size),))]


def _read_waits_us(url: str, reads: int) -> list[float]:
    waits = []
    with SlateReader(url, tenant=TENANT, timeout_ms=1_000) as reader:
        for number in range(reads):
            started_ns = time.perf_counter_ns()
            slate = reader.read(f"user-{number % _USERS}")
            waits.append((time.perf_counter_ns() - started_ns) / 1_000)
            assert slate is not None
    return waits


def _slate(user_id: str, items: Sequence[Item], shift: int) -> Slate:
    chosen = [items[(shift + place) % len(items)] for place in range(min(_SLATE_ITEMS, len(items)))]
    return Slate(
        user_id=user_id,
        surface="home",
        epoch=1,
        offset=1,
        watermark_ms=1,
        published_ms=1,
        soft_expiry_ms=2,
        model_id="bench",
        tier="serengpt",
        items=tuple(
            ScoredItem(
                item_id=item.item_id,
                serendipity=1.0 / (place + 1),
                relevance=0.5,
                unexpectedness=0.5,
                aligned=0.5,
                propensity=0.1,
                reason=1,
            )
            for place, item in enumerate(chosen)
        ),
    )


def _with_epoch(slate: Slate, epoch: int) -> Slate:
    return replace(slate, epoch=epoch)


def server_cpu_s(url: str) -> float:
    """CPU seconds that a Redis server has used."""
    with redis.Redis.from_url(url) as client:
        info = client.info("cpu")
        return float(info["used_cpu_user"]) + float(info["used_cpu_sys"])
