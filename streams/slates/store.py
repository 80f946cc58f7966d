"""The slate store: what the judging workers publish into Redis, and the way back for people.

A slate and its trace are published by one atomic call, and never over a newer one: the fence is the slate's own
(epoch, offset). Both expire at the hard TTL, so that a dead pipeline's slates go away instead of being served.
Rankers do not come here: they read with `streams.client`.

Knows nothing about how slates are made.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple

import msgspec
from backports import zstd
from redis.asyncio import Redis

from models.entities import Slate, Trace
from models.errors import DecodeError, RequestError
from streams.keys import slate_key, why_key
from streams.lua.scripts import Argument, Script, translating
from streams.slates.packed import decode_slate, encode_slate
from streams.slates.record import ReadSlate

PublishOutcome = Literal["accepted", "repeated", "refused", "kept"]

# JSON bytes of one trace. One of 30 titles and 600 candidates has some 120 KB; ten times that is a fault upstream.
TRACE_BYTES = 1024 * 1024
# zstd's default level: 6x smaller at about 0.1 ms a trace; level 10 saves another tenth for four times the time.
TRACE_LEVEL = 3
# What a hostile frame may make the decompressor set aside; our own frames need no more than TRACE_BYTES.
TRACE_WINDOW_LOG = 21  # 2 MiB

_FENCE = struct.Struct(">IQ")
_OUTCOMES: dict[int, PublishOutcome] = {0: "refused", 1: "repeated", 2: "accepted", 3: "accepted", 4: "kept"}
_REPLACED_STALE = 3


class Publication(NamedTuple):
    """A slate to publish, and the trace behind it where one was kept; a last resort only where there is no slate at all."""

    slate: Slate
    trace: Trace | None = None
    is_last_resort: bool = False


class SlateStore:
    """Slates and traces, many per round trip.

    Args:
        client: a Redis (or Redis Cluster) client with bytes answers.
        tenant: the first part of every key.
        hard_ttl_ms: nothing is served longer than this after its publication.
        jitter_ratio: up to this part of the hard TTL is taken off, the same part for the same key, so that slates of one
            burst do not all expire in one moment. At 0.1 and a day, a burst expires over 2.4 hours.
    """

    def __init__(self, client: Redis, *, tenant: str, hard_ttl_ms: int, jitter_ratio: float = 0.1) -> None:
        if hard_ttl_ms < 1 or not 0 <= jitter_ratio < 1:
            message = f"hard_ttl_ms = {hard_ttl_ms} must be at least 1, jitter_ratio = {jitter_ratio} within 0 <= it < 1"
            raise ValueError(message)
        self._client = client
        self._tenant = tenant
        self._hard_ttl_ms = hard_ttl_ms
        self._jitter_ratio = jitter_ratio
        self.stale_replaced = 0  # slates that were accepted over one past its soft expiry
        self._publish = Script("publish")
        self._forget = Script("forget_slate")

    async def publish(self, publications: Sequence[Publication]) -> list[PublishOutcome | RequestError]:
        """Publishes each slate with its trace, unless Redis has a newer one. May be repeated: the second time changes nothing.

        Returns:
            One outcome per publication, in their order. `refused`: a newer (epoch, offset) is there. `repeated`: this very
            fence is there; its bytes and its expiry stay. `kept`: an older one is there, and stays, since this one is a last
            resort. `RequestError`: this slate or trace has no bytes; the rest went out.

        Raises:
            StoreUnavailable: Redis is away; publish the same again, nothing may be acknowledged meanwhile.
        """
        outcomes: list[PublishOutcome | RequestError] = ["refused"] * len(publications)
        calls: list[tuple[Argument, ...]] = []
        places: list[int] = []
        for place, publication in enumerate(publications):
            try:
                calls.append(self._call(publication))
                places.append(place)
            except RequestError as error:
                outcomes[place] = error
        for place, answer in zip(places, await self._publish.run(self._client, calls), strict=True):
            outcomes[place] = _OUTCOMES[answer]
            self.stale_replaced += answer == _REPLACED_STALE
        return outcomes

    async def read(self, user_id: str, surface: str) -> ReadSlate | None:
        """The slate as it is stored; None when there is none.

        Raises:
            StoreUnavailable: Redis is away.
            DecodeError: the stored bytes are no slate.
        """
        with translating():
            value: Any = await self._client.get(slate_key(self._tenant, user_id, surface))
        return None if value is None else decode_slate(value)

    async def why(self, user_id: str, surface: str) -> Trace | None:
        """The trace behind the stored slate; None when none was kept.

        Raises:
            StoreUnavailable: Redis is away.
            DecodeError: the stored bytes are no trace.
        """
        with translating():
            value: Any = await self._client.get(why_key(self._tenant, user_id, surface))
        return None if value is None else decode_trace(value)

    async def forget_up_to(self, user_id: str, surface: str, *, epoch: int, offset: int) -> int:
        """Deletes a user's slate and trace up to a fence; a newer slate stays. How many values went."""
        keys = (slate_key(self._tenant, user_id, surface), why_key(self._tenant, user_id, surface))
        [count] = await self._forget.run(self._client, [(2, *keys, _FENCE.pack(epoch, offset))])
        return int(count)

    async def forget(self, user_id: str, surfaces: Iterable[str]) -> int:
        """Deletes a user's slates and traces on these surfaces; how many values there were."""
        keys = [key(self._tenant, user_id, surface) for surface in surfaces for key in (slate_key, why_key)]
        if not keys:
            return 0
        with translating():
            return int(await self._client.delete(*keys))

    def _call(self, publication: Publication) -> tuple[Argument, ...]:
        slate, trace, is_last_resort = publication
        key = slate_key(self._tenant, slate.user_id, slate.surface)
        why = why_key(self._tenant, slate.user_id, slate.surface)
        ttl_ms = jittered_ttl_ms(key, ttl_ms=self._hard_ttl_ms, jitter_ratio=self._jitter_ratio)
        return 2, key, why, encode_slate(slate), b"" if trace is None else encode_trace(trace), ttl_ms, int(is_last_resort)


def jittered_ttl_ms(key: str, *, ttl_ms: int, jitter_ratio: float) -> int:
    """The TTL of one key: `ttl_ms` less a part of the jitter that depends on the key alone.

    >>> [jittered_ttl_ms(key, ttl_ms=1_000, jitter_ratio=0.1) for key in ("a", "b", "a")]
    [982, 961, 982]
    """
    jitter_ms = int(ttl_ms * jitter_ratio)
    return ttl_ms - (zlib.crc32(key.encode()) % (jitter_ms + 1))


def encode_trace(trace: Trace) -> bytes:
    """The trace as zstd-compressed JSON.

    Raises:
        RequestError: it exceeds `TRACE_BYTES` before compression, or holds text that has no UTF-8 form.
    """
    try:
        text = msgspec.json.encode(trace)
    except UnicodeEncodeError as error:
        message = f"trace of user {trace.user_id!r} holds text that has no UTF-8 form: {error.reason}"
        raise RequestError(message) from error
    if len(text) > TRACE_BYTES:
        message = f"trace of user {trace.user_id!r} has {len(text)} bytes, the bound is {TRACE_BYTES}"
        raise RequestError(message)
    return zstd.compress(text, level=TRACE_LEVEL)


def decode_trace(value: bytes) -> Trace:
    """The trace in stored bytes, in bounded memory whatever they are.

    Raises:
        DecodeError: not zstd, larger than `TRACE_BYTES`, or not the JSON of a trace.
    """
    try:
        frame = zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: TRACE_WINDOW_LOG})
        text = frame.decompress(value, max_length=TRACE_BYTES + 1)
        if len(text) > TRACE_BYTES:
            message = f"trace exceeds {TRACE_BYTES} bytes"
            raise DecodeError(message)
        return msgspec.json.decode(text, type=Trace)
    except (zstd.ZstdError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        message = f"{len(value)} bytes are no trace: {error}"
        raise DecodeError(message) from error
