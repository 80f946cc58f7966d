"""Laws of what rankers may know: what was wanted before a case's day, and nothing of the day itself."""

from __future__ import annotations

import numpy as np
import pytest

from models.catalogue import Catalogue
from models.entities import Digest, Item, Seen
from models.evaluation.past import histories, seasons, sequences
from models.evaluation.ranking import Case
from models.profiles.policy import DAY_MS
from models.training.samples import Sample

CATALOGUE = Catalogue(Item(item_id=name, title=name, category=("all",)) for name in "abc")


def _sample(user: str, day: int, serendipitous: tuple[str, ...], others: tuple[str, ...] = ()) -> Sample:
    return Sample(
        user_id=user, as_of_ms=day * DAY_MS, digest=Digest(), seen=Seen(), serendipitous=serendipitous, others=others
    )


def _case(user: str, day: int) -> Case:
    return Case(user_id=user, as_of_ms=day * DAY_MS, digest=Digest(), items=("a", "b"), right=(0,))


DAYS = [_sample("u", 3, ("c",)), _sample("u", 1, ("a",), ("b", "gone")), _sample("v", 2, ("b",)), _sample("u", 2, ("b",))]


def test_histories_hold_the_users_own_earlier_days_oldest_first() -> None:
    given = [_case("u", 3), _case("u", 1), _case("nobody", 9)]
    found = histories(given, sequences(DAYS, CATALOGUE), limit=10)
    assert [rows.tolist() for rows in found] == [[1, 0, 1], [], []]


def test_histories_keep_the_newest() -> None:
    [rows] = histories([_case("u", 9)], sequences(DAYS, CATALOGUE), limit=2)
    assert rows.tolist() == [1, 2]


def test_seasons_count_days_before_the_case_a_half_life_ago_half() -> None:
    """Half-life 1 day, on day 3: a and b of day 1 count 1/4, the two b of day 2 1/2 each; c of day 3 not yet."""
    [season] = [one.copy() for one in seasons([_case("u", 3)], DAYS, CATALOGUE, half_life_days=1.0)]
    assert season == pytest.approx([0.25, 1.25, 0.0])


def test_seasons_of_a_case_before_the_first_day_are_empty() -> None:
    found = [one.copy() for one in seasons([_case("u", 0), _case("u", 2)], DAYS, CATALOGUE, half_life_days=1.0)]
    assert np.array_equal(found[0], np.zeros(3))
    assert found[1] == pytest.approx([0.5, 0.5, 0.0])


def test_seasons_of_cases_out_of_order_raise() -> None:
    with pytest.raises(ValueError, match="in order of time"):
        list(seasons([_case("u", 3), _case("u", 2)], DAYS, CATALOGUE, half_life_days=1.0))
