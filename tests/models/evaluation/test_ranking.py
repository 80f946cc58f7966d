"""Laws of the ranking evaluation: fair cases, the same for one seed, honest ties."""

from __future__ import annotations

import pytest

from models.catalogue import Catalogue
from models.entities import Digest, Item, Seen, fingerprint
from models.errors import RequestError
from models.evaluation.ranking import METRICS, Case, cases, ranks, report
from models.training.samples import Sample

ITEMS = [Item(item_id=f"{n:03}", title=f"item {n}", category=("shop", f"leaf {n % 40}")) for n in range(400)]
CATALOGUE = Catalogue(ITEMS)


def _sample(day: int, *serendipitous: str, others: tuple[str, ...] = (), seen: tuple[int, ...] = (0, 1, 2)) -> Sample:
    return Sample(
        user_id=f"user {day % 5}",
        as_of_ms=day,
        digest=Digest(),
        seen=Seen(categories=tuple(fingerprint(f"leaf {n}") for n in seen), visit_days=5),
        serendipitous=serendipitous,
        others=others,
    )


SAMPLES = [_sample(day, "003", "044", others=("000", "005")) for day in range(30)]


def test_cases_hold_the_right_items_and_99_different_new_ones_that_nobody_wanted_that_day() -> None:
    for case in cases(SAMPLES, catalogue=CATALOGUE, seed=1, limit=None):
        assert len(set(case.items)) == 101
        assert {case.items[place] for place in case.right} == {"003", "044"}
        others = [item for place, item in enumerate(case.items) if place not in case.right]
        assert not {"000", "003", "005", "044"} & set(others)
        assert all(CATALOGUE.at(CATALOGUE.index(item)).leaf not in {"leaf 0", "leaf 1", "leaf 2"} for item in others)


def test_cases_put_the_right_items_anywhere() -> None:
    """30 cases in 101 places: that all of one item stand in one half has a chance of 2 in a billion."""
    places = [case.right[0] for case in cases(SAMPLES, catalogue=CATALOGUE, seed=1, limit=None)]
    assert min(places) < 33 <= max(places)


def test_cases_of_one_seed_are_the_same_and_of_another_differ() -> None:
    first = cases(SAMPLES, catalogue=CATALOGUE, seed=1, limit=None)
    assert cases(SAMPLES, catalogue=CATALOGUE, seed=1, limit=None) == first
    assert cases(SAMPLES, catalogue=CATALOGUE, seed=2, limit=None) != first


def test_limit_picks_from_the_same_cases_and_keeps_their_order_of_time() -> None:
    every = cases(SAMPLES, catalogue=CATALOGUE, seed=1, limit=None)
    some = cases(SAMPLES, catalogue=CATALOGUE, seed=1, limit=7)
    assert len(some) == 7
    assert [case for case in every if case in some] == some


def test_days_without_a_serendipitous_item_give_no_case() -> None:
    assert cases([_sample(1, others=("000",))], catalogue=CATALOGUE, seed=1, limit=None) == []


def test_cases_of_a_user_who_saw_almost_everything_raise() -> None:
    with pytest.raises(RequestError, match="needs 99"):
        cases([_sample(1, "039", seen=tuple(range(35)))], catalogue=CATALOGUE, seed=1, limit=None)


def _case(user: str, *right: int) -> Case:
    return Case(user_id=user, as_of_ms=0, digest=Digest(), items=("a", "b", "c"), right=right)


def test_ranks_count_the_better_ones() -> None:
    assert ranks([_case("u", 0), _case("u", 2)], [[0.5, 0.9, 0.1], [0.5, 0.9, 1.0]], seed=0) == [(2,), (1,)]


def test_ranks_of_two_right_items_do_not_count_each_other() -> None:
    """b is the only wrong one: a (0.9) is before it, c (0.1) behind it, and so second, not third."""
    assert ranks([_case("u", 0, 2)], [[0.9, 0.5, 0.1]], seed=0) == [(1, 2)]


def test_ranks_with_missing_scores_raise() -> None:
    with pytest.raises(ValueError, match="3 items"):
        ranks([_case("u", 0)], [[0.5]], seed=0)


def test_report_has_hit_gain_and_precision_at_every_cut() -> None:
    assert list(METRICS) == [f"{name}@{cut}" for name in ("HR", "NDCG", "MAP") for cut in (1, 3, 5, 10)]


def test_report_of_ranks_two_and_three_has_the_means_of_the_formulas() -> None:
    """papers.md 1.8.1. At 3: hits 1 and 1; gains 1 / log2(3) and 1/2; precisions 1/2 and 1/3."""
    found = report("x", [_case("u", 0), _case("v", 2)], [[0.5, 0.9, 0.1], [0.8, 0.9, 0.5]], seed=0)
    assert (found.metrics["HR@1"].mean, found.metrics["HR@3"].mean) == (0.0, 1.0)
    assert found.metrics["NDCG@3"].mean == pytest.approx((0.6309297535714575 + 0.5) / 2)
    assert found.metrics["MAP@10"].mean == pytest.approx((1 / 2 + 1 / 3) / 2)


def test_report_counts_a_day_once_however_many_right_items_it_has() -> None:
    """User u hits with one of two, v with its only one: (1/2 + 1) / 2, not 2/3."""
    found = report("x", [_case("u", 0, 2), _case("v", 0)], [[0.9, 0.5, 0.1], [0.9, 0.5, 0.1]], seed=0)
    assert found.values["HR@1"] == [0.5, 1.0]
    assert found.metrics["HR@1"].mean == 0.75
    assert (found.metrics["HR@1"].low, found.metrics["HR@1"].high) == (0.5, 1.0)
