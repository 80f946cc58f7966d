"""The state of one user: what all levels keep, and its bytes.

A profile is mutable and has one owner (the worker that holds the user's partition): copying 2 KiB per event would cost more
than the update itself. Bytes are versioned and lossless: a profile that was written and read again goes on exactly as if it
had stayed in memory, so eviction and restarts change no result.
"""

from __future__ import annotations

import struct
from array import array
from typing import Any, Final, cast, final, get_args

import msgspec

from models.compiled import mypyc_attr
from models.entities import EventType, TriggerReason
from models.errors import DecodeError, UnknownVersion
from models.profiles.belief import Belief
from models.profiles.features import FAMILIES
from models.profiles.inferred import Inference, check, inference_bytes
from models.profiles.policy import BELIEF_OVERHEAD_BYTES, DEED_OVERHEAD_BYTES, MAX_VISIT_DAYS

VERSION: Final = 2
INFERRED_VERSION: Final = 3  # the same with an `Inference` behind it: written of users who have one
_DAY_ENTRY: Final = struct.Struct("<IH")
_NEVER: Final = 15  # index of no visit day; the window and today are at most 15
_TYPES: Final[tuple[EventType, ...]] = get_args(EventType)
_CODES: Final = {name: code for code, name in enumerate(_TYPES)}
_FAMILY_PLACES: Final[dict[str, int]] = {family: place for place, family in enumerate(FAMILIES)}


@final
@mypyc_attr(acyclic=True)
class Deed:
    """One event of the recent history; `text` is an item id, or the query of a search."""

    __slots__ = ("offset", "text", "ts_ms", "type")

    def __init__(self, offset: int, ts_ms: int, type: EventType, text: str) -> None:  # noqa: A002  # the event's own word
        self.offset = offset
        self.ts_ms = ts_ms
        self.type = type
        self.text = text


@final
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

    def knows_recent(self, event_name: int) -> bool:
        """Whether the fingerprint is that of one of the last events: `in`, which compiled compares machine integers."""
        for known in self.recent_ids:
            if known == event_name:
                return True
        return False

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
    deeds, days, inference = profile.deeds, profile.visit_days, profile.inference
    place = {day: index for index, day in enumerate(days)}
    place[0] = _NEVER
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
        _pack_pool(profile.pool),
        profile.approved_cycle,
        profile.deeds_bytes,
        _steps([deed.offset for deed in deeds]),
        _steps([deed.ts_ms for deed in deeds]),
        bytes([_CODES[deed.type] for deed in deeds]),
        [deed.text for deed in deeds],
        _bytes("I", profile.recent_ids),
        _bytes("H", days),
        _pack_seen(profile.seen_categories, place),
        _pack_seen(profile.seen_brands, place),
        _pack_seen(profile.seen_sellers, place),
        _bytes("I", list(profile.owned)),
        _bytes("I", list(profile.in_cart)),
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
    profile.pool = _unpack_pool(pool)
    profile.deeds = _unpack_deeds(offsets, times, types, texts)
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


def _pack_pool(pool: dict[str, Belief]) -> tuple[dict[str, _Tag], ...]:
    """The tags by family, each as the numbers of its belief."""
    packed: tuple[dict[str, _Tag], ...] = ({}, {}, {}, {}, {})
    for tag, belief in pool.items():
        colon = tag.index(":")
        packed[_FAMILY_PLACES[tag[:colon]]][tag[colon + 1 :]] = (
            belief.weight,
            belief.count,
            belief.last_day,
            belief.approved_day,
            belief.cycles,
            belief.issued_count,
            belief.issued_positives,
            belief.newest,
            belief.back,
        )
    return packed


def _unpack_pool(packed: tuple[dict[str, _Tag], ...]) -> dict[str, Belief]:
    pool = {}
    for place, family in enumerate(FAMILIES):
        head = family + ":"
        for text, numbers in packed[place].items():
            weight, count, last_day, approved_day, cycles, issued_count, issued_positives, newest, back = numbers
            pool[head + text] = belief = Belief(weight, count, last_day, newest)
            belief.approved_day, belief.cycles, belief.back = approved_day, cycles, back
            belief.issued_count, belief.issued_positives = issued_count, issued_positives
    return pool


def _unpack_deeds(offsets: list[int], times: list[int], types: bytes, texts: list[str]) -> list[Deed]:
    if not len(offsets) == len(times) == len(types) == len(texts):
        message = "columns of the history differ in length"
        raise ValueError(message)
    deeds = []
    offset = ts_ms = 0
    for place, text in enumerate(texts):
        offset += offsets[place]
        ts_ms += times[place]
        deeds.append(Deed(offset, ts_ms, _TYPES[types[place]], text))
    return deeds


def _steps(values: list[int]) -> list[int]:
    """The first value, then what each one adds to the one before: most lines of a history lie close together."""
    steps, before = [], 0
    for value in values:
        steps.append(value - before)
        before = value
    return steps


def _numbers(kind: str, data: bytes) -> list[int]:
    """Unsigned numbers of two ("H") or four ("I") bytes. Raises `ValueError` for bytes that are left over."""
    if not data:
        return []
    numbers = array(kind)
    numbers.frombytes(data)
    return numbers.tolist()


def _bytes(kind: str, numbers: list[int]) -> bytes:
    return array(kind, numbers).tobytes() if numbers else b""


def _pack_seen(seen: dict[int, int], place: dict[int, int]) -> bytes:
    """The names, then a byte each: the last two days as places in the visit days; every day in `seen` is one, or 0 (never)."""
    if not seen:
        return b""
    known: dict[int, int] = {}  # many names were seen on the same days
    places = []
    for value in seen.values():
        packed = known.get(value, -1)
        if packed < 0:
            packed = known[value] = place[value >> 16] << 4 | place[value & 0xFFFF]
        places.append(packed)
    return _bytes("I", list(seen)) + bytes(places)


def _unpack_seen(data: bytes, day: list[int]) -> dict[int, int]:
    count, left_over = divmod(len(data), 5)
    if left_over:
        message = f"{len(data)} bytes of what was seen, {left_over} too many"
        raise ValueError(message)
    seen, place = {}, 4 * count
    for name in _numbers("I", data[:place]):
        places = data[place]
        seen[name] = day[places >> 4] << 16 | day[places & 15]
        place += 1
    return seen


def _pack_days(days: dict[int, int]) -> bytes:
    return b"".join([_DAY_ENTRY.pack(name, day) for name, day in days.items()])


_Tag = tuple[float, int, int, int, int, int, int, int, int]  # a belief, number by number
_Tags = dict[str, _Tag]
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
_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(_Fields)
_inferred = (*get_args(_Fields), Inference)
_INFERRED_FIELDS = len(_inferred).to_bytes(2, "big")  # as the header of a MessagePack array of 16 and more says it
_inferred_decoder: msgspec.msgpack.Decoder[tuple[Any, ...]] = msgspec.msgpack.Decoder(tuple.__class_getitem__(_inferred))
_any_decoder = msgspec.msgpack.Decoder(tuple[Any, ...])
