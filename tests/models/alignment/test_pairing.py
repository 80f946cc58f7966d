"""Laws of pairs: the better one first, never many of one prompt, half of them across categories, whatever the scores."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.alignment.pairing import PairingPolicy, Preference, paired, unjudged
from models.alignment.records import Candidate
from models.alignment.rubric import ANCHORS, RubricPolicy, local_score
from models.judging.pairs import Judgement

POLICY = PairingPolicy()
TITLES = ("kite", "red mug", "mug red", "blue mug", "wall clock", "lantern", "tea towel", "candle", "garden gnome")

candidates = st.lists(
    st.builds(Candidate, st.sampled_from(TITLES), st.integers(1, 6), st.sampled_from([None, "a", "b", "c"])), max_size=10
)
policies = st.builds(
    PairingPolicy,
    pairs_per_prompt=st.integers(0, 5),
    across_share=st.sampled_from([0.0, 0.5, 1.0]),
    clear_gap=st.integers(1, 3),
)


@given(candidates, policies)
def test_pairs_keep_gap_count_and_share_across_categories(given_: list[Candidate], policy: PairingPolicy) -> None:
    found = paired(given_, policy, key="u")
    assert all(pair.gap >= policy.clear_gap for pair in found.clear)
    assert all(policy.close_gap <= pair.gap < policy.clear_gap for pair in found.close)
    assert len(found.clear) <= policy.pairs_per_prompt
    assert len(found.close) <= policy.close_per_prompt
    assert sum(pair.is_across for pair in found.clear) >= policy.across_share * len(found.clear)
    assert len(set(found.clear)) == len(found.clear)


@given(st.permutations([Candidate(title, len(title) % 6 + 1, title[:1]) for title in TITLES if title != "mug red"]))
def test_pairs_do_not_depend_on_the_order_of_the_candidates(given_: list[Candidate]) -> None:
    assert paired(given_, POLICY, key="u") == paired(sorted(given_), POLICY, key="u")


def test_pairs_use_many_titles_rather_than_the_best_one_again() -> None:
    given_ = [Candidate(f"good {n}", 6, f"g{n}") for n in "abcd"] + [Candidate(f"bad {n}", 1, f"b{n}") for n in "abcd"]
    random.Random(1).shuffle(given_)
    found = paired(given_, POLICY, key="u").clear
    assert len({title for pair in found for title in (pair.chosen.title, pair.rejected.title)}) == 8


def test_title_of_nothing_that_is_sold_is_no_other_category() -> None:
    assert not Preference(Candidate("kite", 6, "toys"), Candidate("blargh", 1, None)).is_across
    assert paired([Candidate("kite", 6, "toys"), Candidate("blargh", 1, None)], POLICY, key="u").clear == ()


def test_pair_within_a_category_is_kept_beside_one_across() -> None:
    """6 against 1 within toys; mugs' 3 against 1 and 6 against 3 are across: all three, two of them across."""
    given_ = [Candidate("kite", 6, "toys"), Candidate("top", 1, "toys"), Candidate("mug", 3, "mugs")]
    assert {(pair.chosen.title, pair.rejected.title) for pair in paired(given_, POLICY, key="u").clear} == {
        ("kite", "top"), ("kite", "mug"), ("mug", "top"),
    }  # fmt: skip


def test_unjudged_pairs_hold_what_was_wanted_against_what_was_not() -> None:
    assert unjudged("kite", ["KITE", "mug", "", "top", "clock", "lamp", "fan"], POLICY) == tuple(
        ("kite", title) for title in ("mug", "top", "clock", "lamp")
    )


@pytest.mark.parametrize("wrong", [{"close_gap": 0}, {"close_gap": 3}, {"across_share": 1.5}])
def test_pairing_policy_out_of_bounds_is_refused_by_name(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        PairingPolicy(**wrong)  # type: ignore[arg-type]


@given(st.floats(0, 1), st.floats(0, 1) | st.none(), st.floats(0, 1))
def test_score_never_falls_when_relevance_rises(relevance: float, unexpectedness: float | None, more: float) -> None:
    low, high = sorted((relevance, more))
    scores = [
        local_score(
            Judgement(serendipity=0.5, relevance=one, unexpectedness=unexpectedness, reason=""),
            RubricPolicy(), is_had=False, is_real=True,
        )
        for one in (low, high)
    ]  # fmt: skip
    assert 1 <= scores[0] <= scores[1] <= 6


def test_rubric_has_an_anchor_for_each_score() -> None:
    assert sorted(ANCHORS) == [1, 2, 3, 4, 5, 6]
