"""Laws of comparing two rankers on the same cases."""

from __future__ import annotations

import pytest

from models.evaluation.comparison import best, compare
from models.evaluation.ranking import Report
from models.metrics import bootstrap

USERS = [f"u{n}" for n in range(40)]


def _report(name: str, values: list[float], metric: str = "HR@1") -> Report:
    return Report(name=name, metrics={metric: bootstrap(values, USERS, seed=0)}, values={metric: values})


EVEN = _report("even", [float(n % 2 == 0) for n in range(40)])
ALWAYS = _report("always", [1.0] * 40)
# Better than EVEN for four users and worse for none: the intervals overlap, the difference is clear.
SLIGHTLY = _report("slightly", [float(n % 2 == 0 or n % 10 == 1) for n in range(40)])


def test_comparison_of_a_ranker_that_is_never_worse_is_ahead_although_intervals_overlap() -> None:
    found = compare(SLIGHTLY, EVEN, USERS, seed=0)
    assert found.differences["HR@1"].mean == pytest.approx(0.1)
    assert found.differences["HR@1"].low > 0.0
    assert not found.apart["HR@1"]
    assert found.verdict("HR@1").startswith("slightly HR@1 is ahead of even: +0.100 [+0.0")


def test_comparison_turned_round_is_behind() -> None:
    assert compare(EVEN, SLIGHTLY, USERS, seed=0).verdict("HR@1").startswith("even HR@1 is behind slightly: -0.100")


def test_comparison_of_a_ranker_that_is_far_ahead_says_that_intervals_do_not_overlap() -> None:
    found = compare(ALWAYS, EVEN, USERS, seed=0)
    assert found.apart["HR@1"]
    assert found.verdict("HR@1").endswith("intervals do not overlap")


def test_comparison_with_itself_is_not_distinguishable() -> None:
    found = compare(EVEN, EVEN, USERS, seed=0)
    assert found.differences["HR@1"] == (0.0, 0.0, 0.0)
    assert "is not distinguishable from" in found.verdict("HR@1")


def test_comparison_without_a_common_metric_raises() -> None:
    with pytest.raises(ValueError, match="no metric in common"):
        compare(EVEN, _report("x", [1.0] * 40, "HR@10"), USERS, seed=0)


def test_best_takes_the_highest_mean_and_of_equal_ones_the_first() -> None:
    assert best([EVEN, ALWAYS, SLIGHTLY], "HR@1") is ALWAYS
    assert best([EVEN, EVEN], "HR@1") is EVEN
    with pytest.raises(ValueError, match="at least 1"):
        best([], "HR@1")
