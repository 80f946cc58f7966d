"""Whether a model that has work moves: what makes a hang a hang.

Knows nothing about processes or clocks.
"""

from __future__ import annotations


class Progress:
    """The work of one engine. All times are in seconds of one clock that never goes back.

    Args:
        stall_s: with work and without a movement for longer than this, it hangs.

    Example:
        >>> progress = Progress(stall_s=60.0)
        >>> progress.began(1, now_s=100.0)
        >>> progress.moved(5, now_s=150.0)
        >>> progress.is_stalled(now_s=210.0), progress.is_stalled(now_s=210.5)
        (False, True)
    """

    def __init__(self, *, stall_s: float) -> None:
        self._stall_s = stall_s
        self._open: set[int] = set()
        self._moved = 0
        self._moved_s = 0.0

    def began(self, number: int, *, now_s: float) -> None:
        """A call begins. The first one after a pause starts the clock: whoever has no work cannot move."""
        if not self._open:
            self._moved_s = now_s
        self._open.add(number)

    def ended(self, number: int, *, now_s: float) -> None:
        """A call has its answer, which is a movement."""
        self._open.discard(number)
        self._moved_s = now_s

    def moved(self, count: int, *, now_s: float) -> None:
        """The engine says how many tokens or answers it has made in its life; the same number again is no movement."""
        if count != self._moved:
            self._moved, self._moved_s = count, now_s

    def is_stalled(self, *, now_s: float) -> bool:
        """Whether it has work and has not moved for too long."""
        return bool(self._open) and now_s - self._moved_s > self._stall_s
