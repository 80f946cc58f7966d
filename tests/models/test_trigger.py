"""Laws of the trigger: which events give a reason, when it fires, and that it fires once."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models import trigger
from models.entities import Event
from models.profiles import Profile, ProfilePolicy, decode, encode, update
from models.trigger import TriggerPolicy

POLICY = TriggerPolicy()  # quiet 30 s, at most 300 s, cool-down 600 s, slate 24 h, drift 0.5
START_S = 20_000 * 86_400
HOUR_S = 3_600


class User:
    """A profile and its trigger; times are seconds after `START_S`."""

    def __init__(self, policy: TriggerPolicy = POLICY) -> None:
        self.profile = Profile()
        self.policy = policy
        self.count = 0

    def does(self, kind: Any, at_s: float, tags: tuple[str, ...] = ("interest:tea",)) -> int | None:
        """One event; returns when the pending trigger is due, in seconds."""
        item_id = None if kind in {"visit", "search"} else "1"
        query = "tea" if kind == "search" else None
        event = Event(
            event_id=str(self.count),
            user_id="u",
            type=kind,
            ts_ms=round((START_S + at_s) * 1000),
            item_id=item_id,
            query=query,
        )
        update(self.profile, event, None, tags, offset=self.count, policy=ProfilePolicy())
        self.count += 1
        trigger.consider(self.profile, event, self.policy)
        return self.due_s()

    def due_s(self) -> int | None:
        due_ms = trigger.due_ms(self.profile, self.policy)
        return None if due_ms is None else due_ms // 1000 - START_S

    def fires(self) -> tuple[str, int]:
        due_s = self.due_s()
        assert due_s is not None
        return trigger.fire(self.profile, (START_S + due_s) * 1000), due_s


def asked(at_s: float = 0) -> User:
    """A user about whom SerenGPT was asked at `at_s`, after a visit 30 s earlier; nothing is pending."""
    user = User()
    user.does("visit", at_s - 30)
    assert user.fires() == ("visit", at_s)
    return user


def test_visit_without_a_slate_asks_after_the_quiet_period() -> None:
    user = User()
    assert user.does("visit", 0) == 30
    assert user.profile.pending == "visit"


@pytest.mark.parametrize(
    ("age_s", "asks"), [(HOUR_S, False), (24 * HOUR_S - 1, False), (24 * HOUR_S, True), (72 * HOUR_S, True)]
)
def test_visit_asks_again_when_the_slate_is_a_day_old(age_s: int, asks: bool) -> None:
    user = asked()
    assert user.does("visit", age_s) == (age_s + 30 if asks else None)


def test_late_visit_from_before_the_last_question_asks_nothing() -> None:
    assert asked().does("visit", -2 * HOUR_S) is None


def test_search_always_asks() -> None:
    user = asked()
    assert user.does("search", 2 * HOUR_S) == 2 * HOUR_S + 30
    assert user.profile.pending == "search"


@pytest.mark.parametrize("kind", ["expose", "click", "favourite", "cart", "purchase", "cancel", "hide"])
def test_other_events_of_a_user_without_a_slate_ask_nothing(kind: str) -> None:
    assert User().does(kind, 0) is None


def test_drift_asks_when_half_of_the_decayed_behaviour_is_newer_than_the_last_question() -> None:
    """A purchase before the question (1.0); then clicks of 0.3: 0.3, 0.6, 0.9 are below 1.0, 1.2 is over it.

    Within a minute nothing decays: 0.9 / 1.9 = 0.47, 1.2 / 2.2 = 0.55.
    """
    user = User()
    user.does("purchase", -40)
    user.does("visit", -30)
    user.fires()
    dues = [user.does("click", 2 * HOUR_S + second) for second in range(4)]
    assert dues == [None, None, None, 2 * HOUR_S + 3 + 30]
    assert user.profile.pending == "drift"


def test_drift_decay_makes_newer_behaviour_weigh_more() -> None:
    """A purchase counts 1/4 after two half-lives (28 days): one click of 0.3 is 0.3 / 0.55 = 0.545 of the whole."""
    user = User()
    user.does("purchase", -40)
    user.does("visit", -30)
    user.fires()
    later_s = 28 * 24 * HOUR_S
    assert user.does("click", later_s) == later_s + 30


def test_drift_does_not_come_from_exposures_or_negative_feedback() -> None:
    user = User()
    user.does("purchase", -40)
    user.does("visit", -30)
    user.fires()
    for second in range(20):
        assert user.does("expose", HOUR_S + second) is None
        assert user.does("hide", HOUR_S + second) is None


def test_burst_moves_the_due_time_to_its_end_and_keeps_the_first_reason() -> None:
    user = User()
    assert [user.does("visit", 0), user.does("click", 10), user.does("search", 25)] == [30, 40, 55]
    assert user.fires() == ("visit", 55)


def test_user_who_never_pauses_is_served_after_the_maximum_wait() -> None:
    """An event every 20 s: the quiet period never ends, 300 s after the first reason it fires all the same."""
    user = User()
    dues = [user.does("visit" if second == 0 else "click", second) for second in range(0, 400, 20)]
    assert max(due for due in dues if due is not None) == 300
    assert dues[0] == 30


def test_cool_down_holds_the_next_question_back() -> None:
    """Asked at 0; a search at 100 would be due at 130, the cool-down ends at 600."""
    user = asked()
    assert user.does("search", 100) == 600
    assert user.fires() == ("search", 600)
    assert user.does("search", 700) == 1200


def test_cool_down_over_leaves_the_quiet_period() -> None:
    assert asked().does("search", 590) == 620


def test_late_event_moves_no_due_time() -> None:
    user = User()
    user.does("visit", 0)
    assert user.does("click", -500) == 30


def test_late_search_waits_from_the_users_newest_event() -> None:
    """Its own time may lie long before the window; due times never lie before what is known of the user."""
    user = User()
    user.does("click", 1_000)
    assert user.does("search", 10) == 1_030


def test_events_before_the_start_are_history_and_ask_nothing() -> None:
    user = User(TriggerPolicy(start_ms=(START_S + 100) * 1000))
    assert [user.does("search", 99), user.does("visit", 99), user.does("visit", 100)] == [None, None, 130]


def test_fire_without_a_pending_trigger_is_an_error() -> None:
    user = asked()
    with pytest.raises(ValueError, match="no trigger is pending"):
        trigger.fire(user.profile, 0)
    assert user.due_s() is None


STEPS = st.lists(
    st.tuples(st.sampled_from(["visit", "click", "search", "purchase", "hide"]), st.integers(-400, 2_000)), max_size=40
)


def replayed(steps: list[tuple[Any, int]], *, stored: bool) -> list[tuple[str, int]]:
    """Fires as a partition does: before an event, what became due by the newest time so far."""
    user, now_s, fired = User(), 0, []
    at_s = 0
    for kind, gap_s in steps:
        at_s = max(0, at_s + gap_s)
        now_s = max(now_s, at_s)
        due_s = user.due_s()
        if due_s is not None and due_s <= now_s:
            fired.append(user.fires())
        user.does(kind, at_s)
        if stored:
            user.profile = decode(encode(user.profile))
    return fired


@settings(max_examples=100, deadline=None, derandomize=True)
@given(STEPS)
def test_questions_lie_a_cool_down_apart_and_survive_storing(steps: list[tuple[Any, int]]) -> None:
    fired = replayed(steps, stored=False)
    times = [due_s for _, due_s in fired]
    assert all(after - before >= 600 for before, after in pairwise(times))
    assert fired == replayed(steps, stored=True)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.sampled_from(["visit", "search", "purchase"]), st.integers(0, 2**53 - 1)), max_size=20))
def test_due_time_never_moves_back_while_a_trigger_is_pending_whatever_the_times(steps: list[tuple[Any, int]]) -> None:
    profile, due = Profile(), -1
    for count, (kind, ts_ms) in enumerate(steps):
        event = Event(
            event_id=str(count), user_id="u", type=kind, ts_ms=ts_ms, item_id="1" if kind == "purchase" else None, query="tea"
        )
        update(profile, event, None, ("interest:tea",), offset=count, policy=ProfilePolicy())
        trigger.consider(profile, event, POLICY)
        now_due = trigger.due_ms(profile, POLICY)
        if now_due is not None:
            assert now_due >= due
            due = now_due
