"""Records of behaviour events, before and after they are decoded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol, final

from models.compiled import mypyc_attr
from models.entities import Event
from models.errors import DecodeError
from streams import topics
from streams.deadletters.letter import Source

_LAST_MS: Final = 2**54  # twice the newest time that an event can have: a replay's end lies a day after its last event
_MILLIS_DIGITS: Final = 17  # of that number


class Record(Source, Protocol):
    """What is used of a Kafka record; a replayed line looks the same."""

    @property
    def timestamp(self) -> int:
        """The broker's clock."""


@final
@mypyc_attr(acyclic=True)
class Decoded:
    """One record of a batch: an event, or only a move of event time. `arrived_ms` is the broker's clock at the record."""

    __slots__ = ("arrived_ms", "event", "offset", "watermark_ms")

    def __init__(self, offset: int, event: Event | None, watermark_ms: int, arrived_ms: int) -> None:
        self.offset = offset
        self.event = event
        self.watermark_ms = watermark_ms
        self.arrived_ms = arrived_ms

    def without_event(self) -> Decoded:
        """The move of event time alone."""
        return Decoded(self.offset, None, self.watermark_ms, self.arrived_ms)


def are_plain(records: Sequence[Record]) -> bool:
    """Whether all have a value and none has headers: then no mark of ours can be on any, and nobody need look for one."""
    for record in records:
        if record.value is None or record.headers:
            return False
    return True


def value_bytes(records: Sequence[Record]) -> int:
    """What the records' values take."""
    total = 0
    for record in records:
        value = record.value
        if value is not None:
            total += len(value)
    return total


def check_key(record: Record, user_id: str) -> None:
    """The key decides the partition; another one would let two workers fight for a user."""
    if record.key != user_id.encode():
        message = f"key {(record.key or b'')[:64]!r} is not user_id {user_id!r}"
        raise DecodeError(message)


def watermark_of(record: Record) -> int:
    """The event time that a null record moves its partition on to. Raises `DecodeError` where it tells none."""
    for name, value in record.headers:
        if name == topics.WATERMARK_HEADER:
            if value is None or not value.isdigit() or len(value) > _MILLIS_DIGITS or int(value) > _LAST_MS:
                message = f"watermark header {(value or b'')[:32]!r} is no time in milliseconds from 0 to {_LAST_MS}"
                raise DecodeError(message)
            return int(value)
    message = f"event: the value is null and there is no {topics.WATERMARK_HEADER} header"
    raise DecodeError(message)
