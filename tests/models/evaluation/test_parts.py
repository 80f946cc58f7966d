"""Laws of scoring any item by the formula of slates."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.combine import CombinePolicy, Parts, combine
from models.evaluation.choice import choose_nightly
from models.evaluation.parts import FLOOR, Weights, log_aligned, log_part, product
from models.season import SeasonPolicy, timeliness
from models.serengpt.aligned import PRIOR_SHARE, aligned_score
from models.serengpt.engine import Scored

SHARE = st.floats(0.01, 1.0)
TITLES = [Scored(-6.0, -4.0, 3), Scored(-5.0, -1.0, 2), Scored(-9.0, -12.0, 4)]


@given(st.lists(st.tuples(SHARE, SHARE, SHARE), min_size=2, max_size=8), SHARE, SHARE, SHARE)
def test_product_orders_as_the_formula_of_slates_does(
    rows: list[tuple[float, float, float]], like: float, word: float, time: float
) -> None:
    weights = (like, word, time)
    likes, words, times = ([log_part([row[place] for row in rows])] for place in range(3))
    [found] = product(Weights(*weights), relevance=likes, aligned=words, timeliness=times)
    policy = CombinePolicy(
        relevance_weight=weights[0],
        unexpectedness_weight=0.0,
        novelty_weight=0.0,
        timeliness_weight=weights[2],
        aligned_weight=weights[1],
        shift=0.0,
    )
    combined = [combine(Parts(relevance=like, aligned=word, timeliness=time), policy) for like, word, time in rows]
    assert [math.exp(value / sum(weights)) for value in found] == pytest.approx(combined)


def test_log_aligned_at_the_share_of_slates_is_the_aligned_score() -> None:
    assert log_aligned(TITLES, prior_share=PRIOR_SHARE) == pytest.approx([math.log(aligned_score(one)) for one in TITLES])


def test_log_aligned_at_a_share_of_one_is_what_the_profile_adds() -> None:
    """p / (p + prior): e^-6 against e^-4 is 1 / (1 + e^2)."""
    assert log_aligned(TITLES, prior_share=1.0)[0] == pytest.approx(-math.log1p(math.exp(2.0)))


def test_log_part_ends_at_the_floor_and_at_one() -> None:
    assert log_part([-1.0, 0.0, 2.0]) == pytest.approx([math.log(FLOOR), math.log(FLOOR), 0.0])


def test_choose_nightly_looks_at_days_before_only_and_not_too_far_back() -> None:
    """Day 5 sees day 4 (a), day 6 sees 4 and 5 (b by 0.9 against 0.5), day 9 sees nothing within two days: the first named."""
    earlier = {"a": [1.0, 0.0], "b": [0.0, 1.0]}
    values = {"a": [0.0, 0.0, 0.0], "b": [1.8, 0.0, 0.0]}
    nights = choose_nightly(earlier, [4, 1], values, [5, 6, 9], window_days=2)
    assert nights == ["a", "b", "a"]


@given(st.floats(0, 1e6), st.floats(0, 1e6), st.floats(1e-6, 1e6))
def test_timeliness_rises_with_the_want_and_stays_below_one(first: float, second: float, mean: float) -> None:
    less, more = (timeliness(want, mean, SeasonPolicy()) for want in sorted((first, second)))
    assert 0.0 <= less <= more <= 1.0


def test_timeliness_of_a_negative_count_raises() -> None:
    with pytest.raises(ValueError, match="at least 0"):
        timeliness(-1.0, 1.0, SeasonPolicy())
