"""What a worker cannot reach, since when, and how long its work stood still for it.

Knows nothing about what is being tried. Written on the event loop; may be read from another thread.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Awaitable, Callable
from typing import TypeVar

from models.errors import BrokerError, EngineError, SerenError, StoreError
from streams.agents.clock import Clock
from streams.agents.retry import retrying

_T = TypeVar("_T")
_CAUSES: tuple[tuple[type[SerenError], str], ...] = ((StoreError, "redis"), (BrokerError, "kafka"), (EngineError, "engine"))
_REMEMBERED = (
    256  # outages that are over: more of them within the bounds of `streams.observability.health` are an outage themselves
)
CAUSES = ("redis", "kafka", "engine", "other")


def cause_of(error: SerenError) -> str:
    """Which neighbour an error tells of.

    Example:
        >>> cause_of(StoreError("away"))
        'redis'
    """
    return next((cause for kind, cause in _CAUSES if isinstance(error, kind)), "other")


class Outages:
    """The failures of one worker that it bears by trying again.

    Args:
        clock: the machine's.
        counts: of the worker; `retries` and `retries_<cause>` are kept here.

    Attributes:
        paused_s: seconds for which work stood still, by cause; `room`: because as much was in hand as may be;
            `budget`: because the tenant's tokens were spent.
    """

    def __init__(self, clock: Clock, counts: Counter[str]) -> None:
        self.paused_s: dict[str, float] = dict.fromkeys((*CAUSES, "room", "budget"), 0.0)
        self._clock = clock
        self._counts = counts
        self._open: dict[object, tuple[str, float]] = {}
        self._ended: deque[tuple[float, float]] = deque(maxlen=_REMEMBERED)

    async def retrying(self, operation: Callable[[], Awaitable[_T]], *, what: str, within_s: float | None = None) -> _T:
        """See `streams.agents.retry.retrying`; what it waits for is an outage until it succeeds or gives up."""
        attempt = object()

        def count(error: SerenError) -> None:
            cause = cause_of(error)
            self._counts["retries"] += 1
            self._counts[f"retries_{cause}"] += 1
            self.failed(attempt, cause)

        try:
            return await retrying(operation, what=what, on_retry=count, within_s=within_s)
        finally:
            ended = self.over(attempt)
            if ended is not None:
                cause, since_s = ended
                self.paused_s[cause] += self._clock.monotonic() - since_s

    def failed(self, attempt: object, cause: str) -> None:
        """An attempt failed; the outage begins with its first failure."""
        self._open.setdefault(attempt, (cause, self._clock.monotonic()))

    def over(self, attempt: object) -> tuple[str, float] | None:
        """An attempt has ended; its cause and since when it failed, if it did."""
        ended = self._open.pop(attempt, None)
        if ended is not None:
            self._ended.append((ended[1], self._clock.monotonic()))
        return ended

    def spans_s(self) -> list[tuple[float, float]]:
        """From when to when something was away, in seconds ago, the last ones; an outage that goes on ends 0 s ago."""
        now_s = self._clock.monotonic()
        spans = list(self._ended) + [(since_s, now_s) for _, since_s in list(self._open.values())]
        return [(now_s - since_s, now_s - ended_s) for since_s, ended_s in spans]

    def away_s(self) -> dict[str, float]:
        """For how long each cause has been away; only those that are."""
        now_s, away = self._clock.monotonic(), dict[str, float]()
        for cause, since_s in list(self._open.values()):
            away[cause] = max(away.get(cause, 0.0), now_s - since_s)
        return away
