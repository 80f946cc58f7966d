"""Slates to bytes and back: `FORMAT.md` version 1.

Decoding is total: any bytes give a slate or a `DecodeError`, in time and memory bounded by `SLATE_BYTES`.
Knows nothing about Redis, keys or where the scores come from.
"""

from __future__ import annotations

import struct
import zlib
from itertools import accumulate
from typing import TYPE_CHECKING

from models.errors import DecodeError, RequestError, UnknownVersion
from streams.slates.record import ReadItem, ReadSlate

if TYPE_CHECKING:
    from models.entities import ScoredItem, Slate  # heavy for a ranker, and not needed to read

MAGIC = b"SRNS"
VERSION = 1

ITEMS = 255  # the count is one byte
ID_BYTES = 128  # an item id or model id, in UTF-8
SLATE_BYTES = 64 * 1024  # no slate of version 1 exceeds 35,112 bytes; longer values are refused unread
EPOCHS = 2**32
OFFSETS = 2**63  # Kafka's offsets are signed 64-bit integers
MILLIS = 2**53  # every reader's number type holds times exactly, JavaScript's too

# Tier codes are public and never reused.
TIER_BY_CODE = {0: "nothing", 1: "serengpt", 2: "distilled", 3: "category", 4: "last_good"}
CODE_BY_TIER = {tier: code for code, tier in TIER_BY_CODE.items()}

FINE = 65535  # steps of serendipity and propensity: 0.000015, so that a score of 0.01 is still true to 0.1 %
COARSE = 255  # steps of the three factors, which explain and do not rank: 0.004

_HEADER = struct.Struct(">4sHBBIQQQQ")
_SCORES = struct.Struct(">HHBBBB")
_CRC = struct.Struct(">I")
_SMALLEST = _HEADER.size + 1 + 1 + _CRC.size  # no items, a model id of one byte


def encode_slate(slate: Slate | ReadSlate) -> bytes:
    """The packed bytes of a slate; the same slate has the same bytes everywhere.

    Scores are rounded to their steps. A positive propensity is never written as 0, because readers divide by it.

    Raises:
        RequestError: a field is out of bounds, a score is not a number, or an item is there twice: this slate has no bytes.

    Cost: 45 us for 50 items.
    """
    items = slate.items
    if len(items) > ITEMS:
        message = f"slate has {len(items)} items, the bound is {ITEMS}"
        raise RequestError(message)
    ids = [_encoded_id("item_id", item.item_id) for item in items]
    if len(set(ids)) != len(ids):
        message = "slate has an item twice"
        raise RequestError(message)
    header = _HEADER.pack(
        MAGIC,
        VERSION,
        _tier_code(slate.tier),
        len(ids),
        _bounded("epoch", slate.epoch, EPOCHS),
        _bounded("offset", slate.offset, OFFSETS),
        _bounded("watermark_ms", slate.watermark_ms, MILLIS),
        _bounded("published_ms", slate.published_ms, MILLIS),
        _bounded("soft_expiry_ms", slate.soft_expiry_ms, MILLIS),
    )
    model_id = _encoded_id("model_id", slate.model_id)
    scores = [_encoded_scores(item) for item in items]
    body = b"".join([header, bytes([len(model_id)]), model_id, *scores, bytes(map(len, ids)), *ids])
    return body + _CRC.pack(zlib.crc32(body))


def decode_slate(value: bytes) -> ReadSlate:
    """The slate in packed bytes.

    Raises:
        UnknownVersion: a slate of a later format; a reader treats it as no slate.
        DecodeError: not a slate, cut short, changed on the way, or out of bounds.

    Cost: 15 us for 50 items.
    """
    _check_frame(value)
    _, _, tier, count, epoch, offset, watermark_ms, published_ms, soft_expiry_ms = _HEADER.unpack_from(value)
    _check_numbers(tier, offset, max(watermark_ms, published_ms, soft_expiry_ms))
    scores_at = _HEADER.size + 1 + value[_HEADER.size]
    lengths_at = scores_at + count * _SCORES.size
    ids_at = lengths_at + count
    end = len(value) - _CRC.size
    lengths = value[lengths_at:ids_at]
    if ids_at + sum(lengths) != end:
        message = f"slate of {len(value)} bytes does not end with the ids of its {count} items"
        raise DecodeError(message)
    [model_id] = _decoded_ids(value[_HEADER.size + 1 : scores_at], value[_HEADER.size : _HEADER.size + 1])
    ids = _decoded_ids(value[ids_at:end], lengths)
    if len(set(ids)) != count:
        message = "slate has an item twice"
        raise DecodeError(message)
    items = tuple(
        ReadItem(item_id, s / FINE, r / COARSE, u / COARSE, a / COARSE, p / FINE, reason)
        for item_id, (s, p, r, u, a, reason) in zip(ids, _SCORES.iter_unpack(value[scores_at:lengths_at]), strict=True)
    )
    return ReadSlate(epoch, offset, watermark_ms, published_ms, soft_expiry_ms, model_id, TIER_BY_CODE[tier], items)


def _check_frame(value: bytes) -> None:
    if not _SMALLEST <= len(value) <= SLATE_BYTES or value[: len(MAGIC)] != MAGIC:
        message = (
            f"{len(value)} bytes from {value[:4]!r} on are no slate of {_SMALLEST} to {SLATE_BYTES} bytes from {MAGIC!r} on"
        )
        raise DecodeError(message)
    version = int.from_bytes(value[4:6], "big")
    if version != VERSION:
        message = f"slate has version {version}, this build reads version {VERSION}"
        raise UnknownVersion(message)
    stored = _CRC.unpack_from(value, len(value) - _CRC.size)[0]
    computed = zlib.crc32(memoryview(value)[: -_CRC.size])
    if stored != computed:
        message = f"slate has CRC {stored:#010x}, its bytes give {computed:#010x}"
        raise DecodeError(message)


def _check_numbers(tier: int, offset: int, latest_ms: int) -> None:
    if tier not in TIER_BY_CODE:
        message = f"slate has tier code {tier}, known are {sorted(TIER_BY_CODE)}"
        raise DecodeError(message)
    if offset >= OFFSETS or latest_ms >= MILLIS:
        message = f"slate has offset {offset} (bound 2**63) and a latest time of {latest_ms} ms (bound 2**53)"
        raise DecodeError(message)


def _decoded_ids(packed: bytes, lengths: bytes) -> list[str]:
    """The ids that stand end to end in `packed`, which is as long as the sum of `lengths`."""
    if lengths and not 1 <= min(lengths) <= max(lengths) <= ID_BYTES:
        message = f"id lengths are {min(lengths)} to {max(lengths)} bytes, the bounds are 1 and {ID_BYTES}"
        raise DecodeError(message)
    stops = list(accumulate(lengths))
    try:
        if packed.isascii():  # one decoding for all
            text = packed.decode("ascii")
            return [text[stop - length : stop] for stop, length in zip(stops, lengths, strict=True)]
        return [packed[stop - length : stop].decode() for stop, length in zip(stops, lengths, strict=True)]
    except UnicodeDecodeError as error:
        message = f"id {error.object!r} is not UTF-8: {error.reason}"
        raise DecodeError(message) from error


def _encoded_scores(item: ScoredItem | ReadItem) -> bytes:
    """The 8 bytes of an item's scores. A value beyond [0, 1] by rounding only (1.0000002) rounds back into it."""
    propensity = item.propensity
    try:
        return _SCORES.pack(
            round(item.serendipity * FINE),
            round(propensity * FINE) or propensity > 0,
            round(item.relevance * COARSE),
            round(item.unexpectedness * COARSE),
            round(item.aligned * COARSE),
            item.reason,
        )
    except (ValueError, OverflowError, struct.error) as error:  # NaN, infinity, out of range
        message = f"{item} has a score that is not within 0 to 1, or a reason that is not within 0 to 255"
        raise RequestError(message) from error


def _encoded_id(name: str, text: str) -> bytes:
    try:
        encoded = text.encode()
    except UnicodeEncodeError as error:
        message = f"{name} {text!r} has no UTF-8 form"
        raise RequestError(message) from error
    if not 1 <= len(encoded) <= ID_BYTES:
        message = f"{name} {text!r} has {len(encoded)} bytes, the bounds are 1 and {ID_BYTES}"
        raise RequestError(message)
    return encoded


def _tier_code(tier: str) -> int:
    code = CODE_BY_TIER.get(tier)
    if code is None:
        message = f"tier {tier!r} is none of {sorted(CODE_BY_TIER)}"
        raise RequestError(message)
    return code


def _bounded(name: str, value: int, bound: int) -> int:
    if not 0 <= value < bound:
        message = f"{name} = {value} is not within 0 <= {name} < {bound}"
        raise RequestError(message)
    return value
