"""One tag of a user's pool."""

from __future__ import annotations

from typing import final

from models.compiled import mypyc_attr


@final
@mypyc_attr(acyclic=True)
class Belief:
    """One tag of the pool. `weight` is in forward-decay form; days count from 1970.

    `newest` is the offset of the newest event that it rests on (-1: none); the one before it lies `back` earlier (0: none).
    """

    __slots__ = (
        "approved_day",
        "back",
        "count",
        "cycles",
        "issued_count",
        "issued_positives",
        "last_day",
        "newest",
        "weight",
    )

    def __init__(self, weight: float, count: int, last_day: int, newest: int = -1) -> None:
        self.weight = weight
        self.count = count
        self.last_day = last_day
        self.approved_day = 0
        self.cycles = 0
        self.issued_count = 0
        self.issued_positives = 0
        self.newest = newest
        self.back = 0

    @property
    def evidence(self) -> tuple[int, ...]:
        """Offsets of the events that the tag rests on, newest last."""
        if self.newest < 0:
            return ()
        return (self.newest - self.back, self.newest) if self.back else (self.newest,)
