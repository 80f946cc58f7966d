"""Records that carry a mark of ours in their headers: sent again from the dead letters, or asking to forget a user.

    seren-redriven   on any topic: `topic/partition/offset` of the record that failed, whose key and value this one carries
    seren-forget     on `behaviour-events`, with a null value: everything of the key's user up to here is to be forgotten. The
                     value is the offset on `user-attributes` of the null that was sent before it: attributes after that stay
    seren-forget     on `user-attributes`, with a null value: the attributes are forgotten because the user is
    seren-forget     on `seren-requests`, with a null value: JSON of `Forgotten`; earlier requests get no slate

Knows nothing about stores, nor about what is done with a mark.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import Meta, Struct

from models.errors import DecodeError
from streams import codec, topics
from streams.records import Record, are_plain

REDRIVEN_HEADER = "seren-redriven"
_OFFSET_DIGITS = 19  # Kafka's offsets are signed 64-bit integers
_ORIGIN_BYTES = 512  # a topic's name has at most 249 characters


class Blank(NamedTuple):
    """Stands in a batch for a record that is passed over: a move of event time to 0, which moves nothing."""

    offset: int
    timestamp: int
    key: bytes | None = None
    value: bytes | None = None
    headers: Sequence[tuple[str, bytes]] = ((topics.WATERMARK_HEADER, b"0"),)


class Forgetting(NamedTuple):
    """A user who is to be forgotten up to `offset`; changes of attributes behind `attributes_offset` stay."""

    user_id: str
    offset: int
    attributes_offset: int


class Forgotten(Struct, frozen=True):
    """What the judging workers are told: no slate for the key's user on this surface for requests up to this fence."""

    epoch: Annotated[int, Meta(ge=0, lt=2**32)]
    offset: Annotated[int, Meta(ge=0, le=2**63 - 1)]
    surface: str


class Part(NamedTuple):
    """Consecutive records, and who is to be forgotten after them."""

    records: Sequence[Record]
    forgetting: Forgetting | None


def header_of(record: Any, wanted: str) -> bytes | None:
    """A header's value; None when the record has no such header."""
    for name, value in record.headers:
        if name == wanted:
            return value or b""
    return None


def origins_of(records: Sequence[Record]) -> dict[int, str]:
    """The origin of each record that was redriven, by the record's own offset."""
    found: dict[int, str] = {}
    if are_plain(records):
        return found
    for record in records:
        if record.headers:
            origin = header_of(record, REDRIVEN_HEADER)
            if origin is not None and len(origin) <= _ORIGIN_BYTES:
                found[record.offset] = origin.decode(errors="replace")
    return found


def parts_of(records: Sequence[Record]) -> Iterator[Part]:
    """The records cut behind each that asks to forget a user; a blank stands for it.

    A mark that makes no sense is left where it is: it decodes as no event, and becomes a dead letter.
    """
    if records and are_plain(records):
        yield Part(records, None)
        return
    rest: list[Record] = []
    for record in records:
        forgetting = _forgetting(record) if record.value is None and record.headers else None
        if forgetting is None:
            rest.append(record)
        else:
            yield Part([*rest, Blank(record.offset, record.timestamp)], forgetting)
            rest = []
    if rest:
        yield Part(rest, None)


def forgotten_of(record: Any) -> Forgotten | None:
    """What a record on the requests' topic says about its key's user; None when it says nothing of that kind.

    Raises:
        DecodeError: the mark makes no sense.
    """
    told = header_of(record, topics.FORGET_HEADER) if record.value is None and record.headers else None
    if told is None:
        return None
    try:
        return msgspec.json.decode(told, type=Forgotten)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        message = f"{topics.FORGET_HEADER} header {told[:64]!r}: {error}"
        raise DecodeError(message) from error


def _forgetting(record: Record) -> Forgetting | None:
    told = header_of(record, topics.FORGET_HEADER)
    if told is None or not told.isdigit() or len(told) > _OFFSET_DIGITS:
        return None
    try:
        return Forgetting(codec.decode_key(record.key, "user_id"), record.offset, int(told))
    except DecodeError:
        return None
