"""The queue of those who wait: one place a user, the most valuable first, and nobody waits for ever."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from models.entities import PackedRequest
from streams.agents.waiting import Waiting, WaitingQueue, most_valuable_first
from tests.streams.agents.one_judging_worker import request

NOW_MS = 1_000_000
PATIENCE_S = 100.0


class Stopped:
    """A clock that shows `NOW_MS`."""

    def time(self) -> float:
        return NOW_MS / 1000

    def monotonic(self) -> float:
        return 0.0


ORDER = most_valuable_first(Stopped(), patience_s=PATIENCE_S)


def place(request: PackedRequest) -> str:
    return request.user_id


def waiting(user: str, *, value: float, waited_s: float, offset: int = 1) -> Waiting[PackedRequest]:
    since_ms = NOW_MS - round(waited_s * 1000)
    return Waiting(request(user, offset), 0, offset, -1, since_ms=since_ms, value=value)


def taken(queue: WaitingQueue[PackedRequest], count: int) -> list[str]:
    return [one.request.user_id for one in queue.take(count)]


def test_most_valuable_come_first_and_of_equals_who_waits_longer() -> None:
    queue = WaitingQueue(place, ORDER)
    for one in [
        waiting("low", value=0.1, waited_s=50),
        waiting("young", value=0.5, waited_s=1),
        waiting("old", value=0.5, waited_s=2),
        waiting("high", value=0.9, waited_s=0),
    ]:
        queue.put(one)
    assert (taken(queue, 2), taken(queue, 9)) == (["high", "old"], ["young", "low"])


def test_who_has_waited_past_the_patience_comes_before_everybody_the_oldest_first() -> None:
    queue = WaitingQueue(place, ORDER)
    queue.put(waiting("valuable", value=1.0, waited_s=99))
    queue.put(waiting("late", value=0.0, waited_s=101))
    queue.put(waiting("later", value=0.2, waited_s=300))
    assert taken(queue, 3) == ["later", "late", "valuable"]


def test_newer_request_brings_its_value_and_keeps_its_elders_time() -> None:
    queue = WaitingQueue(place, ORDER)
    queue.put(waiting("patient", value=0.0, waited_s=200, offset=1))
    queue.put(waiting("patient", value=0.4, waited_s=0, offset=2))
    queue.put(waiting("other", value=1.0, waited_s=0))
    [first] = queue.take(1)
    assert (first.request.offset, first.value, first.since_ms) == (2, 0.4, NOW_MS - 200_000)


@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 400)), max_size=30), st.integers(1, 8))
def test_everybody_is_taken_once_whatever_the_batch(users: list[tuple[float, int]], count: int) -> None:
    queue = WaitingQueue(place, ORDER)
    for number, (value, waited_s) in enumerate(users):
        queue.put(waiting(f"u{number}", value=value, waited_s=waited_s))
    order: list[str] = []
    while len(queue):
        order += taken(queue, count)
    overdue = [f"u{number}" for number, (_, waited_s) in enumerate(users) if waited_s > PATIENCE_S]
    assert sorted(order) == sorted(f"u{number}" for number in range(len(users)))
    assert set(order[: len(overdue)]) == set(overdue)
