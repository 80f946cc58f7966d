"""Laws of the ladder of tiers: down at once, up only after good probes over a stretch of time, and never to and fro."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.entities import Tier
from models.tiers import AT_ONCE, Ladder, Switch, TierPolicy, Why

TIERS: tuple[Tier, ...] = ("serengpt", "distilled", "category")
POLICY = TierPolicy(
    failures_count=3, slow_s=60.0, queue_age_s=900.0, queue_young_s=300.0, probe_s=10.0, probes_count=3, steady_s=60.0
)
STABLE = settings(max_examples=100, deadline=None, derandomize=True)


def ladder(*tiers: Tier) -> Ladder:
    return Ladder(tiers or TIERS, POLICY)


def down(*tiers: Tier) -> Ladder:
    one = ladder(*tiers)
    assert one.bad("serengpt", "dead") is not None
    return one


# ---- down


def test_third_failure_in_a_row_steps_down_and_a_good_batch_between_forgives() -> None:
    one = ladder()
    assert [one.bad("serengpt", "failed"), one.bad("serengpt", "unsound"), one.good("serengpt", took_s=1.0)] == [None] * 3
    assert [one.bad("serengpt", "failed"), one.bad("serengpt", "failed")] == [None] * 2
    assert one.bad("serengpt", "failed") == Switch("serengpt", "distilled", "failed")
    assert (one.tier, one.is_down) == ("distilled", True)


@pytest.mark.parametrize("why", sorted(AT_ONCE - {"recovered"}))
def test_dead_or_hung_model_and_an_old_queue_step_down_at_once(why: Why) -> None:
    assert ladder().bad("serengpt", why) == Switch("serengpt", "distilled", why)


def test_batch_that_took_too_long_counts_as_failed() -> None:
    one = ladder()
    assert one.good("serengpt", took_s=60.0) is None
    assert [one.good("serengpt", took_s=60.1) for _ in range(3)] == [None, None, Switch("serengpt", "distilled", "slow")]


def test_queue_steps_down_when_it_is_older_than_its_bound_and_never_below_the_second_tier() -> None:
    one = ladder()
    assert one.waited(900.0) is None
    assert one.waited(900.1) == Switch("serengpt", "distilled", "queue")
    assert one.waited(9_000.0) is None


def test_lower_tier_that_fails_gives_way_to_the_next_and_the_last_one_stays() -> None:
    one = down()
    assert [one.bad("distilled", "failed") for _ in range(3)] == [None, None, Switch("distilled", "category", "failed")]
    assert [one.bad("category", "failed") for _ in range(9)] == [None] * 9
    assert one.tier == "category"


def test_outcome_of_a_tier_that_is_left_says_nothing() -> None:
    one = down()
    for _ in range(9):
        assert one.bad("serengpt", "dead") is None
        assert one.good("serengpt", took_s=0.1) is None
    assert one.tier == "distilled"


def test_single_tier_never_steps() -> None:
    one = ladder("serengpt")
    assert [one.bad("serengpt", "dead"), one.waited(1e9), one.probed(True, now_s=0.0, queue_age_s=0.0)] == [None] * 3
    assert (one.tier, one.is_down, one.has_below) == ("serengpt", False, False)


def test_no_tiers_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        Ladder((), POLICY)


# ---- up


def test_step_up_needs_both_the_number_of_good_probes_and_their_stretch_of_time() -> None:
    one = down()
    assert [one.probed(True, now_s=float(second), queue_age_s=0.0) for second in (0, 1, 2, 59)] == [None] * 4, "too short"
    assert one.probed(True, now_s=60.0, queue_age_s=0.0) == Switch("distilled", "serengpt", "recovered")
    one = down()
    assert [one.probed(True, now_s=float(second), queue_age_s=0.0) for second in (0, 600)] == [None] * 2, "too few"
    assert one.probed(True, now_s=601.0, queue_age_s=0.0) is not None


def test_bad_probe_starts_the_count_anew() -> None:
    one = down()
    for second in (0, 30):
        one.probed(True, now_s=float(second), queue_age_s=0.0)
    one.probed(False, now_s=50.0, queue_age_s=0.0)
    assert [one.probed(True, now_s=float(second), queue_age_s=0.0) for second in (60, 90, 119)] == [None] * 3
    assert one.probed(True, now_s=120.0, queue_age_s=0.0) is not None


def test_step_up_waits_for_a_young_queue() -> None:
    one = down()
    assert [one.probed(True, now_s=float(second), queue_age_s=300.1) for second in (0, 60, 600)] == [None] * 3
    assert one.probed(True, now_s=610.0, queue_age_s=300.0) == Switch("distilled", "serengpt", "recovered")


def test_step_up_goes_to_the_top_from_every_tier() -> None:
    one = down()
    for _ in range(3):
        one.bad("distilled", "failed")
    switches = [one.probed(True, now_s=float(second), queue_age_s=0.0) for second in (0, 30, 60)]
    assert switches[-1] == Switch("category", "serengpt", "recovered")


def test_probes_of_the_last_time_down_do_not_count() -> None:
    one = down()
    for second in (0, 30, 60):
        one.probed(True, now_s=float(second), queue_age_s=0.0)
    one.bad("serengpt", "dead")
    assert [one.probed(True, now_s=float(second), queue_age_s=0.0) for second in (61, 90, 120)] == [None] * 3
    assert one.probed(True, now_s=121.0, queue_age_s=0.0) is not None


# ---- any course of things

_step = st.one_of(
    st.tuples(st.just("good"), st.sampled_from(TIERS), st.floats(0, 120)),
    st.tuples(st.just("bad"), st.sampled_from(TIERS), st.sampled_from([why for why in get_args(Why) if why != "recovered"])),
    st.tuples(st.just("waited"), st.just(""), st.floats(0, 2_000)),
    st.tuples(st.just("probed"), st.booleans(), st.floats(0, 600)),
)


def play(one: Ladder, step: tuple[str, Any, Any], now_s: float) -> Switch | None:
    match step:
        case ("good", tier, took_s):
            return one.good(tier, took_s=took_s)
        case ("bad", tier, why):
            return one.bad(tier, why)
        case ("waited", _, age_s):
            return one.waited(age_s)
        case (_, passed, age_s):
            return one.probed(passed, now_s=now_s, queue_age_s=age_s)


@STABLE
@given(st.lists(st.tuples(st.floats(0, 40), _step), max_size=60), st.integers(1, 3))
def test_ladder_never_swings_however_its_outcomes_come(course: list[tuple[float, tuple[str, Any, Any]]], count: int) -> None:
    """Every switch is told, is of neighbours or to the top, and between two steps up lies the time of the good probes."""
    one, now_s, ups, downs = Ladder(TIERS[:count], POLICY), 0.0, [], 0
    for wait_s, step in course:
        now_s += wait_s
        before = one.tier
        switch = play(one, step, now_s)
        assert (switch is None) == (one.tier == before)
        if switch is None:
            continue
        assert (switch.before, switch.after) == (before, one.tier)
        if switch.why == "recovered":
            assert (step[0], step[1], one.tier) == ("probed", True, "serengpt")
            ups.append(now_s)
        else:
            assert TIERS.index(switch.after) == TIERS.index(before) + 1
            downs += 1
    assert all(later - earlier >= POLICY.steady_s for earlier, later in pairwise(ups))
    assert len(ups) <= now_s / POLICY.steady_s
    assert downs <= (len(ups) + 1) * (count - 1)


@STABLE
@given(st.lists(st.tuples(st.floats(0, 40), _step), max_size=60))
def test_whatever_happened_enough_good_probes_bring_the_top_back(course: list[tuple[float, tuple[str, Any, Any]]]) -> None:
    one, now_s = ladder(), 0.0
    for wait_s, step in course:
        now_s += wait_s
        play(one, step, now_s)
    for probe in range(8):
        one.probed(True, now_s=now_s + POLICY.probe_s * probe, queue_age_s=0.0)
    assert one.tier == "serengpt"
