"""Laws of exponential forgetting in forward form."""

from __future__ import annotations

import math
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models import decay

HOUR_MS = 3_600_000
LAST_MS = 2**53 - 1
STABLE = settings(max_examples=100, deadline=None, derandomize=True)


def weight_at(gains_at_ms: list[int], as_of_ms: int, *, landmark_ms: int, half_life_ms: int) -> float:
    """The decayed sum of one unit given at each time."""
    total = sum(decay.gain(ts_ms, landmark_ms=landmark_ms, half_life_ms=half_life_ms) for ts_ms in gains_at_ms)
    return decay.at(total, as_of_ms, landmark_ms=landmark_ms, half_life_ms=half_life_ms)


def test_weight_after_one_half_life_is_half() -> None:
    assert weight_at([5 * HOUR_MS], 6 * HOUR_MS, landmark_ms=0, half_life_ms=HOUR_MS) == 0.5


def test_weight_one_step_of_two_half_lives_equals_two_steps_of_one() -> None:
    """3 units, half-life 1 h, read after 2 h: 3 / 4. In two steps: 3 -> 1.5 -> 0.75."""
    once = decay.at(3.0, 2 * HOUR_MS, landmark_ms=0, half_life_ms=HOUR_MS)
    first = decay.at(3.0, HOUR_MS, landmark_ms=0, half_life_ms=HOUR_MS)
    second = decay.at(first, 2 * HOUR_MS, landmark_ms=HOUR_MS, half_life_ms=HOUR_MS)
    assert once == second == 0.75


def test_weight_does_not_depend_on_the_order_of_events() -> None:
    """Gains 1, 2 and 8 (0, 1 and 3 half-lives after the landmark): 11 in any order, read at 3 half-lives: 11 / 8."""
    for order in permutations([0, HOUR_MS, 3 * HOUR_MS]):
        assert weight_at(list(order), 3 * HOUR_MS, landmark_ms=0, half_life_ms=HOUR_MS) == 1.375


@STABLE
@given(st.lists(st.integers(0, 200 * HOUR_MS), min_size=1, max_size=20), st.integers(0, 40 * HOUR_MS))
def test_weight_does_not_depend_on_the_landmark(times_ms: list[int], moved_ms: int) -> None:
    as_of_ms = 200 * HOUR_MS
    here = weight_at(times_ms, as_of_ms, landmark_ms=0, half_life_ms=HOUR_MS)
    there = weight_at(times_ms, as_of_ms, landmark_ms=moved_ms, half_life_ms=HOUR_MS)
    assert math.isclose(here, there, rel_tol=1e-9)


@STABLE
@given(
    st.floats(0.0, 2.0**300),
    st.integers(0, LAST_MS),
    st.integers(0, LAST_MS),
    st.integers(1, 400 * 24 * HOUR_MS),
)
def test_reading_is_finite_and_never_negative_for_any_times(
    forward_sum: float, as_of_ms: int, landmark_ms: int, half_life_ms: int
) -> None:
    value = decay.at(forward_sum, as_of_ms, landmark_ms=landmark_ms, half_life_ms=half_life_ms)
    assert math.isfinite(value)
    assert value >= 0.0


@STABLE
@given(st.integers(0, LAST_MS), st.integers(1, 400 * 24 * HOUR_MS))
def test_gain_before_the_landmark_is_at_most_one_unit(early_ms: int, half_life_ms: int) -> None:
    assert 0.0 <= decay.gain(early_ms, landmark_ms=LAST_MS, half_life_ms=half_life_ms) <= 1.0


def test_gain_too_far_after_the_landmark_is_refused_and_not_infinite() -> None:
    with pytest.raises(OverflowError):
        decay.gain(LAST_MS, landmark_ms=0, half_life_ms=HOUR_MS)
