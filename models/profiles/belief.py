"""One tag of a user's pool. A file of its own: it stays Python where the rest of the profiles is compiled (`make native`)."""

from __future__ import annotations

from msgspec import Struct


class Belief(Struct, array_like=True, gc=False):
    """One tag of the pool. `weight` is in forward-decay form; days count from 1970.

    `newest` is the offset of the newest event that it rests on (-1: none); the one before it lies `back` earlier (0: none).
    """

    weight: float
    count: int
    last_day: int
    approved_day: int = 0
    cycles: int = 0
    issued_count: int = 0
    issued_positives: int = 0
    newest: int = -1
    back: int = 0

    @property
    def evidence(self) -> tuple[int, ...]:
        """Offsets of the events that the tag rests on, newest last."""
        if self.newest < 0:
            return ()
        return (self.newest - self.back, self.newest) if self.back else (self.newest,)
