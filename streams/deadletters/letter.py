"""Dead letters: records that could not be used, on `seren-deadletter`, with where they came from and why.

The letter's key and value are the record's own. Its headers:

    topic, partition, offset    where the record is
    error                       the class of the error
    reason                      its message; of an error that nobody foresaw, the place in the program as well
    seren-attempt               1, and one more each time that a redriven record fails again
    traceparent, tracestate     those of the record, if it had any
    cut                         only where the key or the value was too long for a letter: which, and how many bytes it had

Knows nothing about how letters are sent, nor about what becomes of them.
"""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from models.errors import SerenError
from streams.observability.tracing import context_of, headers_of

ATTEMPT_HEADER = "seren-attempt"
CUT_HEADER = "cut"
# In place of an error: the key's user was forgotten here, and what was buried of them before is not to be sent again.
FORGOTTEN = "Forgotten"
KEY_BYTES = 1_024  # a key is a user id of at most 128 bytes
VALUE_BYTES = 262_144  # the longest record that any of our topics takes (codec.INTERNAL_BYTES), so what is cut was never valid
_REASON_BYTES = 1_024
_ATTEMPT_DIGITS = 6


class Source(Protocol):
    """What is used of a record that could not be used."""

    @property
    def offset(self) -> int:
        """In its partition."""

    @property
    def key(self) -> bytes | None:
        """As it came."""

    @property
    def value(self) -> bytes | None:
        """As it came."""

    @property
    def headers(self) -> Sequence[tuple[str, bytes | None]]:
        """As they came."""


class DeadLetter(NamedTuple):
    """A record that could not be used, with where it came from and why."""

    topic: str
    partition: int
    offset: int
    error: str
    reason: str
    key: bytes | None
    value: bytes | None
    context: bytes = b""  # of its trace
    attempt: int = 1


def letter(topic: str, partition: int, record: Source, error: Exception) -> DeadLetter:
    """The letter about a record and what was wrong with it."""
    return DeadLetter(
        topic,
        partition,
        record.offset,
        type(error).__name__,
        reason_of(error),
        record.key,
        record.value,
        context_of(record.headers),
        attempt_of(record.headers),
    )


def reason_of(error: Exception) -> str:
    """The message of an error of ours; of any other one the last line of its traceback, and the line before that.

    >>> reason_of(SerenError("item_id is missing"))
    'item_id is missing'
    >>> reason_of(KeyError("brand"))
    "KeyError: 'brand'"
    """
    if isinstance(error, SerenError):
        return str(error)
    said = "".join(traceback.format_exception_only(error)).strip().splitlines()[-1]
    frames = traceback.extract_tb(error.__traceback__)
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno} in {frames[-1].name}: {said}" if frames else said


def attempt_of(headers: Sequence[tuple[str, bytes | None]]) -> int:
    """Which attempt at a record this is: 1, unless it was redriven.

    >>> attempt_of([("seren-attempt", b"2")]), attempt_of([])
    (2, 1)
    """
    for name, value in headers:
        if name == ATTEMPT_HEADER and value and value.isdigit() and len(value) <= _ATTEMPT_DIGITS:
            return max(1, int(value))
    return 1


def pack(dead: DeadLetter) -> tuple[bytes | None, bytes | None, list[tuple[str, bytes]]]:
    """Key, value and headers of the letter as a record."""
    headers = [
        ("topic", dead.topic.encode()),
        ("partition", str(dead.partition).encode()),
        ("offset", str(dead.offset).encode()),
        ("error", dead.error.encode()),
        ("reason", dead.reason.encode(errors="replace")[:_REASON_BYTES]),
        (ATTEMPT_HEADER, str(dead.attempt).encode()),
        *headers_of(dead.context),
    ]
    bounds = (("key", dead.key, KEY_BYTES), ("value", dead.value, VALUE_BYTES))
    cut = ", ".join(f"{name} of {len(part)} bytes" for name, part, bound in bounds if part is not None and len(part) > bound)
    if cut:
        headers.append((CUT_HEADER, cut.encode()))
    key, value = (None if part is None else part[:bound] for _, part, bound in bounds)
    return key, value, headers
