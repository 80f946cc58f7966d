"""The state of one user: what all levels keep, and its bytes.

A profile is mutable and has one owner (the worker that holds the user's partition): copying 2 KiB per event would cost more
than the update itself. Bytes are versioned and lossless: a profile that was written and read again goes on exactly as if it
had stayed in memory, so eviction and restarts change no result.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Callable
from functools import partial
from itertools import accumulate, pairwise
from typing import Any, NamedTuple, cast, get_args

import msgspec

from models.entities import EventType, TriggerReason
from models.errors import DecodeError, UnknownVersion
from models.profiles.belief import Belief
from models.profiles.features import FAMILIES
from models.profiles.inferred import Inference, check, inference_bytes
from models.profiles.policy import BELIEF_OVERHEAD_BYTES, DEED_OVERHEAD_BYTES, MAX_VISIT_DAYS

VERSION = 2
INFERRED_VERSION = 3  # the same with an `Inference` behind it: written of users who have one
_DAY_ENTRY = struct.Struct("<IH")
_NEVER = 15  # index of no visit day; the window and today are at most 15
_TYPES: tuple[EventType, ...] = get_args(EventType)
_CODES = {name: code for code, name in enumerate(_TYPES)}
_FAMILY_PLACES: dict[str, int] = {family: place for place, family in enumerate(FAMILIES)}


class Deed(NamedTuple):
    """One event of the recent history; `text` is an item id, or the query of a search."""

    offset: int
    ts_ms: int
    type: EventType
    text: str


deed: Callable[[tuple[int, int, EventType, str]], Deed] = partial(tuple.__new__, Deed)  # half the time of Deed(...)


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
        "inference",
        "inferred_bytes",
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
        # possessions: fingerprints of item ids, the oldest first; of what was rejected also the day
        self.owned: dict[int, None] = {}
        self.in_cart: dict[int, None] = {}
        self.rejected: dict[int, int] = {}
        # trigger
        self.pending: TriggerReason | None = None
        self.pending_since_ms = 0
        self.asked_ms = -1
        self.asked_mass = 0.0
        # what a language model was asked and inferred; `inferred_bytes` is what it takes of the pool's budget
        self.inference: Inference | None = None
        self.inferred_bytes = 0

    @property
    def is_blank(self) -> bool:
        """Whether nothing is known of the user."""
        return not (self.events or self.attributes)


def encode(profile: Profile) -> bytes:
    """The profile as versioned MessagePack, at most `PROFILE_BYTES` for profiles made by `update`.

    Example:
        >>> decode(encode(Profile())).offset
        -1
    """
    pool: tuple[dict[str, Belief], ...] = tuple({} for _ in FAMILIES)
    for tag, belief in profile.pool.items():
        family, _, text = tag.partition(":")
        pool[_FAMILY_PLACES[family]][text] = belief
    offsets, times, types, texts = zip(*profile.deeds, strict=True) if profile.deeds else ((), (), (), ())
    days = profile.visit_days
    place = {day: index for index, day in enumerate(days)}
    place[0] = _NEVER
    inference = profile.inference
    fields = (
        VERSION if inference is None else INFERRED_VERSION,
        profile.offset,
        profile.events,
        profile.positives,
        profile.last_ms,
        profile.attributes,
        profile.attributes_offset,
        profile.landmark_ms,
        profile.mass,
        profile.pool_bytes,
        pool,
        profile.approved_cycle,
        profile.deeds_bytes,
        _steps(offsets),
        _steps(times),
        bytes([_CODES[name] for name in types]),
        texts,
        array("I", profile.recent_ids).tobytes(),
        array("H", days).tobytes(),
        _pack_seen(profile.seen_categories, place),
        _pack_seen(profile.seen_brands, place),
        _pack_seen(profile.seen_sellers, place),
        array("I", profile.owned).tobytes(),
        array("I", profile.in_cart).tobytes(),
        _pack_days(profile.rejected),
        profile.pending,
        profile.pending_since_ms,
        profile.asked_ms,
        profile.asked_mass,
    )
    return _encoder.encode(fields if inference is None else (*fields, inference))


def decode(data: bytes) -> Profile:
    """The profile that `encode` wrote.

    Raises:
        UnknownVersion: written by a release that this one cannot read.
        DecodeError: not the bytes of a profile.
    """
    try:
        if data[1:3] == _INFERRED_FIELDS:
            *fields, inference = _inferred_decoder.decode(data)
            check(inference)
            profile = _restore(cast("_Fields", tuple(fields)), INFERRED_VERSION)
            profile.inference, profile.inferred_bytes = inference, inference_bytes(inference)
            return profile
        return _restore(_decoder.decode(data), VERSION)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, struct.error, ValueError, IndexError) as error:
        version = _version(data)
        if version is not None and version not in (VERSION, INFERRED_VERSION):
            message = f"profile version {version} is not {VERSION} or {INFERRED_VERSION}"
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


def _restore(fields: _Fields, expected: int) -> Profile:
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
        profile.pool_bytes,
        pool,
        profile.approved_cycle,
        profile.deeds_bytes,
        offsets,
        times,
        types,
        texts,
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
    if version != expected:
        message = f"version {version}"
        raise ValueError(message)
    profile.pool = {
        f"{family}:{text}": belief for family, tags in zip(FAMILIES, pool, strict=True) for text, belief in tags.items()
    }
    names = [_TYPES[code] for code in types]
    profile.deeds = list(map(deed, zip(accumulate(offsets), accumulate(times), names, texts, strict=True)))
    profile.recent_ids = _numbers("I", recent_ids)
    profile.visit_days = days = _numbers("H", visit_days)
    if len(days) > MAX_VISIT_DAYS + 1:
        message = f"{len(days)} visit days"
        raise ValueError(message)
    place = [*days, *(0 for _ in range(16 - len(days)))]
    profile.seen_categories = _unpack_seen(seen_categories, place)
    profile.seen_brands = _unpack_seen(seen_brands, place)
    profile.seen_sellers = _unpack_seen(seen_sellers, place)
    profile.owned = dict.fromkeys(_numbers("I", owned))
    profile.in_cart = dict.fromkeys(_numbers("I", in_cart))
    profile.rejected = dict(_DAY_ENTRY.iter_unpack(rejected))
    return profile


def belief_bytes(tag: str) -> int:
    """Upper bound of what one tag takes in a written profile."""
    return BELIEF_OVERHEAD_BYTES + (len(tag) if tag.isascii() else len(tag.encode()))


def deed_bytes(text: str) -> int:
    """Upper bound of what one line of history takes in a written profile."""
    return DEED_OVERHEAD_BYTES + (len(text) if text.isascii() else len(text.encode()))


def _steps(values: tuple[int, ...]) -> list[int]:
    """The first value, then what each one adds to the one before: most lines of a history lie close together."""
    return [*values[:1], *(after - before for before, after in pairwise(values))]


def _numbers(kind: str, data: bytes) -> list[int]:
    """Unsigned numbers of two ("H") or four ("I") bytes. Raises `ValueError` for bytes that are left over."""
    numbers = array(kind)
    numbers.frombytes(data)
    return numbers.tolist()


def _pack_seen(seen: dict[int, int], place: dict[int, int]) -> bytes:
    """The names, then a byte each: the last two days as places in the visit days; every day in `seen` is one, or 0 (never)."""
    places = [place[value >> 16] << 4 | place[value & 0xFFFF] for value in seen.values()]
    return array("I", seen).tobytes() + bytes(places)


def _unpack_seen(data: bytes, day: list[int]) -> dict[int, int]:
    names = len(data) // 5 * 4
    pairs = zip(_numbers("I", data[:names]), data[names:], strict=True)
    return {name: day[places >> 4] << 16 | day[places & 15] for name, places in pairs}


def _pack_days(days: dict[int, int]) -> bytes:
    return b"".join([_DAY_ENTRY.pack(name, day) for name, day in days.items()])


_Tags = dict[str, Belief]
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
    int,
    tuple[_Tags, _Tags, _Tags, _Tags, _Tags],  # pool, by family
    int,
    int,
    list[int],  # deeds, by column
    list[int],
    bytes,
    list[str],
    bytes,
    bytes,
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
_inferred = (*get_args(_Fields), Inference)
_INFERRED_FIELDS = len(_inferred).to_bytes(2, "big")  # as the header of a MessagePack array of 16 and more says it
_inferred_decoder: msgspec.msgpack.Decoder[tuple[Any, ...]] = msgspec.msgpack.Decoder(tuple.__class_getitem__(_inferred))
_any_decoder = msgspec.msgpack.Decoder(tuple[Any, ...])
