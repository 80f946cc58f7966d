"""The state of one user: what all levels keep, and its bytes.

A profile is mutable and has one owner (the worker that holds the user's partition): copying 2 KiB per event would cost more
than the update itself. Bytes are versioned and lossless: a profile that was written and read again goes on exactly as if it
had stayed in memory, so eviction and restarts change no result.
"""

from __future__ import annotations

import struct
from typing import Annotated, Any, NamedTuple, get_args

import msgspec
from msgspec import Meta

from models.entities import EventType, TriggerReason
from models.errors import DecodeError, UnknownVersion
from models.profiles.policy import BELIEF_OVERHEAD_BYTES, DEED_OVERHEAD_BYTES, LAST_DAY, MAX_VISIT_DAYS

VERSION = 1
_SEEN_ENTRY = struct.Struct("<IB")
_DAY_ENTRY = struct.Struct("<IH")
_NEVER = 15  # index of no visit day; the window and today are at most 15
_TYPES: tuple[EventType, ...] = get_args(EventType)


class Belief:
    """One tag of the pool. `weight` is in forward-decay form; days count from 1970."""

    __slots__ = (
        "approved_day",
        "count",
        "cycles",
        "evidence",
        "issued_count",
        "issued_positives",
        "last_day",
        "weight",
    )

    def __init__(self, *fields: Any) -> None:
        (
            self.weight,
            self.count,
            self.last_day,
            self.approved_day,
            self.cycles,
            self.issued_count,
            self.issued_positives,
            self.evidence,
        ) = fields

    def fields(self) -> tuple[Any, ...]:
        """The state in the order of the constructor."""
        return (
            self.weight,
            self.count,
            self.last_day,
            self.approved_day,
            self.cycles,
            self.issued_count,
            self.issued_positives,
            self.evidence,
        )


class Deed(NamedTuple):
    """One event of the recent history; `text` is an item id, or the query of a search."""

    offset: int
    ts_ms: int
    type: EventType
    text: str


class Profile:
    """Cognition profile and trigger state of one user. `offset` is that of the last event applied (-1: none)."""

    __slots__ = (
        "approved_cycle",
        "asked_mass",
        "asked_ms",
        "attributes",
        "attributes_offset",
        "deeds",
        "deeds_bytes",
        "events",
        "in_cart",
        "landmark_ms",
        "last_ms",
        "mass",
        "offset",
        "owned",
        "pending",
        "pending_since_ms",
        "pool",
        "pool_bytes",
        "positives",
        "recent_ids",
        "rejected",
        "seen_brands",
        "seen_categories",
        "seen_sellers",
        "visit_days",
    )

    def __init__(self) -> None:
        self.offset = -1
        self.events = 0
        self.positives = 0
        self.last_ms = 0
        # levels
        self.attributes: dict[str, str] = {}
        self.attributes_offset = -1
        self.landmark_ms = 0
        self.mass = 0.0
        self.pool: dict[str, Belief] = {}
        self.pool_bytes = 0
        self.approved_cycle = -1
        # recent history
        self.deeds: list[Deed] = []
        self.deeds_bytes = 0
        self.recent_ids: list[int] = []
        # visit-day window, oldest day first; fingerprint -> (last day seen << 16) | the visit day seen before that (0: none)
        self.visit_days: list[int] = []
        self.seen_categories: dict[int, int] = {}
        self.seen_brands: dict[int, int] = {}
        self.seen_sellers: dict[int, int] = {}
        # possessions: fingerprint of the item id -> day
        self.owned: dict[int, int] = {}
        self.in_cart: dict[int, int] = {}
        self.rejected: dict[int, int] = {}
        # trigger
        self.pending: TriggerReason | None = None
        self.pending_since_ms = 0
        self.asked_ms = -1
        self.asked_mass = 0.0


def encode(profile: Profile) -> bytes:
    """The profile as versioned MessagePack, at most `PROFILE_BYTES` for profiles made by `update`.

    Example:
        >>> decode(encode(Profile())).offset
        -1
    """
    return _encoder.encode(
        (
            VERSION,
            profile.offset,
            profile.events,
            profile.positives,
            profile.last_ms,
            profile.attributes,
            profile.attributes_offset,
            profile.landmark_ms,
            profile.mass,
            {tag: belief.fields() for tag, belief in profile.pool.items()},
            profile.approved_cycle,
            [(deed.offset, deed.ts_ms, _TYPES.index(deed.type), deed.text) for deed in profile.deeds],
            struct.pack(f"<{len(profile.recent_ids)}I", *profile.recent_ids),
            profile.visit_days,
            _pack_seen(profile.seen_categories, profile.visit_days),
            _pack_seen(profile.seen_brands, profile.visit_days),
            _pack_seen(profile.seen_sellers, profile.visit_days),
            _pack_days(profile.owned),
            _pack_days(profile.in_cart),
            _pack_days(profile.rejected),
            profile.pending,
            profile.pending_since_ms,
            profile.asked_ms,
            profile.asked_mass,
        )
    )


def decode(data: bytes) -> Profile:
    """The profile that `encode` wrote.

    Raises:
        UnknownVersion: written by a release that this one cannot read.
        DecodeError: not the bytes of a profile.
    """
    try:
        return _restore(_decoder.decode(data))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, struct.error, ValueError, IndexError) as error:
        version = _version(data)
        if version is not None and version != VERSION:
            message = f"profile version {version} is not {VERSION}"
            raise UnknownVersion(message) from error
        message = f"{len(data)} bytes are no profile: {error}"
        raise DecodeError(message) from error


def _version(data: bytes) -> int | None:
    """The version that the bytes claim: the first element of a MessagePack array; None when they are none."""
    try:
        fields = _any_decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return fields[0] if fields and isinstance(fields[0], int) else None


def _restore(fields: _Fields) -> Profile:
    profile = Profile()
    (
        version,
        profile.offset,
        profile.events,
        profile.positives,
        profile.last_ms,
        profile.attributes,
        profile.attributes_offset,
        profile.landmark_ms,
        profile.mass,
        pool,
        profile.approved_cycle,
        deeds,
        recent_ids,
        visit_days,
        seen_categories,
        seen_brands,
        seen_sellers,
        owned,
        in_cart,
        rejected,
        profile.pending,
        profile.pending_since_ms,
        profile.asked_ms,
        profile.asked_mass,
    ) = fields
    if version != VERSION:
        message = f"version {version}"
        raise ValueError(message)
    profile.pool = {tag: Belief(*belief) for tag, belief in pool.items()}
    profile.pool_bytes = sum(belief_bytes(tag) for tag in profile.pool)
    profile.deeds = [Deed(offset, ts_ms, _TYPES[code], text) for offset, ts_ms, code, text in deeds]
    profile.deeds_bytes = sum(deed_bytes(deed.text) for deed in profile.deeds)
    profile.recent_ids = list(struct.unpack(f"<{len(recent_ids) // 4}I", recent_ids))
    profile.visit_days = visit_days
    profile.seen_categories = _unpack_seen(seen_categories, visit_days)
    profile.seen_brands = _unpack_seen(seen_brands, visit_days)
    profile.seen_sellers = _unpack_seen(seen_sellers, visit_days)
    profile.owned, profile.in_cart, profile.rejected = (
        dict(_DAY_ENTRY.iter_unpack(data)) for data in (owned, in_cart, rejected)
    )
    return profile


def belief_bytes(tag: str) -> int:
    """Upper bound of what one tag takes in a written profile."""
    return BELIEF_OVERHEAD_BYTES + len(tag.encode())


def deed_bytes(text: str) -> int:
    """Upper bound of what one line of history takes in a written profile."""
    return DEED_OVERHEAD_BYTES + len(text.encode())


def _pack_seen(seen: dict[int, int], visit_days: list[int]) -> bytes:
    """Days as places in `visit_days`, two in a byte; every day in `seen` is one of them or 0 (never)."""
    place = {day: index for index, day in enumerate(visit_days)}
    place[0] = _NEVER
    return b"".join([_SEEN_ENTRY.pack(name, place[value >> 16] << 4 | place[value & 0xFFFF]) for name, value in seen.items()])


def _unpack_seen(data: bytes, visit_days: list[int]) -> dict[int, int]:
    day = [*visit_days, *(0 for _ in range(16 - len(visit_days)))]
    return {name: day[places >> 4] << 16 | day[places & 15] for name, places in _SEEN_ENTRY.iter_unpack(data)}


def _pack_days(days: dict[int, int]) -> bytes:
    return b"".join([_DAY_ENTRY.pack(name, day) for name, day in days.items()])


_BeliefFields = tuple[float, int, int, int, int, int, int, tuple[int, ...]]
_Fields = tuple[
    int,  # version
    int,
    int,
    int,
    int,
    dict[str, str],  # attributes
    int,
    int,
    float,
    dict[str, _BeliefFields],  # pool
    int,
    list[tuple[int, int, int, str]],  # deeds
    bytes,
    Annotated[list[Annotated[int, Meta(ge=0, le=LAST_DAY)]], Meta(max_length=MAX_VISIT_DAYS + 1)],
    bytes,
    bytes,
    bytes,
    bytes,
    bytes,
    bytes,
    TriggerReason | None,
    int,
    int,
    float,
]
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Fields)
_any_decoder = msgspec.msgpack.Decoder(tuple[Any, ...])
