"""Laws of item-kNN; expected numbers by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from models.catalogue import Catalogue
from models.entities import Digest, Item, Seen
from models.evaluation.neighbours import NeighbourPlan, Neighbours, by_neighbours
from models.training.samples import Sample

CATALOGUE = Catalogue(Item(item_id=name, title=name, category=("all",)) for name in "abcd")
ALL = np.arange(4)


def _sample(user: str, day: int, *wanted: str) -> Sample:
    return Sample(user_id=user, as_of_ms=day, digest=Digest(), seen=Seen(), serendipitous=wanted, others=())


# a on three days, b on two (both with a), c on two (once with a), d never.
DAYS = [_sample("u", 1, "a", "b"), _sample("u", 2, "a", "b"), _sample("v", 1, "a", "c"), _sample("v", 2, "c")]


def _scores(*history: int, plan: NeighbourPlan) -> list[float]:
    found = Neighbours(DAYS, CATALOGUE, together=plan.together)
    return found.scores(np.array(history, dtype=np.int64), ALL, plan)


def test_scores_are_the_cosines_of_days_and_none_with_itself() -> None:
    """a and b: 2 / sqrt(3 * 2); a and c: 1 / sqrt(3 * 2)."""
    plan = NeighbourPlan(shrinkage=0.0)
    assert _scores(0, plan=plan) == pytest.approx([0.0, 2 / math.sqrt(6), 1 / math.sqrt(6), 0.0])


def test_shrinkage_is_added_below_the_line() -> None:
    assert _scores(0, plan=NeighbourPlan(shrinkage=2.0))[1] == pytest.approx(2 / (math.sqrt(6) + 2))


def test_older_behaviours_weigh_less_and_the_oldest_fall_out() -> None:
    """Likeness to b is 0 for c, and 2 / sqrt(6) for a, which is one older than c."""
    plan = NeighbourPlan(shrinkage=0.0, decay=0.5, history=2)
    assert _scores(1, 0, 2, plan=plan)[1] == pytest.approx(0.5 * 2 / math.sqrt(6))


def test_together_by_user_counts_all_that_a_user_wanted_as_one_set() -> None:
    """As sets: u has a, b; v has a, c. b and c never meet, a meets each once: 1 / sqrt(2 * 1)."""
    plan = NeighbourPlan(together="user", shrinkage=0.0)
    assert _scores(0, plan=plan) == pytest.approx([0.0, 1 / math.sqrt(2), 1 / math.sqrt(2), 0.0])


def test_a_user_without_a_past_gets_zeros() -> None:
    found = Neighbours(DAYS, CATALOGUE, together="day")
    assert by_neighbours(found, [np.zeros(0, dtype=np.int64)], [ALL], NeighbourPlan()) == [[0.0] * 4]


@pytest.mark.parametrize("plan", [NeighbourPlan(), NeighbourPlan(together="user")])
def test_learning_in_portions_comes_to_the_same(plan: NeighbourPlan) -> None:
    found = Neighbours(DAYS[:1], CATALOGUE, together=plan.together)
    found.scores(ALL, ALL, plan)  # what is kept of it must not outlive the next portion
    for sample in DAYS[1:]:
        found.learn([sample])
    assert found.scores(ALL, ALL, plan) == _scores(*ALL.tolist(), plan=plan)
