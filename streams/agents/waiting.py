"""The users who wait for an answer, each with the newest question about them.

Knows nothing about topics, offsets in hand, or how a question is answered.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Hashable, Iterable
from heapq import nsmallest
from itertools import islice
from math import inf
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from streams.agents.clock import Clock


class Question(Protocol):
    """What is used of any question about a user; epoch and offset are its fence."""

    @property
    def user_id(self) -> str: ...  # noqa: D102
    @property
    def epoch(self) -> int: ...  # noqa: D102
    @property
    def offset(self) -> int: ...  # noqa: D102


Asked = TypeVar("Asked", bound=Question)


class Waiting(NamedTuple, Generic[Asked]):
    """A request that waits, with where it came from and when the event behind it reached the broker (-1: unknown).

    `since_ms` is when the user's question reached its topic; a newer question has its elder's.
    """

    request: Asked
    partition: int
    offset: int
    caused_ms: int = -1
    context: bytes = b""  # of the trace that it belongs to
    attempt: int = 1
    since_ms: int = 0
    value: float = 0.0  # what its answer is worth (`models.value`)


# Who is served next: at most so many of those who wait, who are given in the order in which their first question came.
Order = Callable[[Iterable[Waiting[Any]], int], list[Waiting[Any]]]


def oldest_first(waiting: Iterable[Waiting[Any]], count: int) -> list[Waiting[Any]]:
    """Whoever waits longest; a newer question has its elder's place."""
    return list(islice(waiting, count))


def most_valuable_first(clock: Clock, *, patience_s: float) -> Order:
    """Those who have waited for longer than `patience_s`, oldest first; then the others, by what their answers are worth.

    Args:
        clock: that of the machine, which the brokers' is taken for.
        patience_s: the bound.
    """

    def order(waiting: Iterable[Waiting[Any]], count: int) -> list[Waiting[Any]]:
        overdue_ms = (clock.time() - patience_s) * 1000

        def urgency(one: Waiting[Any]) -> tuple[float, float]:
            return (-inf, one.since_ms) if one.since_ms < overdue_ms else (-one.value, one.since_ms)

        return nsmallest(count, waiting, key=urgency)

    return order


class WaitingQueue(Generic[Asked]):
    """One place per key.

    Args:
        key: whose place a question takes.
        order: who is served next.
    """

    def __init__(self, key: Callable[[Asked], Hashable], order: Order = oldest_first) -> None:
        self._key = key
        self._order = order
        self._by_key: OrderedDict[Hashable, Waiting[Asked]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._by_key)

    def of(self, key: Hashable) -> Waiting[Asked] | None:
        """The question at this place; None when none waits."""
        return self._by_key.get(key)

    def put(self, waiting: Waiting[Asked]) -> Waiting[Asked] | None:
        """Lets a request wait: the newest by fence, not by arrival, since a zombie's may come late.

        Returns:
            The other request of the same place, which needs no answer of its own any more; None without one.
        """
        key = self._key(waiting.request)
        other = self.of(key)
        if other is not None and _fence(waiting.request) < _fence(other.request):
            return waiting
        if other is not None:
            waiting = waiting._replace(since_ms=min(other.since_ms, waiting.since_ms))
        self._by_key[key] = waiting  # at its elder's place
        return other

    def take(self, count: int) -> list[Waiting[Asked]]:
        """At most `count` requests, which wait no longer."""
        taken = self._order(self._by_key.values(), count)
        for waiting in taken:
            self.drop(waiting)
        return taken

    def drop(self, waiting: Waiting[Asked]) -> None:
        """Lets one go that is in the queue."""
        del self._by_key[self._key(waiting.request)]

    def drop_partitions(self, partitions: Collection[int]) -> None:
        """Lets all go that came from these."""
        for waiting in [one for one in self._by_key.values() if one.partition in partitions]:
            self.drop(waiting)

    def clear(self) -> None:
        """Lets all go."""
        self._by_key.clear()


def _fence(request: Question) -> tuple[int, int]:
    return request.epoch, request.offset
