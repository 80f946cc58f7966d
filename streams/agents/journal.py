"""What a partition was given since its last checkpoint, so that it can start over from there.

Knows nothing about what is in a record.
"""

from __future__ import annotations

from collections.abc import Iterator

from streams.records import value_bytes
from streams.transport import Chunk


class Journal:
    """Chunks in their order.

    Attributes:
        value_bytes: what their records' values take; the rest of a record is a few hundred bytes.
    """

    def __init__(self) -> None:
        self.value_bytes = 0
        self._chunks: list[Chunk] = []

    def __iter__(self) -> Iterator[Chunk]:
        return iter(self._chunks)

    def add(self, chunk: Chunk) -> None:
        """One more that was applied."""
        self._chunks.append(chunk)
        self.value_bytes += value_bytes(chunk.records)

    def clear(self) -> None:
        """A checkpoint covers all of them."""
        self._chunks.clear()
        self.value_bytes = 0
