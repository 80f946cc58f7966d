"""Bytes to entities and back: the only place that knows the wire formats and their bounds.

Everything is JSON in UTF-8, but for requests and questions, which carry packed profiles: these are MessagePack.

Decoding is total: any bytes give an entity or a `DecodeError` that names the field, the value's trouble and the bound. Unknown
fields are dropped. Nothing is allocated beyond the message itself, whose size is checked first.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import msgspec

from models.entities import (
    ID_BYTES,
    ITEM_EVENTS,
    REQUEST_VERSION,
    Event,
    Item,
    PackedRequest,
    SerendipityLabel,
    UserAttributes,
)
from models.errors import DecodeError, UnknownVersion, brief
from models.profiles.exchange import ANSWER_VERSION, PROFILING_VERSION, ProfileTags, ProfilingRequest

MESSAGE_BYTES = 65_536
# Labels carry a digest: 24 lines of history, ids and tags, texts from outside that JSON may write with six bytes a
# character. The longest possible one has some 215,000 bytes.
INTERNAL_BYTES = 262_144
_DAY_MS = 86_400_000
_BACKSLASH: Final = 0x5C  # as a number: `b"x" in value` raises and swallows an exception before it looks
_EVENT_IDS: Final = ("user_id", "event_id", "item_id", "surface", "slate_id")

_T = TypeVar("_T")
_event_decoder: Final = msgspec.json.Decoder(Event)
_item_decoder = msgspec.json.Decoder(Item)
_attributes_decoder = msgspec.json.Decoder(UserAttributes)
_request_decoder = msgspec.msgpack.Decoder(PackedRequest)
_request_encoder: Final = msgspec.msgpack.Encoder()
_question_decoder = msgspec.msgpack.Decoder(ProfilingRequest)
_answer_decoder = msgspec.json.Decoder(ProfileTags)
_label_decoder = msgspec.json.Decoder(SerendipityLabel)
_encoder: Final = msgspec.json.Encoder()
_PLACE = re.compile(r"\$\[(\d{1,3})\]")


@dataclass(frozen=True, kw_only=True)
class ClockBounds:
    """How far an event's time may lie from the broker's clock; a replay of an old log turns this off."""

    ahead_ms: int = _DAY_MS
    behind_ms: int = 3_653 * _DAY_MS  # ten years


_CLOCK_BOUNDS: Final = ClockBounds()


def decode_event(value: bytes, *, clock_ms: int | None = None, bounds: ClockBounds | None = None) -> Event:
    """One behaviour event.

    Args:
        value: the message's value.
        clock_ms: the broker's clock for this message; None checks no clock.
        bounds: how far the event may lie from it.

    Raises:
        DecodeError: names the field and the bound.

    Example:
        >>> decode_event(b'{"event_id":"1","user_id":"u","type":"visit","ts_ms":5,"new_field":1}').type
        'visit'
        >>> decode_event(b'{"event_id":"1","user_id":"u","type":"nap","ts_ms":5}')
        Traceback (most recent call last):
        ...
        models.errors.DecodeError: event: Invalid enum value 'nap' - at `$.type`
    """
    event = _decode(_event_decoder, value, "event")
    if not value.isascii() or (_BACKSLASH in value and b"\\u" in value):
        for name in _EVENT_IDS:
            _check_id("event", name, getattr(event, name) or "")
    kind = event.type
    if event.item_id is None and kind in ITEM_EVENTS:
        message = f"event: type {kind!r} needs an item_id"
        raise DecodeError(message)
    if kind == "search" and not event.query:
        message = "event: type 'search' needs a query that is not empty"
        raise DecodeError(message)
    if clock_ms is not None:
        _check_clock(event.ts_ms, clock_ms, bounds or _CLOCK_BOUNDS)
    return event


def decode_item(value: bytes) -> Item:
    """One item of the catalogue. Raises `DecodeError`."""
    item = _decode(_item_decoder, value, "item")
    _check_id("item", "item_id", item.item_id)
    return item


def decode_attributes(value: bytes) -> UserAttributes:
    """One change of a user's attributes. Raises `DecodeError`."""
    change = _decode(_attributes_decoder, value, "user attributes")
    _check_id("user attributes", "user_id", change.user_id)
    return change


def decode_key(key: bytes | None, what: str) -> str:
    """The id that is a record's key, for records that are nothing but their key: those with a null value.

    Args:
        key: as it came.
        what: names the id in the error.

    Raises:
        DecodeError: there is none, or it is no id.

    Example:
        >>> decode_key(b"17850", "user_id")
        '17850'
    """
    if not key or len(key) > ID_BYTES:
        message = f"null value: the key is the {what} and has {len(key or b'')} bytes; the bounds are 1 and {ID_BYTES}"
        raise DecodeError(message)
    try:
        return key.decode()
    except UnicodeDecodeError as error:
        message = f"null value: the key is the {what} and no UTF-8: {error}"
        raise DecodeError(message) from error


def encode_request(request: PackedRequest) -> bytes:
    """A request as it lies on its topic: MessagePack, the fields in their order."""
    return _request_encoder.encode(request)


def decode_request(value: bytes) -> PackedRequest:
    """One request of a profile worker; its profile is not looked at yet. Raises `DecodeError`, `UnknownVersion`."""
    try:
        request = _decode(_request_decoder, value, "request")
    except DecodeError as error:
        raise DecodeError(_PLACE.sub(_named_place, str(error))) from error
    if request.version != REQUEST_VERSION:
        message = f"request: version {request.version} is not {REQUEST_VERSION}"
        raise UnknownVersion(message)
    _check_id("request", "user_id", request.user_id)
    _check_id("request", "surface", request.surface)
    return request


def _named_place(place: re.Match[str]) -> str:
    """A field of a request by its name, where the decoder tells its number."""
    number = int(place[1])
    names = PackedRequest.__struct_fields__
    return f"$.{names[number]}" if number < len(names) else place[0]


def encode_question(question: ProfilingRequest) -> bytes:
    """A question for a language model as it lies on its topic: MessagePack."""
    return _request_encoder.encode(question)


def decode_question(value: bytes) -> ProfilingRequest:
    """One question for a language model; its profile is not looked at yet. Raises `DecodeError`, `UnknownVersion`."""
    question = _decode(_question_decoder, value, "question")
    if question.version != PROFILING_VERSION:
        message = f"question: version {question.version} is not {PROFILING_VERSION}"
        raise UnknownVersion(message)
    _check_id("question", "user_id", question.user_id)
    return question


def decode_answer(value: bytes) -> ProfileTags:
    """A language model's tags of one user. Raises `DecodeError`, `UnknownVersion`."""
    answer = _decode(_answer_decoder, value, "profile tags")
    if answer.version != ANSWER_VERSION:
        message = f"profile tags: version {answer.version} is not {ANSWER_VERSION}"
        raise UnknownVersion(message)
    _check_id("profile tags", "user_id", answer.user_id)
    return answer


def decode_label(value: bytes) -> SerendipityLabel:
    """One Definition-1 sample. Raises `DecodeError`."""
    return _decode(_label_decoder, value, "label", max_bytes=INTERNAL_BYTES)


def encode(entity: Any) -> bytes:
    """Any entity as it goes over the wire.

    Example:
        >>> encode(Event(event_id="1", user_id="u", type="visit", ts_ms=5))
        b'{"event_id":"1","user_id":"u","type":"visit","ts_ms":5}'
    """
    return _encoder.encode(entity)


def _decode(
    decoder: msgspec.json.Decoder[_T] | msgspec.msgpack.Decoder[_T], value: bytes, what: str, *, max_bytes: int = MESSAGE_BYTES
) -> _T:
    if len(value) > max_bytes:
        message = f"{what}: {len(value)} bytes are over the bound of {max_bytes}"
        raise DecodeError(message)
    try:
        return decoder.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        message = f"{what}: {brief(str(error))}"  # a wrong enum value stands in it whole
        raise DecodeError(message) from error


def _check_id(what: str, name: str, text: str) -> None:
    size = len(text.encode())
    if size > ID_BYTES:
        message = f"{what}: {name} of {size} bytes is over the bound of {ID_BYTES}"
        raise DecodeError(message)


def _check_clock(ts_ms: int, clock_ms: int, bounds: ClockBounds) -> None:
    if ts_ms > clock_ms + bounds.ahead_ms:
        message = f"event: ts_ms {ts_ms} is {ts_ms - clock_ms} ms ahead of the broker's clock; the bound is {bounds.ahead_ms}"
        raise DecodeError(message)
    if ts_ms < clock_ms - bounds.behind_ms:
        message = f"event: ts_ms {ts_ms} is {clock_ms - ts_ms} ms behind the broker's clock; the bound is {bounds.behind_ms}"
        raise DecodeError(message)
