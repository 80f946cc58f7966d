"""Lines out of a pipe, as they come: bounded in length, numbered, and never waited for while some are there to be answered.

Knows nothing about what is in them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol

CHUNK_BYTES = 65_536


class Line(NamedTuple):
    """A line without its end. `content` is None for one that is over the bound: it was dropped while it was read."""

    number: int
    content: bytes | None


class Pipe(Protocol):
    """A binary stream that gives what is there."""

    def read1(self, size: int, /) -> bytes:
        """At most `size` bytes, none at the end."""
        ...


def line_batches(pipe: Pipe, *, max_bytes: int) -> Iterator[list[Line]]:
    r"""The lines of a pipe, those that arrived together in one list; the last one needs no end.

    Args:
        pipe: read to its end.
        max_bytes: of a line; memory holds one line and one chunk.

    Example:
        >>> import io
        >>> list(line_batches(io.BytesIO(b"one\ntoo long\n"), max_bytes=3))
        [[Line(number=1, content=b'one'), Line(number=2, content=None)]]
    """
    open_line = _OpenLine(max_bytes)
    number = 0
    while chunk := pipe.read1(CHUNK_BYTES):
        *ended, rest = chunk.split(b"\n")
        batch = []
        for piece in ended:
            open_line.add(piece)
            number += 1
            batch.append(Line(number, open_line.close()))
        open_line.add(rest)
        if batch:
            yield batch
    if open_line.size:
        yield [Line(number + 1, open_line.close())]


class _OpenLine:
    """The line that has not ended yet."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._pieces: list[bytes] = []
        self.size = 0

    def add(self, piece: bytes) -> None:
        self.size += len(piece)
        if self.size > self._max_bytes:
            self._pieces.clear()
        elif piece:
            self._pieces.append(piece)

    def close(self) -> bytes | None:
        """The line, or None for one over the bound; the next one begins."""
        content = b"".join(self._pieces) if self.size <= self._max_bytes else None
        self._pieces.clear()
        self.size = 0
        return content
