"""Laws of retrieval as the pipeline asks for it."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from models.catalogue import Catalogue
from models.entities import Behaviour, Digest, Item
from models.retrieval import RetrievalPolicy, Retriever, Tower, distinct, retrieve
from models.retrieval.text import words

POLICY = RetrievalPolicy(per_title_count=3)


def _digest(*deeds: tuple[str, str]) -> Digest:
    return Digest(
        history=tuple(
            Behaviour(type=kind, title=title, ts_ms=place, offset=place)  # type: ignore[arg-type]
            for place, (kind, title) in enumerate(deeds)
        )
    )


def test_retrieve_finds_by_word_and_by_vector(items: list[Item], tower: Tower) -> None:
    retriever = Retriever(Catalogue(items), tower=tower)
    candidates = retrieve(("advent calendar",), Digest(), retriever=retriever, policy=POLICY)
    assert candidates[0].item_id == "4"
    assert {source.channel for source in candidates[0].sources} == {"keyword", "vector"}


def test_retrieve_of_titles_without_known_words_is_empty(items: list[Item], tower: Tower) -> None:
    retriever = Retriever(Catalogue(items), tower=tower)
    assert retrieve((), Digest(), retriever=retriever, policy=POLICY) == ()


def test_retrieve_ignores_the_order_in_which_the_catalogue_grew(items: list[Item], tower: Tower) -> None:
    grown = Catalogue(items[3:])
    for item in items[:3]:
        grown.upsert(item)
    titles = ("cake tin", "t-light holder")
    digest = _digest(("purchase", "cake stand"))
    built, later = Retriever(Catalogue(items), tower=tower), Retriever(grown, tower=tower)
    assert retrieve(titles, digest, retriever=built, policy=POLICY) == retrieve(titles, digest, retriever=later, policy=POLICY)
    assert later.version == 3


def test_user_vector_of_one_behaviour_is_its_items(items: list[Item], tower: Tower) -> None:
    retriever = Retriever(Catalogue(items), tower=tower)
    digest = _digest(("search", "cake stand"))
    assert np.abs(retriever.user_vector(digest, decay=0.5) - tower.encode("cake stand")).max() <= 1.0


def test_user_vector_leans_to_the_newer_behaviour(items: list[Item], tower: Tower) -> None:
    retriever = Retriever(Catalogue(items), tower=tower)
    user = retriever.user_vector(_digest(("purchase", "cake stand"), ("purchase", "garden pad")), decay=0.5)
    assert user @ tower.encode("garden pad") > user @ tower.encode("cake stand")


def test_user_vector_leaves_out_what_was_given_back_or_hidden(items: list[Item], tower: Tower) -> None:
    retriever = Retriever(Catalogue(items), tower=tower)
    kept = _digest(("purchase", "cake stand"))
    both = _digest(("purchase", "cake stand"), ("cancel", "garden pad"), ("hide", "mug"))
    assert np.array_equal(retriever.user_vector(both, decay=0.5), retriever.user_vector(kept, decay=0.5))


@given(st.lists(st.text(max_size=12), max_size=12))
def test_distinct_keeps_the_first_of_each_set_of_words_in_order(titles: list[str]) -> None:
    kept = distinct(titles)
    keys = [tuple(sorted(words(title))) for title in kept]
    assert len(set(keys)) == len(keys)
    assert set(keys) == {tuple(sorted(words(title))) for title in titles if words(title)}
    assert [titles.index(title) for title in kept] == sorted(titles.index(title) for title in kept)
