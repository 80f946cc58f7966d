"""Laws of retrying, on a clock that only sleeping moves."""

from __future__ import annotations

import asyncio

import pytest

from models.errors import SerenError, StoreError, StoreUnavailable
from streams.agents import retry
from streams.agents.retry import retrying


class Clock:
    """Event-loop time in seconds; a sleep moves it on and is noted."""

    def __init__(self) -> None:
        self.now_s = 1_000.0
        self.slept_s: list[float] = []

    async def sleep(self, delay_s: float) -> None:
        self.slept_s.append(delay_s)
        self.now_s += delay_s


@pytest.fixture
async def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(retry.asyncio, "sleep", clock.sleep)
    monkeypatch.setattr(retry.dice, "uniform", lambda _, longest: longest)
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: clock.now_s)
    return clock


class Operation:
    """Fails with each of the errors in turn, then answers 42."""

    def __init__(self, *errors: BaseException) -> None:
        self.errors = list(errors)
        self.tries = 0

    async def __call__(self) -> int:
        self.tries += 1
        if self.errors:
            raise self.errors.pop(0)
        return 42


def away(count: int) -> list[SerenError]:
    return [StoreUnavailable("away") for _ in range(count)]


async def test_retrying_answers_without_a_wait_when_the_first_try_holds(clock: Clock) -> None:
    operation = Operation()
    assert await retrying(operation, what="x") == 42
    assert (operation.tries, clock.slept_s) == (1, [])


async def test_retrying_waits_twice_as_long_each_time_and_never_over_five_seconds(clock: Clock) -> None:
    operation = Operation(*away(10))
    assert await retrying(operation, what="x") == 42
    assert clock.slept_s == pytest.approx([0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0])


async def test_retrying_waits_for_half_to_all_of_each_delay_and_not_twice_the_same(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else all workers that lost a server would come back to it in the same moments."""
    monkeypatch.undo()
    monkeypatch.setattr(retry.asyncio, "sleep", clock.sleep)
    await retrying(Operation(*away(50)), what="x")
    longest = clock.slept_s[7:]
    assert len(set(longest)) == len(longest)
    assert all(2.5 <= slept_s <= 5.0 for slept_s in longest)


async def test_retrying_counts_each_wait(clock: Clock) -> None:
    counted: list[int] = []
    await retrying(Operation(*away(3)), what="x", on_retry=lambda _: counted.append(len(clock.slept_s)))
    assert counted == [0, 1, 2]


@pytest.mark.parametrize("error", [StoreError("wrong password"), ValueError("bug"), asyncio.CancelledError()])
async def test_retrying_raises_at_once_what_no_retry_cures(error: BaseException, clock: Clock) -> None:
    operation = Operation(error)
    with pytest.raises(type(error)):
        await retrying(operation, what="x")
    assert (operation.tries, clock.slept_s) == (1, [])


async def test_retrying_raises_the_last_error_rather_than_wait_past_its_time(clock: Clock) -> None:
    """Waits of 0.05 and 0.1 fit into 0.3 s; the next of 0.2 would end at 0.35."""
    operation = Operation(*away(5))
    with pytest.raises(StoreUnavailable):
        await retrying(operation, what="x", within_s=0.3)
    assert clock.slept_s == pytest.approx([0.05, 0.1])
    assert operation.tries == 3


async def test_retrying_within_no_time_tries_once(clock: Clock) -> None:
    operation = Operation(*away(1))
    with pytest.raises(StoreUnavailable):
        await retrying(operation, what="x", within_s=0.0)
    assert operation.tries == 1
