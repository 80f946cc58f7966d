"""Laws of the metrics; expected numbers by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models import metrics


@given(st.integers(1, 100), st.integers(1, 100))
def test_metrics_of_one_case_fall_with_rank_and_lie_between_precision_and_hit(rank: int, k: int) -> None:
    assert metrics.average_precision(rank, k) <= metrics.ndcg(rank, k) <= metrics.hit(rank, k)
    assert metrics.ndcg(rank + 1, k) <= metrics.ndcg(rank, k)


def test_ndcg_at_rank_two_is_one_over_log_three() -> None:
    assert metrics.ndcg(2, 10) == pytest.approx(1 / math.log2(3))


def test_rank_of_the_right_item_among_equal_scores_is_spread_evenly() -> None:
    """4 equal scores, 4,000 draws: each rank 1,000 times, five standard deviations are 137."""
    draw = np.random.default_rng(0)
    ranks = [metrics.rank_of(0.5, [0.5] * 3, draw) for _ in range(4000)]
    assert np.bincount(ranks, minlength=5)[1:] == pytest.approx([1000] * 4, abs=137)


def test_rank_of_the_right_item_behind_two_better_ones_is_three() -> None:
    assert metrics.rank_of(1.0, [3.0, 2.0, 0.0], np.random.default_rng(0)) == 3


def test_bootstrap_with_the_same_seed_gives_the_same_interval_around_the_mean() -> None:
    values, users = [0.0, 1.0, 1.0, 0.0, 1.0], ["a", "b", "b", "c", "d"]
    interval = metrics.bootstrap(values, users, seed=1)
    assert interval == metrics.bootstrap(values, users, seed=1)
    assert interval.low <= interval.mean == 0.6 <= interval.high


def test_bootstrap_of_many_alike_cases_of_one_user_is_wider_than_of_as_many_users() -> None:
    values = [1.0] * 50 + [0.0] * 50
    few = metrics.bootstrap(values, ["a"] * 50 + ["b"] * 50, seed=0)
    many = metrics.bootstrap(values, [str(n) for n in range(100)], seed=0)
    assert few.high - few.low > 3 * (many.high - many.low)


def test_bootstrap_of_single_case_users_has_the_width_of_the_normal_law() -> None:
    """100 users, half 1 and half 0: standard error 0.05, so the 95 % interval is 0.5 +- 0.098; resampling adds some noise."""
    interval = metrics.bootstrap([1.0, 0.0] * 50, [str(n) for n in range(100)], seed=0)
    assert (interval.low, interval.high) == pytest.approx((0.402, 0.598), abs=0.02)


def test_bootstrap_of_no_cases_raises() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        metrics.bootstrap([], [], seed=0)


def test_formulas_of_ranks_one_three_and_six_at_every_cut_are_those_worked_out_by_hand() -> None:
    """papers.md 1.8.1. Rank 3: 1 / log2(4) = 1/2 and 1/3. Rank 6: 1 / log2(7) and 1/6, and only within ten."""
    cuts = (1, 3, 5, 10)
    assert [metrics.hit(3, k) for k in cuts] == [0.0, 1.0, 1.0, 1.0]
    assert [metrics.ndcg(3, k) for k in cuts] == [0.0, 0.5, 0.5, 0.5]
    assert [metrics.average_precision(3, k) for k in cuts] == [
        0.0,
        pytest.approx(1 / 3),
        pytest.approx(1 / 3),
        pytest.approx(1 / 3),
    ]
    assert [metrics.hit(6, k) for k in cuts] == [0.0, 0.0, 0.0, 1.0]
    assert [metrics.ndcg(6, k) for k in cuts] == [0.0, 0.0, 0.0, pytest.approx(0.3562071871080222)]
    assert [metrics.average_precision(6, k) for k in cuts] == [0.0, 0.0, 0.0, pytest.approx(1 / 6)]
    assert [formula(1, 1) for formula in (metrics.hit, metrics.ndcg, metrics.average_precision)] == [1.0, 1.0, 1.0]


def test_bootstrap_columns_resample_all_columns_alike() -> None:
    """b = 1 - a in each case, so it is in each resample: the bounds mirror each other."""
    columns = {"a": [1.0, 0.0, 1.0, 0.0, 0.0], "b": [0.0, 1.0, 0.0, 1.0, 1.0]}
    found = metrics.bootstrap_columns(columns, ["u", "u", "v", "w", "x"], seed=3)
    assert found["a"].mean == pytest.approx(0.4)
    assert (found["a"].low, found["a"].high) == (pytest.approx(1 - found["b"].high), pytest.approx(1 - found["b"].low))


def test_bootstrap_columns_with_a_short_column_raises_its_name() -> None:
    with pytest.raises(ValueError, match="HR@1: 1 for 2 users"):
        metrics.bootstrap_columns({"HR@1": [1.0]}, ["a", "b"], seed=0)


def test_gini_of_one_two_three_is_two_ninths() -> None:
    """(2*1-4)*1 + (2*2-4)*2 + (2*3-4)*3 = 4, over 3 * 6."""
    assert metrics.gini([3, 1, 2]) == pytest.approx(2 / 9)


def test_gini_of_no_places_raises() -> None:
    with pytest.raises(ValueError, match="must be at least 1"):
        metrics.gini([0, 0])


def test_novelty_of_an_item_nobody_wanted_counts_as_one_event() -> None:
    assert metrics.novelty(["new"], {"a": 8}) == 3.0
    assert metrics.novelty([], {"a": 8}) == 0.0


def test_diversity_of_one_category_is_zero_and_of_all_different_is_one() -> None:
    assert metrics.diversity(["cup"] * 5) == 0.0
    assert metrics.diversity(["a", "b", "c"]) == 1.0
    assert metrics.diversity(["a"]) == 0.0


def test_coverage_of_an_empty_catalogue_raises() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        metrics.coverage([["a"]], 0)
