"""Laws of outages: retries by cause, how long work stood still, and since when somebody is away."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from models.errors import BrokerUnavailable, EngineOverloaded, RequestError, SerenError, StoreUnavailable
from streams.agents import retry
from streams.agents.outages import CAUSES, Outages, cause_of


class HandClock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def time(self) -> float:
        return self.now_s

    def monotonic(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> HandClock:
    """A clock that the waits between tries move."""
    clock, real = HandClock(), asyncio.sleep

    async def sleep(delay_s: float) -> None:
        clock.now_s += delay_s
        await real(0)

    monkeypatch.setattr(retry.asyncio, "sleep", sleep)
    monkeypatch.setattr(retry.dice, "uniform", lambda _, longest: longest)
    return clock


class Operation:
    """Fails with these errors, one after the other, then answers."""

    def __init__(self, *errors: SerenError) -> None:
        self._errors = list(errors)

    async def __call__(self) -> str:
        if self._errors:
            raise self._errors.pop(0)
        return "done"


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (StoreUnavailable("x"), "redis"),
        (BrokerUnavailable("x"), "kafka"),
        (EngineOverloaded("x", retry_after_s=1.0), "engine"),
        (RequestError("x"), "other"),
    ],
)
def test_every_error_has_a_cause_of_a_bounded_set(error: SerenError, cause: str) -> None:
    assert cause_of(error) == cause
    assert cause in CAUSES


async def test_retries_are_counted_by_cause_and_the_pause_lasts_until_success(clock: HandClock) -> None:
    counts: Counter[str] = Counter()
    outages = Outages(clock, counts)
    assert await outages.retrying(Operation(StoreUnavailable("a"), StoreUnavailable("b")), what="x") == "done"
    assert await outages.retrying(Operation(BrokerUnavailable("a")), what="x") == "done"
    assert counts == {"retries": 3, "retries_redis": 2, "retries_kafka": 1}
    assert outages.paused_s["redis"] == pytest.approx(0.05 + 0.1)
    assert outages.paused_s["kafka"] == pytest.approx(0.05)
    assert outages.away_s() == {}


async def test_outage_is_over_when_its_attempt_gives_up(clock: HandClock) -> None:
    outages = Outages(clock, Counter())
    with pytest.raises(RequestError):
        await outages.retrying(Operation(StoreUnavailable("a"), RequestError("b")), what="x")
    assert outages.away_s() == {}
    assert outages.paused_s["redis"] == pytest.approx(0.05)


def test_who_is_away_is_away_since_the_first_failure_of_the_oldest_attempt() -> None:
    clock = HandClock()
    outages = Outages(clock, Counter())
    outages.failed("one", "redis")
    clock.now_s += 3
    outages.failed("other", "redis")
    outages.failed("one", "redis")
    outages.failed("third", "kafka")
    clock.now_s += 1
    assert outages.away_s() == {"redis": 4.0, "kafka": 1.0}
    outages.over("one")
    assert outages.away_s() == {"redis": 1.0, "kafka": 1.0}
    clock.now_s += 2
    assert sorted(outages.spans_s()) == [(3.0, 0.0), (3.0, 0.0), (6.0, 2.0)]
    assert outages.over("nobody") is None
