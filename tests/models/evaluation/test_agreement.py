"""Laws of AUC, AP and kappa, with values derived by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.evaluation.agreement import auc, average_precision, kappa, over_users

rows = st.lists(
    st.tuples(st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]), st.booleans(), st.integers(0, 3)), min_size=1, max_size=12
)


def _copies(given_: list[tuple[float, bool, int]]) -> tuple[list[float], list[bool]]:
    many = [(score, label) for score, label, weight in given_ for _ in range(weight)]
    return [score for score, _ in many], [label for _, label in many]


@given(rows)
def test_auc_is_the_share_of_pairs_that_are_won_and_a_weight_is_a_copy(given_: list[tuple[float, bool, int]]) -> None:
    scores, labels = _copies(given_)
    wins = [(a > b) + 0.5 * (a == b) for a, x in zip(scores, labels) if x for b, y in zip(scores, labels) if not y]  # noqa: B905
    found = auc([one[0] for one in given_], [one[1] for one in given_], np.array([float(one[2]) for one in given_]))
    assert found == pytest.approx(sum(wins) / len(wins)) if wins else math.isnan(found)


@given(rows)
def test_average_precision_is_the_mean_precision_at_positives_and_a_weight_is_a_copy(
    given_: list[tuple[float, bool, int]],
) -> None:
    scores, labels = _copies(given_)
    at_least = [[label for other, label in zip(scores, labels) if other >= score] for score in scores]  # noqa: B905
    precisions = [sum(found) / len(found) for found, label in zip(at_least, labels) if label]  # noqa: B905
    found = average_precision(
        [one[0] for one in given_], [one[1] for one in given_], np.array([float(one[2]) for one in given_])
    )
    assert found == pytest.approx(sum(precisions) / len(precisions)) if precisions else math.isnan(found)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=12))
def test_kappa_is_symmetric_at_most_one_and_one_only_for_equal_raters(given_: list[tuple[bool, bool]]) -> None:
    one, other = [pair[0] for pair in given_], [pair[1] for pair in given_]
    found = kappa(one, other)
    if math.isnan(found):
        assert len(set(one) | set(other)) == 1
    else:
        assert found == pytest.approx(kappa(other, one))
        assert found <= 1.0
        assert (found == pytest.approx(1.0)) == (one == other)


def test_kappa_of_a_known_table() -> None:
    """Cohen's own form: 20 both yes, 15 both no, 5 and 10 apart of 50. Observed .7, chance .5 x .6 + .5 x .4 = .5."""
    table = [(True, True)] * 20 + [(False, False)] * 15 + [(True, False)] * 5 + [(False, True)] * 10
    assert kappa([one for one, _ in table], [other for _, other in table]) == pytest.approx(0.4)


def test_kappa_of_lists_of_other_lengths_is_refused() -> None:
    with pytest.raises(ValueError, match="1 ratings for 2"):
        kappa([True, False], [True])


def test_interval_over_users_is_wider_than_over_cases() -> None:
    """40 cases of 4 users who each give one answer tell no more than 4 cases."""
    labels = [number % 2 == 0 for number in range(40)]
    values = np.array([1.0 if number < 20 else 0.0 for number in range(40)])

    def mean(weights: np.ndarray) -> float:  # type: ignore[type-arg]
        return float((weights * values).sum() / weights.sum())

    few = over_users(mean, [str(number // 10) for number in range(40)], seed=0)
    many = over_users(mean, [str(number) for number in range(40)], seed=0)
    assert few is not None
    assert many is not None
    assert few.high - few.low > many.high - many.low
    assert over_users(lambda weights: auc(values, labels, weights), ["a"] * 40, seed=0) is not None
    assert over_users(lambda weights: auc([1.0], [True], weights), ["a"], seed=0) is None
