"""Laws of scoring any item by the formula of slates."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.combine import Parts
from models.evaluation.parts import FLOOR, parts, product
from models.season import SeasonPolicy, timeliness
from models.serengpt.aligned import aligned_score
from models.serengpt.engine import Scored


def test_product_weighs_parts_as_exponents() -> None:
    """(0.5^1 * 0.25^2)^(1/3) = (1/32)^(1/3); the other item has twice the relevance."""
    [[first, second]] = product(relevance=1.0, timeliness=2.0, of=[[Parts(0.5, timeliness=0.25), Parts(1.0, timeliness=0.25)]])
    assert first == pytest.approx((1 / 32) ** (1 / 3))
    assert second == pytest.approx((1 / 16) ** (1 / 3))


def test_product_without_a_weight_raises() -> None:
    with pytest.raises(ValueError, match="must be above 0"):
        product(of=[[Parts(0.5)]])


def test_parts_hold_cosines_above_the_floor_and_the_aligned_score() -> None:
    scored = Scored(-2.0, -3.0, 2)
    [[first, second]] = parts([[0.5, -0.9]], [[0.25, 0.0]], [[scored, scored]])
    assert first == Parts(relevance=0.5, timeliness=0.25, aligned=aligned_score(scored))
    assert (second.relevance, second.timeliness) == (FLOOR, FLOOR)


def test_parts_without_answers_have_no_aligned() -> None:
    assert parts([[0.5]], [[0.5]], None) == [[Parts(relevance=0.5, timeliness=0.5)]]


@given(st.floats(0, 1e6), st.floats(0, 1e6), st.floats(1e-6, 1e6))
def test_timeliness_rises_with_the_want_and_stays_below_one(first: float, second: float, mean: float) -> None:
    less, more = (timeliness(want, mean, SeasonPolicy()) for want in sorted((first, second)))
    assert 0.0 <= less <= more <= 1.0


def test_timeliness_of_a_negative_count_raises() -> None:
    with pytest.raises(ValueError, match="at least 0"):
        timeliness(-1.0, 1.0, SeasonPolicy())
