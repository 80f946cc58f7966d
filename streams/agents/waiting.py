"""The users who wait for a slate, each with the newest question about them.

Knows nothing about topics, offsets in hand, or how a question is answered.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable
from heapq import nsmallest
from itertools import islice
from math import inf
from typing import NamedTuple

from models.entities import PackedRequest
from streams.agents.clock import Clock


class Waiting(NamedTuple):
    """A request that waits, with where it came from and when the event behind it reached the broker (-1: unknown).

    `since_ms` is when the user's question reached its topic; a newer question has its elder's.
    """

    request: PackedRequest
    partition: int
    offset: int
    caused_ms: int
    context: bytes = b""  # of the trace that it belongs to
    attempt: int = 1
    since_ms: int = 0
    value: float = 0.0  # what its answer is worth (`models.value`)


# Who is served next: at most so many of those who wait, who are given in the order in which their first question came.
Order = Callable[[Iterable[Waiting], int], list[Waiting]]


def oldest_first(waiting: Iterable[Waiting], count: int) -> list[Waiting]:
    """Whoever waits longest; a newer question has its elder's place."""
    return list(islice(waiting, count))


def most_valuable_first(clock: Clock, *, patience_s: float) -> Order:
    """Those who have waited for longer than `patience_s`, oldest first; then the others, by what their answers are worth.

    Args:
        clock: that of the machine, which the brokers' is taken for.
        patience_s: the bound.
    """

    def order(waiting: Iterable[Waiting], count: int) -> list[Waiting]:
        overdue_ms = (clock.time() - patience_s) * 1000

        def urgency(one: Waiting) -> tuple[float, float]:
            return (-inf, one.since_ms) if one.since_ms < overdue_ms else (-one.value, one.since_ms)

        return nsmallest(count, waiting, key=urgency)

    return order


class WaitingQueue:
    """One place per user and surface.

    Args:
        order: who is served next.
    """

    def __init__(self, order: Order = oldest_first) -> None:
        self._order = order
        self._by_user: OrderedDict[tuple[str, str], Waiting] = OrderedDict()

    def __len__(self) -> int:
        return len(self._by_user)

    def of(self, user_id: str, surface: str) -> Waiting | None:
        """The user's question; None when none waits."""
        return self._by_user.get((user_id, surface))

    def put(self, waiting: Waiting) -> Waiting | None:
        """Lets a request wait: the newest by fence, not by arrival, since a zombie's may come late.

        Returns:
            The other request of the same user and surface, which needs no answer of its own any more; None without one.
        """
        other = self.of(waiting.request.user_id, waiting.request.surface)
        if other is not None and _fence(waiting.request) < _fence(other.request):
            return waiting
        if other is not None:
            waiting = waiting._replace(since_ms=min(other.since_ms, waiting.since_ms))
        self._by_user[_key(waiting)] = waiting  # at its elder's place
        return other

    def take(self, count: int) -> list[Waiting]:
        """At most `count` requests, which wait no longer."""
        taken = self._order(self._by_user.values(), count)
        for waiting in taken:
            del self._by_user[_key(waiting)]
        return taken

    def drop(self, waiting: Waiting) -> None:
        """Lets one go that is in the queue."""
        del self._by_user[_key(waiting)]

    def drop_partitions(self, partitions: Collection[int]) -> None:
        """Lets all go that came from these."""
        for waiting in [one for one in self._by_user.values() if one.partition in partitions]:
            self.drop(waiting)

    def clear(self) -> None:
        """Lets all go."""
        self._by_user.clear()


def _key(waiting: Waiting) -> tuple[str, str]:
    return waiting.request.user_id, waiting.request.surface


def _fence(request: PackedRequest) -> tuple[int, int]:
    return request.epoch, request.offset
