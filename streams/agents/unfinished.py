"""The requests that a worker has taken and is not finished with, and so what may be committed.

Knows nothing about who waits and who is being answered.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple

from faust.types import TP

from streams.agents.clock import Clock
from streams.agents.ledger import OffsetLedger


class Undone(NamedTuple):
    """When a request was taken, by the monotonic clock, and when its topic got it (ms since 1970)."""

    taken_s: float
    asked_ms: int


class Unfinished:
    """The requests in hand, by partition. May be read from another thread.

    Args:
        clock: the machine's.
        topic: where they come from.
    """

    def __init__(self, clock: Clock, topic: str) -> None:
        self._clock = clock
        self._topic = topic
        self._ledgers: dict[int, OffsetLedger] = {}
        self._undone: dict[int, dict[int, Undone]] = {}

    def start(self, partitions: Collection[int]) -> None:
        """These are ours from now on, with nothing in hand, and no others."""
        self._ledgers = {number: OffsetLedger(0) for number in partitions}
        self._undone = {number: {} for number in partitions}

    def drop(self, partitions: Iterable[int]) -> None:
        """These are ours no longer."""
        for number in partitions:
            self._ledgers.pop(number, None)
            self._undone.pop(number, None)

    def life(self, partition: int) -> OffsetLedger | None:
        """What stands for our ownership of a partition: another one, or none, after it went."""
        return self._ledgers.get(partition)

    def take(self, partition: int, offset: int, *, asked_ms: int) -> None:
        """Work on a request of ours has begun."""
        self._ledgers[partition].take(offset)
        self._undone[partition][offset] = Undone(self._clock.monotonic(), asked_ms)

    def finish(self, partition: int, offset: int) -> None:
        """A request is answered, superseded or buried; of a partition that has gone, this says nothing."""
        ledger = self._ledgers.get(partition)
        if ledger is not None:
            ledger.finish(offset)
            self._undone[partition].pop(offset, None)

    def committable(self, partitions: Iterable[int]) -> dict[TP, int]:
        """What may be committed of these, where it is anything."""
        found = {number: self._ledgers[number].committable for number in partitions if number in self._ledgers}
        return {TP(self._topic, number): offset for number, offset in found.items() if offset > 0}

    def positions(self) -> dict[TP, int]:
        """The first offset of each partition that is not finished with; -1 before the first record."""
        return {TP(self._topic, number): ledger.committable or -1 for number, ledger in list(self._ledgers.items())}

    def undone(self) -> list[Undone]:
        """The requests in hand."""
        return [one for taken in list(self._undone.values()) for one in list(taken.values())]

    def oldest_s(self) -> float:
        """For how long the oldest of them has been here; 0 without any."""
        return max((self._clock.monotonic() - one.taken_s for one in self.undone()), default=0.0)
