"""Lines of a recorded log as the records that Kafka would hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from models.entities import Item
from models.errors import DecodeError
from streams import codec
from streams.production import partition_of
from streams.recorded.logs import read_lines

FIRST_REFUSED = 10  # refused lines that are named; the rest is only counted
_USERS_ROUTED = 65_536  # whose partition is remembered: hashing a key in Python takes 5 us

Line = tuple[int, bytes]


class Log(Protocol):
    """What a recorded log offers; each call reads its file anew, as (line number from 1, raw line)."""

    def events(self) -> Iterator[Line]: ...  # noqa: D102
    def items(self) -> Iterator[Line]: ...  # noqa: D102
    def users(self) -> Iterator[Line]: ...  # noqa: D102


class BareLog:
    """A file of events on its own, with a file of items where there is one."""

    def __init__(self, events: Path, items: Path | None = None) -> None:
        self._events = events
        self._items = items

    def events(self) -> Iterator[Line]:
        """The events."""
        return read_lines(self._events)

    def items(self) -> Iterator[Line]:
        """The items; none without a file of them."""
        return iter(()) if self._items is None else read_lines(self._items)

    def users(self) -> Iterator[Line]:
        """None."""
        return iter(())


class LogRecord(Struct):
    """A line as a Kafka record."""

    offset: int
    key: bytes | None
    value: bytes | None
    timestamp: int = -1
    headers: Sequence[tuple[str, bytes]] = ()


class Refused(Struct, frozen=True):
    """A line that is no record: a dead letter."""

    file: str
    line: int
    error: str
    reason: str


class Refusals:
    """Counts refused lines and keeps the first ones."""

    def __init__(self) -> None:
        self.count = 0
        self.first: list[Refused] = []

    def add(self, file: str, line: int, error: DecodeError) -> None:
        """One line more."""
        self.count += 1
        if len(self.first) < FIRST_REFUSED:
            self.first.append(Refused(file, line, type(error).__name__, str(error)))


class Router:
    """Gives lines the partitions and offsets that they would get on new topics of this many partitions.

    Args:
        partitions: of the topics that are keyed by user.
        refused: told of every line that is no record; it takes no offset.
    """

    def __init__(self, partitions: int, refused: Refusals) -> None:
        self.last_ms = -1
        self.user_ids: set[str] = set()
        self.ends: Counter[int] = Counter()
        self._refused = refused
        self._partition_of = _remembering(partitions)

    def events(self, lines: Iterable[Line]) -> Iterator[tuple[int, LogRecord]]:
        """The events, each with its partition."""
        ends = self.ends
        for number, line in lines:
            try:
                event = codec.decode_event(line)
            except DecodeError as error:
                self._refused.add("events", number, error)
                continue
            self.last_ms = max(self.last_ms, event.ts_ms)
            self.user_ids.add(event.user_id)
            key = event.user_id.encode()
            partition = self._partition_of(key)
            offset = ends[partition]
            ends[partition] = offset + 1
            yield partition, LogRecord(offset, key, line)

    def users(self, lines: Iterable[Line]) -> Iterator[tuple[int, LogRecord]]:
        """The changes of users' attributes, each with its partition."""
        ends: Counter[int] = Counter()
        for number, line in lines:
            try:
                user_id = codec.decode_attributes(line).user_id
            except DecodeError as error:
                self._refused.add("users", number, error)
                continue
            self.user_ids.add(user_id)
            key = user_id.encode()
            partition = self._partition_of(key)
            offset = ends[partition]
            ends[partition] = offset + 1
            yield partition, LogRecord(offset, key, line)


def read_items(log: Log, refused: Refusals) -> list[Item]:
    """The items of a log, without the lines that are none."""
    items = []
    for number, line in log.items():
        try:
            items.append(codec.decode_item(line))
        except DecodeError as error:
            refused.add("items", number, error)
    return items


def _remembering(partitions: int) -> _PartitionOf:
    numbers = range(partitions)

    @lru_cache(maxsize=_USERS_ROUTED)
    def remembered(key: bytes) -> int:
        return partition_of(key, numbers)

    return remembered


class _PartitionOf(Protocol):
    def __call__(self, key: bytes, /) -> int: ...
