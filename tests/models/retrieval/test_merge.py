"""Laws of the merge of both channels."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.entities import Item
from models.retrieval import MergePolicy
from models.retrieval.merge import merge
from models.retrieval.ranks import Hit

POLICY = MergePolicy(rank_offset=9.0, keyword_weight=1.0, vector_weight=2.0, sources_count=2)
ITEMS = [Item(item_id=str(row), title=f"item {row}", category=("all",)) for row in range(10)]

_hits = st.lists(st.lists(st.integers(0, 9), unique=True, max_size=5), min_size=2, max_size=2)


def _found(rows: list[list[int]]) -> list[list[Hit]]:
    return [[Hit(row, 1.0) for row in one] for one in rows]


def test_merge_adds_the_votes_of_channels_and_titles() -> None:
    """Row 0: keyword ranks 1 and 2, 1/10 + 1/11; row 1: vector rank 1, 2/10. Row 1 is best: relevance of row 0 = 21/22."""
    candidates = merge(_found([[0], [2, 0]]), _found([[1], []]), items=ITEMS, limit=10, policy=POLICY)
    relevance = {candidate.item_id: candidate.relevance for candidate in candidates}
    assert [candidate.item_id for candidate in candidates] == ["1", "0", "2"]
    assert relevance == {"1": 1.0, "0": pytest.approx(21 / 22, abs=1e-6), "2": 0.5}


def test_merge_keeps_the_strongest_sources() -> None:
    candidates = merge(_found([[0], [1, 0]]), _found([[0], []]), items=ITEMS, limit=10, policy=POLICY)
    sources = next(candidate.sources for candidate in candidates if candidate.item_id == "0")
    assert [(source.channel, source.imagined, source.rank) for source in sources] == [("vector", 0, 1), ("keyword", 0, 1)]


def test_merge_of_nothing_is_nothing() -> None:
    assert merge([[]], [[]], items=ITEMS, limit=10, policy=POLICY) == ()


@given(_hits, _hits, st.integers(1, 12))
def test_merge_gives_each_found_item_once_with_relevance_in_range(
    keyword: list[list[int]], vector: list[list[int]], limit: int
) -> None:
    candidates = merge(_found(keyword), _found(vector), items=ITEMS, limit=limit, policy=POLICY)
    found = {str(row) for rows in keyword + vector for row in rows}
    names = [candidate.item_id for candidate in candidates]
    assert len(names) == min(limit, len(found)) == len(set(names))
    assert set(names) <= found
    assert all(0.0 < candidate.relevance <= 1.0 for candidate in candidates)
    assert not candidates or candidates[0].relevance == 1.0
