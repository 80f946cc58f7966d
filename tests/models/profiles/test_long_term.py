"""Laws of the long-term level: admission by frequency, regularity and effectiveness over active cycles."""

from __future__ import annotations

from typing import Any

import pytest

from models.profiles import Profile, encode
from models.profiles.belief import Belief
from models.profiles.long_term import admitted, close_cycle, gap_variation
from models.profiles.policy import DAY_MS, LongTermPolicy, ShortTermPolicy

POLICY = LongTermPolicy()
CYCLE_DAYS = 15
MUGS = "category:mugs"


def believing(**tags: dict[str, int]) -> Profile:
    """A profile whose pool holds the tags with the given fields."""
    profile = Profile()
    for name, fields in tags.items():
        profile.pool[f"interest:{name}"] = belief = Belief(1.0, fields.get("count", 1), 20_000, 1)
        belief.approved_day, belief.cycles = fields.get("approved_day", 0), fields["cycles"]
        belief.issued_count, belief.issued_positives = fields.get("issued_count", 0), fields.get("issued_positives", 0)
    return profile


def names(profile: Profile, **policy: Any) -> list[str]:
    return [tag for tag, _ in admitted(profile, LongTermPolicy(**policy))]


def buys_every_cycle(user: Any, item: Any, cycles: range, *, step: int = 1) -> None:
    for cycle in cycles:
        user.does("purchase", item, day=1500 + CYCLE_DAYS * step * cycle)


def test_admitted_from_the_third_cycle_on(new_user: Any, thing: Any) -> None:
    """A purchase in each of four cycles: when the fourth begins, three are closed; the score is 3 of 6."""
    user = new_user()
    buys_every_cycle(user, thing("mugs"), range(3))
    assert admitted(user.profile, POLICY) == []
    buys_every_cycle(user, thing("mugs"), range(3, 4))
    assert admitted(user.profile, POLICY) == [(MUGS, 0.5)]


def test_admitted_only_active_cycles_count(new_user: Any, thing: Any) -> None:
    """A purchase in every fourth cycle: the empty cycles between are no cycles, and the rhythm is steady."""
    user = new_user()
    buys_every_cycle(user, thing("mugs"), range(4), step=4)
    assert user.profile.pool[MUGS].cycles == 0b111
    assert admitted(user.profile, POLICY) == [(MUGS, 0.5)]


def test_cycle_closes_once_and_a_late_event_closes_none(new_user: Any, thing: Any) -> None:
    user = new_user()
    buys_every_cycle(user, thing("mugs"), range(2))
    assert user.profile.pool[MUGS].cycles == 0b1
    user.does("click", thing("mugs"), day=1501)
    user.does("click", thing("mugs"), day=1516)
    assert user.profile.pool[MUGS].cycles == 0b1


def test_cycle_notes_absence_of_tags_that_faded(new_user: Any, thing: Any) -> None:
    """Mugs once, then 60 purchases of bowls in the next cycle: 1 in 61 is below 4 %, and the prior is over after 14 days."""
    user = new_user()
    user.does("purchase", thing("mugs"), day=1500)
    for minute in range(60):
        user.does("purchase", thing("bowls"), day=1529 + minute / 1440)
    user.does("visit", day=1545)
    assert (user.profile.pool[MUGS].cycles, user.profile.pool["category:bowls"].cycles) == (0b10, 0b1)


def test_cycles_of_a_tag_are_kept_in_twelve_bits(new_user: Any, thing: Any) -> None:
    user = new_user()
    buys_every_cycle(user, thing("mugs"), range(30))
    assert user.profile.pool[MUGS].cycles == 0b1111_1111_1111


def test_frequency_three_of_the_last_six_cycles_and_older_ones_do_not_count() -> None:
    profile = believing(twice={"cycles": 0b000101}, thrice={"cycles": 0b010101}, long_ago={"cycles": 0b111111_000011})
    assert names(profile) == ["interest:thrice"]


@pytest.mark.parametrize(
    ("cycles", "variation"),
    [(0b10101, 0.0), (0b111, 0.0), (0b100011, 0.6), (0b1011, 1 / 3), (0b10011, 0.5), (0b1, 0.0), (0b0, 0.0)],
)
def test_gap_variation_is_deviation_over_mean(cycles: int, variation: float) -> None:
    """0b1011: places 0, 1, 3, gaps 1 and 2: deviation 0.5 / mean 1.5. 0b10011: gaps 1 and 3: 1 / 2."""
    assert gap_variation(cycles) == pytest.approx(variation)


def test_regularity_refuses_the_most_uneven_rhythms_by_default() -> None:
    """Gaps 1 and 4 (0.6) are refused, gaps 1 and 3 (0.5) are not; a threshold of 1 would refuse nothing of six cycles."""
    profile = believing(uneven={"cycles": 0b100011}, bearable={"cycles": 0b010011}, steady={"cycles": 0b010101})
    assert names(profile) == ["interest:bearable", "interest:steady"]
    assert max(gap_variation(cycles) for cycles in range(64)) == pytest.approx(0.6)


def test_effectiveness_a_tag_matched_less_than_the_mean_is_refused() -> None:
    """Since approval 10 were wanted: a was in 6 of them, b in 2: the mean is 0.4."""
    approved = {"cycles": 0b111, "approved_day": 19_000}
    profile = believing(a={**approved, "count": 6}, b={**approved, "count": 2})
    profile.positives = 10
    assert names(profile) == ["interest:a"]


def test_effectiveness_counts_only_what_came_after_the_approval() -> None:
    """Both were in 6, but of a 5 came before its approval (after 5 of 10 wanted): 1/5 against 6/10."""
    profile = believing(
        a={"cycles": 0b111, "approved_day": 19_000, "count": 6, "issued_count": 5, "issued_positives": 5},
        b={"cycles": 0b111, "approved_day": 19_000, "count": 6},
    )
    profile.positives = 10
    assert names(profile) == ["interest:b"]


def test_effectiveness_unknown_yet_refuses_nobody() -> None:
    profile = believing(a={"cycles": 0b111}, b={"cycles": 0b111, "approved_day": 19_000})
    assert names(profile) == ["interest:a", "interest:b"]


@pytest.mark.parametrize("tags", [2, 3, 6, 7])
def test_effectiveness_tags_of_one_rate_are_all_admitted_whatever_the_rounding(tags: int) -> None:
    """Three rates of 0.1 add up to 0.30000000000000004, whose third is over 0.1."""
    fields = {"cycles": 0b111, "approved_day": 19_000, "count": 1}
    profile = believing(**{f"t{number}": fields for number in range(tags)})
    profile.positives = 10
    assert len(names(profile)) == tags


def test_match_rate_searches_count_on_both_sides(new_user: Any) -> None:
    """A search that names a tag is wanted behaviour that carries it, so a rate never exceeds 1."""
    user = new_user()
    for cycle in range(8):
        user.does("search", day=1500 + CYCLE_DAYS * cycle, query="mugs", query_tags=(MUGS,))
    belief = user.profile.pool[MUGS]
    assert (belief.count, user.profile.positives, belief.issued_count, belief.issued_positives) == (8, 8, 1, 1)


def test_admitted_best_first_then_by_count_then_by_tag_and_at_most_top() -> None:
    profile = believing(
        d={"cycles": 0b111}, c={"cycles": 0b111}, b={"cycles": 0b111, "count": 5}, a={"cycles": 0b1111}, e={"cycles": 0b1111}
    )
    assert names(profile) == [f"interest:{name}" for name in "aebcd"]
    assert names(profile, top=2) == ["interest:a", "interest:e"]


def test_admitted_changes_nothing(new_user: Any, thing: Any) -> None:
    user = new_user()
    buys_every_cycle(user, thing("mugs"), range(5))
    before = encode(user.profile)
    admitted(user.profile, POLICY)
    assert encode(user.profile) == before


def test_cycle_at_the_end_of_time_is_closed_like_any() -> None:
    profile = believing(a={"cycles": 0})
    profile.approved_cycle = 0
    close_cycle(profile, 2**53 - 1, POLICY, ShortTermPolicy())
    assert profile.approved_cycle == (2**53 - 1) // (CYCLE_DAYS * DAY_MS)
