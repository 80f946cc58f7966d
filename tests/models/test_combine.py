"""Laws of the combination: monotone, bounded, the same rule for every gap; the engine's product is one setting of it."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.combine import CombinePolicy, Parts, combine
from models.prerank import SlatePolicy

PEOPLE = CombinePolicy()
EQUAL = CombinePolicy(novelty_weight=1.0, timeliness_weight=1.0)
_share = st.floats(min_value=0.0, max_value=1.0)
_part = st.none() | _share
_parts = st.tuples(_part, _part, _part, _part).map(lambda values: Parts(*values))
_names = st.sampled_from(["relevance", "unexpectedness", "novelty", "timeliness"])
_policies = st.sampled_from([PEOPLE, EQUAL, SlatePolicy(), CombinePolicy(shift=0.0), CombinePolicy(shift=100.0)])


@given(_parts, _policies)
def test_combine_of_any_parts_is_in_range(parts: Parts, policy: CombinePolicy) -> None:
    assert 0.0 <= combine(parts, policy) <= 1.0


@given(_parts, _policies, _names, _share, _share)
def test_combine_never_falls_when_a_part_rises(
    parts: Parts, policy: CombinePolicy, name: str, one: float, other: float
) -> None:
    low, high = (combine(parts._replace(**{name: value}), policy) for value in sorted((one, other)))
    assert low <= high + 1e-12


@given(_parts, _names)
def test_combine_with_a_shift_rises_with_every_part_though_another_is_zero(parts: Parts, name: str) -> None:
    values = [combine(parts._replace(**{name: value}), PEOPLE) for value in (0.0, 0.25, 0.5, 0.75, 1.0)]
    assert all(higher - lower > 1e-3 for lower, higher in pairwise(values))


@given(_parts, _names, _share)
def test_combine_of_a_gap_lies_between_the_worst_and_the_best_it_could_be(parts: Parts, name: str, value: float) -> None:
    """What becomes known above 0.5 raises the score, below 0.5 lowers it: whichever part it is."""
    gap, known = (combine(parts._replace(**{name: one}), PEOPLE) for one in (None, value))
    assert (known - gap) * (value - 0.5) >= -1e-12


@given(st.permutations([0.2, 0.9, None, 0.6]))
def test_combine_of_equal_weights_does_not_care_which_part_is_missing(values: list[float | None]) -> None:
    assert combine(Parts(*values), EQUAL) == pytest.approx(combine(Parts(0.2, 0.9, None, 0.6), EQUAL), abs=1e-12)


def test_combine_of_nothing_known_is_neither_for_nor_against() -> None:
    assert combine(Parts(), PEOPLE) == pytest.approx(0.5)


@given(_share)
def test_combine_of_parts_that_agree_is_what_they_agree_on(value: float) -> None:
    assert combine(Parts(value, value, value, value), PEOPLE) == pytest.approx(value, abs=1e-9)


@given(_share, _share, _share)
def test_combine_for_slates_is_the_product(relevance: float, unexpectedness: float, aligned: float) -> None:
    parts = Parts(relevance=relevance, unexpectedness=unexpectedness, aligned=aligned)
    assert math.isclose(combine(parts, SlatePolicy()), relevance * unexpectedness * aligned, abs_tol=1e-9)


def test_combine_prefers_balance_to_the_same_sum() -> None:
    assert combine(Parts(0.5, 0.5), PEOPLE) > combine(Parts(1.0, 0.0), PEOPLE)


def test_combine_lets_relevance_count_more_than_timeliness() -> None:
    assert combine(Parts(0.9, 0.5, 0.5, 0.1), PEOPLE) > combine(Parts(0.1, 0.5, 0.5, 0.9), PEOPLE)


@pytest.mark.parametrize("value", [-0.01, 1.01, math.nan, math.inf])
def test_combine_of_a_part_out_of_range_names_it(value: float) -> None:
    with pytest.raises(ValueError, match=r"novelty: .* must be in 0\.\.1"):
        combine(Parts(novelty=value), PEOPLE)


def test_combine_without_any_weight_raises() -> None:
    with pytest.raises(ValueError, match="weights: their sum is 0"):
        combine(Parts(), CombinePolicy(relevance_weight=0, unexpectedness_weight=0, novelty_weight=0, timeliness_weight=0))
