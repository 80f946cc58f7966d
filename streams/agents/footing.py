"""What the owner of a partition may take for granted of a Redis that may lose its last writes when it restarts.

Redis loses a suffix of its writes, none of which is older than `durable_s`. Every accepted checkpoint says that it has not
restarted since the takeover, or since the restart before. From that follows which states are safe.

Knows nothing about Redis, nor about what a state is.
"""

from __future__ import annotations

from collections import deque


class Footing:
    """One takeover's.

    Args:
        acquired_s: when the partition was acquired, by the monotonic clock.
        durable_s: what was acknowledged is on disk after this, if Redis is still in the same life.
        first: we start at the beginning, so our start rests on nothing.

    Attributes:
        rooted: the states that our start rests on cannot be lost any more. Until then, a restart may take them back behind it.
        durable: the last of our checkpoints whose states cannot be lost any more; 0 for none.
    """

    def __init__(self, *, acquired_s: float, durable_s: float, first: bool) -> None:
        self.rooted = first
        self.durable = 0
        self._acquired_s = acquired_s
        self._durable_s = durable_s
        self._losable: deque[tuple[float, int]] = deque()

    def held(self, number: int, *, begun_s: float, ended_s: float) -> None:
        """Our checkpoint `number` was accepted, in the same life of Redis as the one before.

        Example:
            >>> footing = Footing(acquired_s=0.0, durable_s=3.0, first=False)
            >>> footing.held(1, begun_s=2.0, ended_s=2.5)
            >>> footing.held(2, begun_s=5.5, ended_s=5.6)
            >>> (footing.rooted, footing.durable)
            (True, 1)
        """
        self.rooted |= begun_s - self._acquired_s >= self._durable_s
        self._losable.append((ended_s, number))
        while self._losable and self._losable[0][0] <= begun_s - self._durable_s:
            self.durable = self._losable.popleft()[1]

    def restarted(self) -> None:
        """Redis is in another life: what it could lose may be lost."""
        self._losable.clear()
