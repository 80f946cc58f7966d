"""Laws of the draw: exact chances, caps, and nothing that depends on anything but the seed."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.prerank import Judged
from models.selection import Selection, SelectionPolicy, select


def _judged(**serendipity: float) -> list[Judged]:
    return [Judged(name, value, 1.0, 1.0, value) for name, value in serendipity.items()]


def _select(
    judged: list[Judged], *, seed: int = 0, size: int = 50, cap: int = 50, temperature: float = 0.1, category: str = ""
) -> Selection:
    policy = SelectionPolicy(slate_size=size, category_cap=cap, temperature=temperature)
    return select(judged, seed=seed, category=lambda item_id: category or item_id[0], policy=policy)


def _names(selection: Selection) -> list[str]:
    return [one.judged.item_id for one in selection.drawn]


def test_select_at_temperature_zero_takes_the_best_in_order_for_certain() -> None:
    selection = _select(_judged(a=0.1, b=0.3, c=0.2), size=2, temperature=0.0)
    assert [(one.judged.item_id, one.propensity) for one in selection.drawn] == [("b", 1.0), ("c", 1.0)]
    assert [(one.item_id, one.rule) for one in selection.filtered] == [("a", "slate_size")]


def test_select_gives_each_place_its_exact_conditional_chance() -> None:
    """Weights e^0, e^-1, e^-2 at temperature 0.1; whatever is drawn, its chance is its weight over those that are left."""
    weights = {"a": 1.0, "b": math.exp(-1), "c": math.exp(-2)}
    for seed in range(20):
        left = dict(weights)
        for one in _select(_judged(a=0.3, b=0.2, c=0.1), seed=seed).drawn:
            assert one.propensity == pytest.approx(left[one.judged.item_id] / sum(left.values()), rel=1e-5)
            del left[one.judged.item_id]


def test_select_draws_first_places_as_often_as_the_propensity_says() -> None:
    """2,000 seeds, chance of "a" 1 / (1 + e^-1) = 0.7311: five standard deviations are 0.05, a false alarm in 1.7 million."""
    firsts = Counter(_names(_select(_judged(a=0.2, b=0.1), seed=seed))[0] for seed in range(2000))
    assert firsts["a"] / 2000 == pytest.approx(1 / (1 + math.exp(-1)), abs=0.05)


def test_select_draws_as_often_as_the_propensity_says_when_a_category_is_full() -> None:
    """Cap 1, a1 and a2 share a category: P(a first, b second) is (wa1 + wa2) / (wa1 + wa2 + wb) with b then certain."""
    counts: Counter[str] = Counter()
    for seed in range(2000):
        selection = _select(_judged(a1=0.1, a2=0.1, b1=0.1), seed=seed, cap=1)
        counts[_names(selection)[0][0]] += 1
        assert selection.drawn[0].propensity == pytest.approx(1 / 3, rel=1e-5)
        assert selection.drawn[1].propensity == pytest.approx(1.0 if _names(selection)[0] != "b1" else 0.5, rel=1e-5)
    assert counts["a"] / 2000 == pytest.approx(2 / 3, abs=0.053)


def test_select_with_a_full_category_names_the_cap_even_when_places_are_left() -> None:
    selection = _select(_judged(a=0.9, b=0.8, c=0.7), cap=2, category="same", temperature=0.0)
    assert _names(selection) == ["a", "b"]
    assert [(one.item_id, one.rule) for one in selection.filtered] == [("c", "category_cap")]


def test_select_does_not_shuffle_the_rest_when_a_candidate_leaves() -> None:
    everyone = _judged(**{f"{letter}": 0.5 for letter in "abcdefgh"})
    full = _names(_select(everyone, seed=5))
    assert _names(_select([one for one in everyone if one.item_id != "d"], seed=5)) == [n for n in full if n != "d"]


def test_select_with_very_unequal_weights_never_gives_a_chance_of_zero() -> None:
    selection = _select(_judged(a=1.0, b=0.5, c=0.0), temperature=0.0001)
    assert _names(selection) == ["a", "b", "c"]
    assert [one.propensity for one in selection.drawn] == [1.0, 1.0, 1.0]


def test_select_from_nothing_is_empty() -> None:
    assert _select([]) == Selection((), ())


@settings(max_examples=60)
@given(
    st.dictionaries(st.text("abc", min_size=1, max_size=3), st.floats(0.0, 1.0), max_size=15),
    st.integers(0, 2**31 - 1),
    st.integers(0, 8),
    st.integers(1, 4),
    st.sampled_from([0.0, 0.01, 0.5]),
    st.randoms(),
)
def test_select_in_any_order_gives_every_candidate_once_within_the_caps(
    values: dict[str, float], seed: int, size: int, cap: int, temperature: float, chance: object
) -> None:
    judged = _judged(**values)
    selection = _select(judged, seed=seed, size=size, cap=cap, temperature=temperature)
    shuffled = list(judged)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    assert _select(shuffled, seed=seed, size=size, cap=cap, temperature=temperature) == selection
    assert sorted(_names(selection) + [one.item_id for one in selection.filtered]) == sorted(values)
    assert len(selection.drawn) <= size
    assert all(count <= cap for count in Counter(name[0] for name in _names(selection)).values())
    assert all(0.0 < one.propensity <= 1.0 for one in selection.drawn)
