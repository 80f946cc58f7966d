"""Laws of the rankers that SerenGPT is compared with."""

from __future__ import annotations

import math

import numpy as np
import pytest

from models.catalogue import Catalogue
from models.entities import Behaviour, Digest, Item, Seen, Tag, fingerprint
from models.evaluation import rankers
from models.evaluation.ranking import Case
from models.retrieval import Retriever, Tower
from models.training.samples import Sample

ITEMS = [
    Item(item_id="a", title="oak table", category=("home", "table")),
    Item(item_id="b", title="oak chair", category=("home", "chair")),
    Item(item_id="c", title="rose seeds", category=("garden", "seeds")),
]
CATALOGUE = Catalogue(ITEMS)


def _case(digest: Digest) -> Case:
    return Case(user_id="u", as_of_ms=0, digest=digest, items=("a", "b", "c"), right=(0,))


def _bought(title: str, category: str, kind: str = "purchase") -> Behaviour:
    return Behaviour(type=kind, title=title, ts_ms=0, offset=0, category=category)  # type: ignore[arg-type]


def _sample(as_of_ms: int, serendipitous: tuple[str, ...], others: tuple[str, ...]) -> Sample:
    return Sample(user_id="u", as_of_ms=as_of_ms, digest=Digest(), seen=Seen(), serendipitous=serendipitous, others=others)


def test_popularity_counts_both_kinds_of_wanted_items_from_the_given_time() -> None:
    days = [_sample(1, ("a",), ("b",)), _sample(2, ("a",), ()), _sample(3, (), ("c",))]
    assert rankers.popularity_counts(days) == {"a": 2, "b": 1, "c": 1}
    assert rankers.popularity_counts(days, since_ms=2) == {"a": 1, "c": 1}


def test_by_popularity_gives_an_item_that_nobody_wanted_zero() -> None:
    assert rankers.by_popularity([_case(Digest())], {"a": 2, "b": 1}) == [[2.0, 1.0, 0.0]]


def test_by_category_adds_half_the_leaf_and_half_the_department() -> None:
    """History: chair and seeds, half each; tag chair 0.4. Leaves: chair 0.9, seeds 0.5; home 0.9, garden 0.5."""
    digest = Digest(
        short_term=(Tag("chair", "category", 0.4), Tag("oak", "attribute", 0.9)),
        history=(_bought("x", "chair"), _bought("y", "seeds")),
    )
    assert rankers.by_category([_case(digest)], CATALOGUE) == [[pytest.approx(v) for v in (0.45, 0.9, 0.5)]]


def test_by_category_leaves_out_what_was_given_back() -> None:
    digest = Digest(history=(_bought("x", "seeds", "cancel"),))
    assert rankers.by_category([_case(digest)], CATALOGUE) == [[0.0, 0.0, 0.0]]


def test_unseen_first_puts_what_is_of_a_seen_category_behind_all_else() -> None:
    case = Case(
        user_id="u",
        as_of_ms=0,
        digest=Digest(),
        items=("a", "b", "c"),
        right=(0,),
        seen=Seen(categories=(fingerprint("chair"),)),
    )
    assert rankers.unseen_first([case], [[0.1, 0.9, 0.5]], CATALOGUE) == [[0.1, -math.inf, 0.5]]


def test_by_tower_prefers_what_shares_words_with_the_history() -> None:
    table = np.random.default_rng(3).integers(-99, 100, (4096, 64)).astype(np.int8)
    retriever = Retriever(CATALOGUE, tower=Tower(table, name="random"))
    [scores] = rankers.by_tower([_case(Digest(history=(_bought("rose seeds mix", "mix"),)))], retriever, decay=0.9)
    assert max(scores) == scores[2]


def test_by_chance_with_one_seed_gives_the_same_numbers() -> None:
    given = [_case(Digest()), _case(Digest())]
    first = rankers.by_chance(given, seed=4)
    assert first == rankers.by_chance(given, seed=4)
    assert first[0] != first[1]
