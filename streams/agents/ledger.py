"""The offset ledger of one partition: what has been taken, what is done, and so what may be committed.

Work may finish in any order; the committable offset never passes one that is unfinished. This replaces Faust's own
acknowledgements, which can commit past an unfinished message (runtime facts in LOG.md).
"""

from __future__ import annotations

from collections import deque


class OffsetLedger:
    """Offsets of one partition.

    Args:
        next_offset: the first offset that will be taken; nothing before it is ours.

    Example:
        >>> ledger = OffsetLedger(10)
        >>> for offset in (10, 11, 13):
        ...     ledger.take(offset)
        >>> ledger.finish(11)
        >>> ledger.committable
        10
        >>> ledger.finish(10)
        >>> ledger.committable
        13
    """

    def __init__(self, next_offset: int) -> None:
        self._next = next_offset
        self._open: set[int] = set()
        self._taken: deque[int] = deque()  # in rising order; finished ones stay while an older one is open

    def take(self, offset: int) -> None:
        """Notes that work on `offset` has begun; offsets come in rising order, gaps (compaction) are allowed.

        Raises:
            ValueError: the offset was taken before.
        """
        if offset < self._next:
            message = f"offset {offset} was taken already; the next one is at least {self._next}"
            raise ValueError(message)
        self._next = offset + 1
        self._open.add(offset)
        self._taken.append(offset)

    def finish(self, offset: int) -> None:
        """Notes that the work on `offset` is done and durable. Finishing twice is harmless."""
        self._open.discard(offset)
        while self._taken and self._taken[0] not in self._open:
            self._taken.popleft()

    @property
    def committable(self) -> int:
        """The first offset that must be delivered again after a crash."""
        return self._taken[0] if self._taken else self._next

    @property
    def open_count(self) -> int:
        """How many offsets are unfinished."""
        return len(self._open)
