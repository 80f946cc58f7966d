"""Laws of the short-term level: decay, approval, rank, bounds, and what negative feedback may do."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.profiles import Profile, encode
from models.profiles.policy import DAY_MS, ShortTermPolicy
from models.profiles.short_term import Ranked, approve, learn, rank
from models.profiles.state import belief_bytes

POLICY = ShortTermPolicy()
START_MS = 20_000 * DAY_MS


def given_tags(profile: Profile, *tags: str, weight: float = 1.0, day: float = 0.0, offset: int = 0, **policy: Any) -> None:
    learn(profile, tags, weight, START_MS + round(day * DAY_MS), offset, ShortTermPolicy(**policy))


def ranked(profile: Profile, *, day: float = 0.0, **policy: Any) -> list[Ranked]:
    return rank(profile, START_MS + round(day * DAY_MS), ShortTermPolicy(**policy))


def by_tag(profile: Profile, **policy: Any) -> dict[str, Ranked]:
    return {entry.tag: entry for entry in ranked(profile, **policy)}


def test_posterior_an_event_of_one_half_life_ago_counts_half() -> None:
    """Half-life 14 days: a (day 0) counts 1/2 when b (day 14) counts 1, so their shares are 1/3 and 2/3."""
    profile = Profile()
    given_tags(profile, "interest:a", day=0)
    given_tags(profile, "interest:b", day=14)
    shares = by_tag(profile)
    assert shares["interest:a"].posterior == pytest.approx(1 / 3)
    assert shares["interest:b"].posterior == pytest.approx(2 / 3)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    events=st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 40)), min_size=1, max_size=8, unique_by=lambda e: e[1]),
    data=st.data(),
)
def test_posterior_does_not_depend_on_the_order_of_events(events: list[tuple[str, int]], data: Any) -> None:
    shuffled = data.draw(st.permutations(events))
    profiles = []
    for order in (events, shuffled):
        profile = Profile()
        for tag, day in order:
            given_tags(profile, f"interest:{tag}", day=day)
        profiles.append({tag: belief.weight / profile.mass for tag, belief in profile.pool.items()})
    assert profiles[0] == pytest.approx(profiles[1], rel=1e-9)


def test_score_is_made_of_posterior_prior_and_repetition() -> None:
    """Of 4 equal events 3 carry a: posterior 3/4, no prior yet, 3 of 8 repetitions: 0.6 x 0.75 + 0.2 x 0 + 0.2 x 3/8."""
    profile = Profile()
    for _ in range(3):
        given_tags(profile, "interest:a")
    given_tags(profile, "interest:b")
    assert by_tag(profile)["interest:a"].score == pytest.approx(0.45 + 0.075)


def test_tag_below_the_posterior_bound_is_approved_by_the_pool_for_one_half_life() -> None:
    """One in 51 events carries a: 1/51 = 0.0196 is below 0.04. Approved before, its prior is 1/2 after 14 days."""
    profile = Profile()
    given_tags(profile, "interest:a")
    approve(profile, ranked(profile), START_MS, POLICY)
    for _ in range(50):
        given_tags(profile, "interest:b")
    assert "interest:a" in {entry.tag for entry in ranked(profile, day=14)}
    assert by_tag(profile, min_posterior=0.0, day=14)["interest:a"].prior == 0.5
    assert "interest:a" not in {entry.tag for entry in ranked(profile, day=15)}


def test_tag_that_no_approval_and_too_little_behaviour_speaks_for_is_not_credible() -> None:
    profile = Profile()
    given_tags(profile, "interest:a")
    for _ in range(50):
        given_tags(profile, "interest:b")
    assert set(by_tag(profile)) == {"interest:b"}


def test_approve_renews_no_tag_that_is_credible_by_its_prior_alone() -> None:
    """Otherwise a tag would approve itself for ever."""
    profile = Profile()
    given_tags(profile, "interest:a")
    approve(profile, ranked(profile), START_MS, POLICY)
    for _ in range(50):
        given_tags(profile, "interest:b")
    later_ms = START_MS + 7 * DAY_MS
    approve(profile, rank(profile, later_ms, POLICY), later_ms, POLICY)
    assert (profile.pool["interest:a"].approved_day, profile.pool["interest:b"].approved_day) == (20_000, 20_007)


def test_rank_no_family_exceeds_its_cap_and_all_together_the_top() -> None:
    profile = Profile()
    given_tags(profile, *(f"interest:{n}" for n in range(5)), *(f"brand:{n}" for n in range(5)), "scenario:s")
    kept = ranked(profile, family_cap=3, top=20)
    assert [sum(entry.family == family for entry in kept) for family in ("interest", "brand", "scenario")] == [3, 3, 1]
    assert len(ranked(profile, family_cap=3, top=4)) == 4


def test_rank_equal_scores_are_ordered_by_tag() -> None:
    profile = Profile()
    given_tags(profile, "interest:c", "interest:a", "brand:b")
    assert [entry.tag for entry in ranked(profile)] == ["brand:b", "interest:a", "interest:c"]


def test_rank_changes_nothing() -> None:
    profile = Profile()
    given_tags(profile, "interest:a", "brand:b")
    before = encode(profile)
    ranked(profile, day=100)
    ranked(profile, day=-100)
    assert encode(profile) == before


def test_negative_feedback_adds_no_tag() -> None:
    profile = Profile()
    given_tags(profile, "interest:a", weight=-1.0)
    assert (profile.pool, profile.mass, profile.pool_bytes) == ({}, 0.0, 0)


def test_negative_feedback_takes_weight_and_leaves_count_evidence_and_age() -> None:
    profile = Profile()
    given_tags(profile, "interest:a", offset=7)
    given_tags(profile, "interest:a", weight=-0.25, day=1, offset=8)
    belief = profile.pool["interest:a"]
    assert belief.weight < profile.mass
    assert (belief.count, belief.evidence, belief.last_day) == (1, (7,), 20_000)


def test_negative_feedback_never_takes_a_weight_below_zero_and_such_a_tag_is_not_credible() -> None:
    profile = Profile()
    given_tags(profile, "interest:a")
    given_tags(profile, "interest:a", weight=-5.0)
    assert profile.pool["interest:a"].weight == 0.0
    assert ranked(profile) == []


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    events=st.lists(
        st.tuples(st.sets(st.sampled_from("abcd"), min_size=1, max_size=3), st.integers(0, 200)), min_size=1, max_size=12
    ),
    disliked=st.sets(st.sampled_from("abcd"), min_size=1, max_size=2),
    weight=st.floats(-2.0, -0.1),
    day=st.integers(0, 300),
)
def test_negative_feedback_raises_no_score_of_any_tag(
    events: list[tuple[set[str], int]], disliked: set[str], weight: float, day: int
) -> None:
    profile = Profile()
    for tags, at in events:
        given_tags(profile, *(f"interest:{tag}" for tag in sorted(tags)), day=at)
    before = {entry.tag: entry.score for entry in ranked(profile, day=301)}
    given_tags(profile, *(f"interest:{tag}" for tag in sorted(disliked)), weight=weight, day=day)
    for entry in ranked(profile, day=301):
        assert entry.score <= before[entry.tag] * (1 + 1e-9)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    st.lists(
        st.tuples(
            st.sets(st.sampled_from("abcdef"), min_size=1, max_size=4),
            st.sampled_from([1.0, 0.6, 0.5, 0.3, -1.0]),
            st.integers(0, 2**53 - 1) | st.integers(START_MS, START_MS + 4000 * DAY_MS),
        ),
        max_size=30,
    )
)
def test_posterior_is_a_share_for_any_events_at_any_times(events: list[tuple[set[str], float, int]]) -> None:
    profile = Profile()
    for offset, (tags, weight, ts_ms) in enumerate(events):
        learn(profile, tuple(f"interest:{tag}" for tag in sorted(tags)), weight, ts_ms, offset, POLICY)
    for entry in rank(profile, 2**53 - 1, POLICY) + rank(profile, 0, POLICY):
        assert 0.0 < entry.posterior <= 1.0
        assert 0.0 <= entry.prior <= 1.0
        assert 0.0 < entry.score <= 1.0


def test_evidence_is_the_newest_two_events_that_carry_the_tag() -> None:
    profile = Profile()
    for offset, tag in enumerate("abaab"):
        given_tags(profile, f"interest:{tag}", offset=offset)
    assert (profile.pool["interest:a"].evidence, profile.pool["interest:b"].evidence) == ((2, 3), (1, 4))


def test_evidence_of_any_tag_names_only_events_that_carry_it(new_user: Any, thing: Any) -> None:
    user = new_user()
    carried: dict[str, set[int]] = {}
    for turn in range(60):
        leaf = f"leaf {turn % 7}"
        kind = ("click", "purchase", "hide", "expose", "cart", "cancel")[turn % 6]
        offset = user.next_offset
        user.does(kind, thing(leaf, tags=(f"interest:{turn % 5}",)), day=20_000 + turn)
        if kind in {"click", "purchase", "cart"}:
            for tag in (f"category:{leaf}", f"interest:{turn % 5}"):
                carried.setdefault(tag, set()).add(offset)
    for tag, belief in user.profile.pool.items():
        assert set(belief.evidence) <= carried[tag]
        assert belief.count == len(carried[tag])


def test_pool_over_its_bytes_is_pruned_to_three_quarters_weakest_first() -> None:
    """Tags of 10 bytes take 62 each. In 620 bytes 10 fit; the eleventh prunes to at most 465: the 7 strongest stay."""
    profile = Profile()
    names = [f"interest:{letter}" for letter in "abcdefghijk"]
    assert belief_bytes(names[0]) == 62
    for strength, name in enumerate(names, start=1):
        given_tags(profile, name, weight=float(strength), pool_bytes=620)
    assert list(profile.pool) == names[4:]
    assert profile.pool_bytes == 7 * 62


def test_pool_pruning_keeps_what_long_term_admission_counts_on() -> None:
    """A weak tag that was in the short-term level in two cycles outlives stronger ones that were not."""
    profile = Profile()
    names = [f"interest:{letter}" for letter in "abcdefghijk"]
    given_tags(profile, names[0], weight=0.1)
    profile.pool[names[0]].cycles = 0b101
    for name in names[1:]:
        given_tags(profile, name, pool_bytes=620)
    assert names[0] in profile.pool
    assert len(profile.pool) == 7


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.lists(st.lists(st.text(min_size=1, max_size=40), min_size=1, max_size=66), max_size=12))
def test_pool_stays_within_its_bytes_whatever_the_tags(events: list[list[str]]) -> None:
    profile = Profile()
    for offset, texts in enumerate(events):
        learn(profile, tuple(f"interest:{text}" for text in texts), 1.0, START_MS, offset, POLICY)
        assert profile.pool_bytes <= POLICY.pool_bytes
        assert profile.pool_bytes == sum(belief_bytes(tag) for tag in profile.pool)


def test_landmark_moves_without_changing_any_share() -> None:
    """Over 256 half-lives (3,584 days) the landmark moves; shares of a and b, given together, stay 1 and 1."""
    profile = Profile()
    for day in range(0, 20_000, 1_000):
        given_tags(profile, "interest:a", "interest:b", day=day)
        assert {entry.posterior for entry in ranked(profile, day=day)} == {1.0}
    assert profile.landmark_ms > START_MS
