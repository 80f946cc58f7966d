"""Laws of the filters: every candidate once, the first rule that applies is named."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.catalogue import Catalogue
from models.entities import Candidate, Exclusions, Filtered, Item
from models.retrieval import Tower, filters
from models.retrieval.filters import FilterPolicy, Kept
from models.retrieval.vectors import to_length

POLICY = FilterPolicy(duplicate_cosine=0.97)


def _candidates(*item_ids: str) -> list[Candidate]:
    return [Candidate(item_id=item_id, relevance=1.0, sources=()) for item_id in item_ids]


def _apply(items: list[Item], tower: Tower, names: list[str], exclusions: Exclusions, policy: FilterPolicy = POLICY) -> Kept:
    return filters.apply(_candidates(*names), exclusions, catalogue=Catalogue(items), vector=tower.encode_item, policy=policy)


def _rules(kept: Kept) -> dict[str, str]:
    return {one.item_id: one.rule for one in kept.filtered}


def test_apply_without_exclusions_keeps_different_items_in_order(items: list[Item], tower: Tower) -> None:
    kept = _apply(items, tower, ["5", "3", "1"], Exclusions())
    assert [candidate.item_id for candidate in kept.candidates] == ["5", "3", "1"]
    assert kept.filtered == ()


@pytest.mark.parametrize("rule", ["owned", "in_cart", "rejected", "seen_recently"])
def test_apply_with_an_excluded_item_names_the_rule(items: list[Item], tower: Tower, rule: str) -> None:
    kept = _apply(items, tower, ["3", "5"], Exclusions(**{rule: ("3",)}))
    assert [candidate.item_id for candidate in kept.candidates] == ["5"]
    assert kept.filtered == (Filtered("3", rule),)


def test_apply_with_several_rules_names_the_first_of_the_fixed_order(items: list[Item], tower: Tower) -> None:
    everything = Exclusions(owned=("3",), in_cart=("3", "4"), rejected=("4", "5"), seen_recently=("5",))
    assert _rules(_apply(items, tower, ["5", "4", "3"], everything)) == {"3": "owned", "4": "in_cart", "5": "rejected"}


def test_apply_drops_what_the_catalogue_cannot_sell_or_does_not_have(items: list[Item], tower: Tower) -> None:
    sold_out = Item(item_id="7", title="umbrella", category=("rain",), available=False)
    kept = _apply([*items, sold_out], tower, ["7", "8", "5"], Exclusions())
    assert _rules(kept) == {"7": "unavailable", "8": "unavailable"}


def test_apply_keeps_the_best_of_two_variants(items: list[Item], tower: Tower) -> None:
    kept = _apply(items, tower, ["2", "1"], Exclusions())
    assert [candidate.item_id for candidate in kept.candidates] == ["2"]
    assert _rules(kept) == {"1": "near_duplicate"}


def test_apply_keeps_a_variant_of_an_item_that_was_itself_dropped(items: list[Item], tower: Tower) -> None:
    kept = _apply(items, tower, ["2", "1"], Exclusions(owned=("2",)))
    assert [candidate.item_id for candidate in kept.candidates] == ["1"]


def test_apply_drops_items_closer_than_the_threshold(items: list[Item], tower: Tower) -> None:
    kept = _apply(items, tower, ["5", "3"], Exclusions(), FilterPolicy(duplicate_cosine=-1.0))
    assert _rules(kept) == {"3": "near_duplicate"}


def test_apply_compares_only_with_items_that_stay() -> None:
    """A chain a - b - c, cosines 0.8, 0.8 and 0.28: b repeats a and goes, so c stays."""
    angles = {"a": (1.0, 0.0), "b": (0.8, 0.6), "c": (0.28, 0.96)}
    kept = filters.apply(
        _candidates("a", "b", "c"),
        Exclusions(),
        catalogue=Catalogue([Item(item_id=name, title=f"thing {name * 2}", category=(name,)) for name in angles]),
        vector=lambda item: to_length(np.array(angles[item.item_id])),
        policy=FilterPolicy(duplicate_cosine=0.75),
    )
    assert [candidate.item_id for candidate in kept.candidates] == ["a", "c"]


_some = st.lists(st.sampled_from("123456789"), unique=True)


@settings(max_examples=40)
@given(names=_some, owned=_some, in_cart=_some, rejected=_some, seen=_some)
def test_apply_gives_every_candidate_exactly_once(
    names: list[str], owned: list[str], in_cart: list[str], rejected: list[str], seen: list[str]
) -> None:
    shop = [Item(item_id=str(n), title=f"thing number {n % 3} {'x' * n}", category=("all",)) for n in range(1, 8)]
    tower = Tower(np.random.default_rng(0).integers(-9, 9, (512, 8)).astype(np.int8), name="random")
    exclusions = Exclusions(owned=tuple(owned), in_cart=tuple(in_cart), rejected=tuple(rejected), seen_recently=tuple(seen))
    kept = _apply(shop, tower, names, exclusions)
    outcome = [candidate.item_id for candidate in kept.candidates] + [one.item_id for one in kept.filtered]
    assert sorted(outcome) == sorted(names)
    assert {one.rule for one in kept.filtered} <= set(filters.RULES)
