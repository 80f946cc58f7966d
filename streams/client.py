"""What a ranker imports: the slate of a user, in one round trip, within a budget, or nothing.

    reader = SlateReader("redis://redis:6379/0", tenant="shop", timeout_ms=20)
    slate = reader.read("user-1", "home")
    if slate is not None and not slate.is_stale(now_ms):
        ...

`read` never raises for what Redis does or holds: it gives None, and `counts` says why. `fetch` is for tools, and raises.
Importing this module loads the standard library, redis and this project's readers; no engine, no numpy, no stream framework.

Knows nothing about how slates are made.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

from models.errors import DecodeError, StoreError
from streams.keys import slate_key
from streams.lua.scripts import translating
from streams.slates.packed import decode_slate
from streams.slates.record import ReadItem, ReadSlate

__all__ = ["AsyncSlateReader", "ReadCounts", "ReadItem", "ReadSlate", "SlateReader"]

# A read takes 0.05 ms on loopback and 1 to 2 ms across a zone; ten times that leaves room for a busy moment, and a page that
# takes 200 ms in all loses a tenth of it at worst.
TIMEOUT_MS = 20


@dataclass
class ReadCounts:
    """How a reader's reads ended; for the ranker's own metrics. With many threads, a count may miss a few."""

    found: int = 0
    absent: int = 0
    unavailable: int = 0
    undecodable: int = 0


class SlateReader:
    """Reads slates; safe to share between threads.

    Args:
        source: the URL of Redis, or a client of one's own with bytes answers (cluster, sentinel), whose timeouts then hold.
        tenant: the first part of every key.
        timeout_ms: with a URL, the longest wait for an answer, and once more for opening a connection where none is open.
            Nothing is tried twice. 20 where None.
    """

    def __init__(self, source: str | redis.Redis, *, tenant: str, timeout_ms: int | None = None) -> None:
        if not isinstance(source, str) and timeout_ms is not None:
            message = f"timeout_ms = {timeout_ms} goes with a URL; a client has its own socket_timeout"
            raise ValueError(message)
        self._tenant = tenant
        self._client = _open(source, _budget_s(timeout_ms)) if isinstance(source, str) else source
        _check_bytes(self._client)
        self.counts = ReadCounts()

    def read(self, user_id: str, surface: str = "home") -> ReadSlate | None:
        """The user's slate; None when there is none, or none that could be read in time."""
        return self.read_many([user_id], surface)[0]

    def read_many(self, user_ids: Sequence[str], surface: str = "home") -> list[ReadSlate | None]:
        """The slates of many users in one round trip, in their order; None where `read` would give it."""
        try:
            values = self._get([slate_key(self._tenant, user_id, surface) for user_id in user_ids])
        except StoreError:
            self.counts.unavailable += len(user_ids)
            return [None] * len(user_ids)
        return [_decoded(value, self.counts) for value in values]

    def fetch(self, user_id: str, surface: str = "home") -> ReadSlate | None:
        """The user's slate; None only when there is none.

        Raises:
            StoreUnavailable: Redis is away, or did not answer in time.
            StoreError: Redis answered with an error.
            DecodeError: the stored bytes are no slate that this build reads.
        """
        [value] = self._get([slate_key(self._tenant, user_id, surface)])
        return None if value is None else decode_slate(value)

    def close(self) -> None:
        """Closes the connections; those of a client of one's own too."""
        self._client.close()

    def __enter__(self) -> SlateReader:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _get(self, keys: list[str]) -> list[Any]:
        with translating():
            if len(keys) == 1:
                return [self._client.get(keys[0])]
            pipeline = self._client.pipeline(transaction=False)  # not MGET: in a cluster, users are in many slots
            for key in keys:
                pipeline.get(key)
            return pipeline.execute()


class AsyncSlateReader:
    """Reads slates from asyncio; one per event loop.

    Args:
        source: the URL of Redis, or a client of one's own with bytes answers (cluster, sentinel).
        tenant: the first part of every key.
        timeout_ms: the longest that a read takes, opening a connection included. Nothing is tried twice with a URL.
    """

    def __init__(self, source: str | redis.asyncio.Redis, *, tenant: str, timeout_ms: int = TIMEOUT_MS) -> None:
        self._tenant = tenant
        self._timeout_s = _budget_s(timeout_ms)
        self._client = _open_async(source, self._timeout_s) if isinstance(source, str) else source
        _check_bytes(self._client)
        self.counts = ReadCounts()

    async def read(self, user_id: str, surface: str = "home") -> ReadSlate | None:
        """The user's slate; None when there is none, or none that could be read in time."""
        return (await self.read_many([user_id], surface))[0]

    async def read_many(self, user_ids: Sequence[str], surface: str = "home") -> list[ReadSlate | None]:
        """The slates of many users in one round trip, in their order; None where `read` would give it."""
        try:
            values = await self._get([slate_key(self._tenant, user_id, surface) for user_id in user_ids])
        except StoreError:
            self.counts.unavailable += len(user_ids)
            return [None] * len(user_ids)
        return [_decoded(value, self.counts) for value in values]

    async def fetch(self, user_id: str, surface: str = "home") -> ReadSlate | None:
        """The user's slate; None only when there is none.

        Raises:
            StoreUnavailable: Redis is away, or did not answer in time.
            StoreError: Redis answered with an error.
            DecodeError: the stored bytes are no slate that this build reads.
        """
        [value] = await self._get([slate_key(self._tenant, user_id, surface)])
        return None if value is None else decode_slate(value)

    async def close(self) -> None:
        """Closes the connections; those of a client of one's own too."""
        await self._client.aclose()

    async def __aenter__(self) -> AsyncSlateReader:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _get(self, keys: list[str]) -> list[Any]:
        with translating():
            async with asyncio.timeout(self._timeout_s):
                if len(keys) == 1:
                    return [await self._client.get(keys[0])]
                pipeline = self._client.pipeline(transaction=False)  # not MGET: in a cluster, users are in many slots
                for key in keys:
                    pipeline.get(key)
                return await pipeline.execute()


def _open(url: str, timeout_s: float) -> redis.Redis:
    return redis.Redis.from_url(
        url,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        retry=Retry(NoBackoff(), 0),
        protocol=2,  # RESP3 would cost a HELLO on each new connection, and gives a GET nothing
    )


def _open_async(url: str, timeout_s: float) -> redis.asyncio.Redis:
    return redis.asyncio.Redis.from_url(
        url,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        retry=AsyncRetry(NoBackoff(), 0),
        protocol=2,
    )


def _budget_s(timeout_ms: int | None) -> float:
    budget_ms = TIMEOUT_MS if timeout_ms is None else timeout_ms
    if budget_ms < 1:
        message = f"timeout_ms = {budget_ms} is below 1"
        raise ValueError(message)
    return budget_ms / 1000


def _check_bytes(client: redis.Redis | redis.asyncio.Redis) -> None:
    if client.get_encoder().decode_responses:
        message = "the client has decode_responses=True; slates are bytes, so it must be False"
        raise ValueError(message)


def _decoded(value: bytes | None, counts: ReadCounts) -> ReadSlate | None:
    if value is None:
        counts.absent += 1
        return None
    try:
        slate = decode_slate(value)
    except DecodeError:
        counts.undecodable += 1
        return None
    counts.found += 1
    return slate
