"""Laws of the keyword channel."""

from __future__ import annotations

import math

import pytest

from models.entities import Item
from models.retrieval.keywords import KeywordIndex


def test_search_finds_the_item_with_the_rarer_word_first(items: list[Item]) -> None:
    hits = KeywordIndex(items).search(["wooden cake calendar"], limit=6)[0]
    assert hits[0].row == 3
    assert {hit.row for hit in hits} == {0, 1, 3, 5}


def test_search_score_of_one_word_is_bm25s(items: list[Item]) -> None:
    """Lucene's BM25 by hand: 6 texts of 7, 7, 7, 5, 4 and 6 words, 6 in the mean; "kneeling" stands once, in a text of 4.

    idf = ln(1 + (6 - 1 + 0.5) / (1 + 0.5)); tf = 1 / (1 + 1.2 (1 - 0.4 + 0.4 * 4 / 6)).
    """
    idf = math.log(1 + 5.5 / 1.5)
    term = 1 / (1 + 1.2 * (1 - 0.4 + 0.4 * 4 / 6))
    [[hit]] = KeywordIndex(items).search(["kneeling"], limit=3)
    assert hit.row == 4
    assert hit.score == pytest.approx(idf * term, abs=1e-4)


def test_search_of_equal_items_puts_the_lower_row_first(items: list[Item]) -> None:
    hits = KeywordIndex(items).search(["retrospot"], limit=1)[0]
    assert [hit.row for hit in hits] == [0]


def test_search_keeps_order_and_length_and_unknown_words_find_none(items: list[Item]) -> None:
    found = KeywordIndex(items).search(["xylophone", "calendar", ""], limit=3)
    assert [[hit.row for hit in hits] for hits in found] == [[], [3], []]


def test_search_reads_categories_and_tags(items: list[Item]) -> None:
    found = KeywordIndex(items).search(["christmas", "kneeler"], limit=3)
    assert [[hit.row for hit in hits] for hits in found] == [[3], [4]]


def test_search_in_an_empty_catalogue_finds_none() -> None:
    assert KeywordIndex([]).search(["mug"], limit=3) == [[]]
