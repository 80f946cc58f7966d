import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.serengpt.aligned import aligned_score
from models.serengpt.engine import Scored

LOGPROBS = st.floats(-500, 0)


@given(LOGPROBS, LOGPROBS, st.integers(1, 20))
def test_aligned_score_lies_between_zero_and_one(logprob: float, prior: float, tokens: int) -> None:
    assert 0.0 <= aligned_score(Scored(logprob, prior, tokens)) <= 1.0


@given(LOGPROBS, LOGPROBS, LOGPROBS)
def test_aligned_score_rises_with_the_likelihood_and_falls_with_the_prior(one: float, other: float, fixed: float) -> None:
    low, high = sorted((one, other))
    assert aligned_score(Scored(low, fixed, 3)) <= aligned_score(Scored(high, fixed, 3))
    assert aligned_score(Scored(fixed, low, 3)) >= aligned_score(Scored(fixed, high, 3))


def test_aligned_score_of_a_title_as_likely_as_any_other_is_one_half() -> None:
    # p = prior = 1/4096, so the reference is 1/4096 too, whatever the share.
    assert aligned_score(Scored(-math.log(4096), -math.log(4096), 5)) == pytest.approx(0.5)


def test_aligned_score_of_a_popular_title_is_held_against_its_popularity_in_part() -> None:
    # Everybody wants it 16 times as often as any title; a quarter of that on the log scale is a factor of 16^0.25 = 2.
    # This user wants it 18 times as often: 18 / (18 + 2).
    any_title = -math.log(4096)
    assert aligned_score(Scored(any_title + math.log(18), any_title + math.log(16), 2)) == pytest.approx(0.9)


def test_aligned_score_not_a_number_is_refused() -> None:
    with pytest.raises(ValueError, match="must be finite"):
        aligned_score(Scored(math.nan, -1.0, 1))
