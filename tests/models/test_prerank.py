"""Laws of the pre-rank: a product of three parts, every candidate accounted for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.entities import Candidate, Filtered
from models.prerank import Promise, SlatePolicy, prerank, shortlist

_share = st.floats(min_value=0.0, max_value=1.0)


def _candidate(item_id: str, relevance: float) -> Candidate:
    return Candidate(item_id=item_id, relevance=relevance, sources=())


def test_shortlist_puts_the_highest_product_first_and_names_the_rest() -> None:
    """Products: a 0.9 x 0.2 = 0.18, b 0.5 x 0.5 = 0.25, c 0.3 x 1 = 0.3."""
    given_ = [_candidate("a", 0.9), _candidate("b", 0.5), _candidate("c", 0.3)]
    found = shortlist(given_, [0.2, 0.5, 1.0], limit=2)
    assert [promise.candidate.item_id for promise in found.promises] == ["c", "b"]
    assert found.filtered == (Filtered("a", "score_limit"),)


def test_shortlist_of_equal_products_goes_by_item_id() -> None:
    found = shortlist([_candidate("b", 0.5), _candidate("a", 1.0)], [1.0, 0.5], limit=2)
    assert [promise.candidate.item_id for promise in found.promises] == ["a", "b"]


def test_shortlist_of_unequal_lengths_raises() -> None:
    with pytest.raises(ValueError, match="zip"):
        shortlist([_candidate("a", 1.0)], [], limit=1)


def test_prerank_with_one_part_zero_is_zero_and_last() -> None:
    promises = [Promise(_candidate("a", 1.0), 1.0), Promise(_candidate("b", 0.1), 0.1)]
    judged = prerank(promises, [0.0, 0.1], policy=SlatePolicy())
    assert [(one.item_id, one.serendipity) for one in judged] == [("b", 0.001), ("a", 0.0)]


@given(st.lists(st.tuples(_share, _share, _share), max_size=20))
def test_prerank_keeps_every_part_and_stays_in_range(parts: list[tuple[float, float, float]]) -> None:
    promises = [Promise(_candidate(f"{n:02}", relevance), new) for n, (relevance, new, _) in enumerate(parts)]
    judged = prerank(promises, [aligned for _, _, aligned in parts], policy=SlatePolicy())
    assert sorted(one.item_id for one in judged) == [f"{n:02}" for n in range(len(parts))]
    assert all(0.0 <= one.serendipity <= min(one.relevance, one.unexpectedness, one.aligned) + 2e-6 for one in judged)
    assert [one.serendipity for one in judged] == sorted((one.serendipity for one in judged), reverse=True)
