"""Bytes to entities and back: the only place that knows the wire format (JSON, UTF-8) and its bounds.

Decoding is total: any bytes give an entity or a `DecodeError` that names the field, the value's trouble and the bound. Unknown
fields are dropped. Nothing is allocated beyond the message itself, whose size is checked first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from models.entities import (
    ID_BYTES,
    ITEM_EVENTS,
    Event,
    Item,
    Request,
    SerendipityLabel,
    UserAttributes,
)
from models.errors import DecodeError, UnknownVersion

MESSAGE_BYTES = 65_536
REQUEST_VERSION = 1
_DAY_MS = 86_400_000

_T = TypeVar("_T")
_event_decoder = msgspec.json.Decoder(Event)
_item_decoder = msgspec.json.Decoder(Item)
_attributes_decoder = msgspec.json.Decoder(UserAttributes)
_request_decoder = msgspec.json.Decoder(Request)
_label_decoder = msgspec.json.Decoder(SerendipityLabel)
_encoder = msgspec.json.Encoder()


@dataclass(frozen=True, kw_only=True)
class ClockBounds:
    """How far an event's time may lie from the broker's clock; a replay of an old log turns this off."""

    ahead_ms: int = _DAY_MS
    behind_ms: int = 3_653 * _DAY_MS  # ten years


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
    if not event.user_id.isascii() or not event.event_id.isascii():
        _check_id("user_id", event.user_id)
        _check_id("event_id", event.event_id)
    item_id = event.item_id
    if item_id is None:
        if event.type in ITEM_EVENTS:
            message = f"event: type {event.type!r} needs an item_id"
            raise DecodeError(message)
    elif not item_id.isascii():
        _check_id("item_id", item_id)
    if event.type == "search" and not event.query:
        message = "event: type 'search' needs a query that is not empty"
        raise DecodeError(message)
    if clock_ms is not None:
        _check_clock(event.ts_ms, clock_ms, bounds or ClockBounds())
    return event


def decode_item(value: bytes) -> Item:
    """One item of the catalogue. Raises `DecodeError`."""
    item = _decode(_item_decoder, value, "item")
    _check_id("item_id", item.item_id)
    return item


def decode_attributes(value: bytes) -> UserAttributes:
    """One change of a user's attributes. Raises `DecodeError`."""
    change = _decode(_attributes_decoder, value, "user attributes")
    _check_id("user_id", change.user_id)
    return change


def decode_request(value: bytes) -> Request:
    """One request of a profile worker. Raises `DecodeError`, `UnknownVersion`."""
    request = _decode(_request_decoder, value, "request")
    if request.version != REQUEST_VERSION:
        message = f"request: version {request.version} is not {REQUEST_VERSION}"
        raise UnknownVersion(message)
    return request


def decode_label(value: bytes) -> SerendipityLabel:
    """One Definition-1 sample. Raises `DecodeError`."""
    return _decode(_label_decoder, value, "label")


def encode(entity: Any) -> bytes:
    """Any entity as it goes over the wire.

    Example:
        >>> encode(Event(event_id="1", user_id="u", type="visit", ts_ms=5))
        b'{"event_id":"1","user_id":"u","type":"visit","ts_ms":5}'
    """
    return _encoder.encode(entity)


def _decode(decoder: msgspec.json.Decoder[_T], value: bytes, what: str) -> _T:
    if len(value) > MESSAGE_BYTES:
        message = f"{what}: {len(value)} bytes are over the bound of {MESSAGE_BYTES}"
        raise DecodeError(message)
    try:
        return decoder.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        message = f"{what}: {error}"
        raise DecodeError(message) from error


def _check_id(name: str, text: str) -> None:
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        message = f"event: {name} {text!a} is not valid Unicode"
        raise DecodeError(message) from error
    if size > ID_BYTES:
        message = f"event: {name} of {size} bytes is over the bound of {ID_BYTES}"
        raise DecodeError(message)


def _check_clock(ts_ms: int, clock_ms: int, bounds: ClockBounds) -> None:
    if ts_ms > clock_ms + bounds.ahead_ms:
        message = f"event: ts_ms {ts_ms} is {ts_ms - clock_ms} ms ahead of the broker's clock; the bound is {bounds.ahead_ms}"
        raise DecodeError(message)
    if ts_ms < clock_ms - bounds.behind_ms:
        message = f"event: ts_ms {ts_ms} is {clock_ms - ts_ms} ms behind the broker's clock; the bound is {bounds.behind_ms}"
        raise DecodeError(message)
