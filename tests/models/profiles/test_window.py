"""Laws of the visit-day window (papers.md 1.2): N = 10 days on which the user visited, today excluded."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.entities import Event, Item, fingerprint
from models.errors import ConfigError
from models.profiles import Profile, ProfilePolicy, decode, encode, item_features, update
from models.profiles.policy import PossessionPolicy, WindowPolicy
from models.profiles.window import days_before, seen

MUGS = fingerprint("mugs")
IMPRESSIONS = WindowPolicy(impressions=True)


def test_window_first_event_of_a_day_is_judged_by_ten_visit_days_not_eleven(new_user: Any, thing: Any) -> None:
    """Mugs on day 100, then visits on ten more days (101..110): on day 111 the 10 days before are 101..110; day 100 is out."""
    user = new_user()
    user.does("purchase", thing("mugs"), day=100)
    for day in range(101, 111):
        user.does("visit", day=day)
    flags = user.does("click", thing("mugs"), day=111)
    assert (flags.label, flags.related_strict, flags.visit_days) == (True, True, 10)


def test_window_item_of_the_tenth_visit_day_back_counts_as_seen(new_user: Any, thing: Any) -> None:
    """Mugs on day 100, visits on 101..109: on day 110 the ten days before are 100..109."""
    user = new_user()
    user.does("purchase", thing("mugs"), day=100)
    for day in range(101, 110):
        user.does("visit", day=day)
    flags = user.does("click", thing("mugs"), day=110)
    assert (flags.label, flags.related_strict, flags.visit_days) == (False, False, 10)


def test_window_counts_visit_days_and_not_calendar_days(new_user: Any, thing: Any) -> None:
    """Four visits in two years: mugs, seen 700 days ago, are still in the window of the fourth."""
    user = new_user()
    user.does("purchase", thing("mugs"), day=1000)
    user.does("visit", day=1300)
    user.does("visit", day=1600)
    flags = user.does("click", thing("mugs"), day=1700)
    assert (flags.label, flags.visit_days) == (False, 3)


def test_window_many_events_on_one_day_are_one_visit_day(new_user: Any, thing: Any) -> None:
    user = new_user()
    for minute in range(50):
        user.does("click", thing("mugs"), day=100 + minute / 1440)
    assert user.profile.visit_days == [100]


def test_window_exposures_of_today_do_not_make_todays_items_familiar(new_user: Any, thing: Any) -> None:
    user = new_user(window=IMPRESSIONS)
    for day in (100, 101, 102):
        user.does("visit", day=day)
    for moment in (103.1, 103.2, 103.3):
        assert user.does("expose", thing("mugs"), day=moment).related_strict
    assert user.does("click", thing("mugs"), day=103.4).label is True
    assert user.does("click", thing("mugs"), day=104).label is False


def test_window_seen_today_and_before_stays_familiar_today(new_user: Any, thing: Any) -> None:
    """Two days are kept of each name, so that today's sight does not overwrite the one of day 100."""
    user = new_user()
    user.does("click", thing("mugs"), day=100)
    user.does("visit", day=101)
    user.does("visit", day=102)
    user.does("click", thing("mugs"), day=103.1)
    assert user.does("click", thing("mugs"), day=103.2).label is False


@pytest.mark.parametrize(
    ("impressions", "counted"), [(True, {"expose"}), (False, {"expose", "click", "favourite", "cart", "purchase"})]
)
def test_window_types_that_count_as_seen_depend_on_impressions(
    impressions: bool, counted: set[str], new_user: Any, thing: Any
) -> None:
    for kind in ("expose", "click", "favourite", "cart", "purchase", "cancel", "hide"):
        user = new_user(window=WindowPolicy(impressions=impressions))
        user.does("visit", day=100)
        user.does(kind, thing("mugs"), day=100.5)
        assert (MUGS in user.profile.seen_categories) is (kind in counted), kind


def test_window_cancel_is_no_visit(new_user: Any, thing: Any) -> None:
    user = new_user()
    user.does("cancel", thing("mugs"), day=100)
    assert user.profile.visit_days == []


def test_window_cancel_on_a_day_without_a_visit_is_judged_by_ten_days_too(new_user: Any, thing: Any) -> None:
    """Visits on 100 (mugs) to 110; a cancel on 111 begins no visit day, and its ten days before are 101..110."""
    user = new_user()
    user.does("purchase", thing("mugs"), day=100)
    for day in range(101, 111):
        user.does("visit", day=day)
    flags = user.does("cancel", thing("mugs"), day=111)
    assert (flags.label, flags.related_strict, flags.visit_days) == (None, True, 10)


def test_window_fewer_visit_days_than_the_minimum_leave_the_label_unknown(new_user: Any, thing: Any) -> None:
    """The third day has two days before it, the fourth has three."""
    user = new_user()
    labels = [user.does("click", thing(leaf), day=day).label for leaf, day in (("a", 1), ("b", 2), ("c", 3), ("d", 4))]
    assert labels == [None, None, None, True]


def test_window_late_event_on_a_visit_day_is_seen_on_its_own_day(new_user: Any, thing: Any) -> None:
    """An exposure of day 101 that arrives on day 103 makes mugs familiar on day 103."""
    user = new_user(window=IMPRESSIONS)
    for day in (100, 101, 102, 103):
        user.does("visit", day=day)
    user.does("expose", thing("mugs"), day=101.5)
    assert user.does("click", thing("mugs"), day=103.5).label is False


def test_window_late_event_on_another_day_opens_no_visit_day_and_is_not_seen(new_user: Any, thing: Any) -> None:
    user = new_user()
    for day in (100, 102, 103, 104):
        user.does("visit", day=day)
    user.does("click", thing("mugs"), day=101)
    assert user.profile.visit_days == [100, 102, 103, 104]
    assert user.does("click", thing("mugs"), day=104.5).label is True


def test_window_late_event_is_not_cancelled_by_what_came_after_its_day(new_user: Any, thing: Any) -> None:
    """Mugs first seen on day 104; a click of day 103 that arrives later is judged by days 100 to 102."""
    user = new_user(window=IMPRESSIONS)
    for day in (100, 101, 102, 103, 104):
        user.does("visit", day=day)
    user.does("expose", thing("mugs"), day=104.2)
    flags = user.does("click", thing("mugs"), day=103.5)
    assert (flags.label, flags.visit_days) == (True, 3)


def test_window_forgets_what_leaves_it(new_user: Any, thing: Any) -> None:
    """Brand, seller and category of day 100 are gone from the state when day 111 begins (the window and today: 101..111)."""
    user = new_user()
    user.does("purchase", thing("mugs", brand="acme", seller="shop"), day=100)
    for day in range(101, 111):
        user.does("visit", day=day)
    assert user.profile.seen_categories and user.profile.seen_brands and user.profile.seen_sellers
    user.does("visit", day=111)
    assert not (user.profile.seen_categories or user.profile.seen_brands or user.profile.seen_sellers)
    assert len(user.profile.visit_days) == 11


def test_window_earlier_of_two_days_is_forgotten_when_it_leaves(new_user: Any, thing: Any) -> None:
    """Mugs on 100 and 111; when 111 begins, day 100 has left, so later on day 111 mugs are new, and on 112 they are not."""
    user = new_user()
    user.does("click", thing("mugs"), day=100)
    for day in range(101, 111):
        user.does("visit", day=day)
    user.does("click", thing("mugs"), day=111)
    assert user.does("click", thing("mugs"), day=111.5).label is True
    assert user.does("click", thing("mugs"), day=112).label is False


def test_window_caps_let_those_go_that_were_seen_longest_ago(new_user: Any, thing: Any) -> None:
    user = new_user(window=WindowPolicy(max_categories=2, max_brands=1, max_sellers=1))
    for day, leaf in ((100, "a"), (101, "b"), (102, "c")):
        user.does("click", thing(leaf, brand=leaf, seller=leaf), day=day)
    assert set(user.profile.seen_categories) == {fingerprint("b"), fingerprint("c")}
    assert set(user.profile.seen_brands) == set(user.profile.seen_sellers) == {fingerprint("c")}


def test_seen_for_a_slate_holds_today_and_the_nine_visit_days_before(new_user: Any, thing: Any) -> None:
    """Eleven visit days 100..110, one category each: a slate made now should not repeat those of 101..110."""
    user = new_user()
    for day in range(100, 111):
        user.does("click", thing(f"leaf {day}", brand=f"brand {day}"), day=day)
    held = seen(user.profile, user.policy.window)
    assert held.categories == tuple(sorted(fingerprint(f"leaf {day}") for day in range(101, 111)))
    assert held.brands == tuple(sorted(fingerprint(f"brand {day}") for day in range(101, 111)))
    assert (held.sellers, held.visit_days) == ((), 10)


def test_seen_of_a_new_user_is_empty() -> None:
    held = seen(Profile(), WindowPolicy())
    assert (held.categories, held.brands, held.sellers, held.visit_days) == ((), (), (), 0)


def test_window_first_day_of_1970_and_the_last_day_are_days_like_others(new_user: Any, thing: Any) -> None:
    """Time 0 and time 2^53 - 1 are one visit day each; both survive the bytes."""
    user = new_user()
    user.does("click", thing("mugs"), day=0)
    user.does("click", thing("bowls"), day=(2**53 - 1) / 86_400_000)
    assert user.profile.visit_days == [1, 65_535]
    assert decode(encode(user.profile)).seen_categories == user.profile.seen_categories
    assert user.does("click", thing("mugs"), day=104_249_991).related_strict is False


@pytest.mark.parametrize("visit_days", [0, 15])
def test_window_that_cannot_be_written_down_is_refused(visit_days: int) -> None:
    with pytest.raises(ConfigError, match=f"visit_days = {visit_days}"):
        WindowPolicy(visit_days=visit_days)


@pytest.mark.parametrize("visit_days", [1, 14])
def test_window_shortest_and_longest_are_judged_and_written_like_any(visit_days: int, new_user: Any, thing: Any) -> None:
    window = WindowPolicy(visit_days=visit_days, min_visit_days=1)
    user = new_user(window=window)
    user.does("click", thing("mugs"), day=100)
    for day in range(101, 100 + visit_days):
        user.does("visit", day=day)
    user.profile = decode(encode(user.profile))
    assert user.does("click", thing("mugs"), day=100 + visit_days).label is False
    user = new_user(window=window)
    user.does("click", thing("mugs"), day=100)
    for day in range(101, 101 + visit_days):
        user.does("visit", day=day)
    user.profile = decode(encode(user.profile))
    assert user.does("click", thing("mugs"), day=101 + visit_days).label is True


def test_window_budgets_that_break_the_profile_bound_are_refused() -> None:
    """4,061 bytes of budgets by default; 8 more items owned are 48 bytes more and over 4,096."""
    assert ProfilePolicy().written_bytes <= 4096
    with pytest.raises(ConfigError, match="the bound is 4096"):
        ProfilePolicy(possessions=PossessionPolicy(max_owned=48))


# A plain reading of the definition: all sights are kept, and looked through for every event. Days come in order.


def plainly_seen(sights: list[tuple[int, str]], visits: list[int], leaf: str, day: int) -> bool:
    before = sorted({visited for visited in visits if visited < day})[-10:]
    return any(sight_day in before and sight == leaf for sight_day, sight in sights)


DAYS = st.lists(
    st.tuples(st.integers(0, 2), st.sampled_from("abcd"), st.sampled_from(["expose", "click", "visit"])), max_size=60
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(steps=DAYS, impressions=st.booleans())
def test_window_agrees_with_a_plain_reading_of_the_definition(steps: list[tuple[int, str, Any]], impressions: bool) -> None:
    policy = ProfilePolicy(window=WindowPolicy(impressions=impressions))
    profile, day = Profile(), 100
    sights: list[tuple[int, str]] = []
    visits: list[int] = []
    for offset, (gap, leaf, kind) in enumerate(steps):
        day += gap
        visits.append(day)
        item = None if kind == "visit" else Item(item_id=leaf, title=leaf, category=(leaf,))
        event = Event(
            event_id=str(offset),
            user_id="u",
            type=kind,
            ts_ms=day * 86_400_000 + offset,
            item_id=item.item_id if item else None,
        )
        features = item_features(item, max_tag_bytes=48) if item else None
        flags = update(profile, event, features, (), offset=offset, policy=policy)
        before = sorted({visited for visited in visits if visited < day})[-10:]
        assert days_before(profile, day, policy.window) == before
        if flags is not None:
            new = not plainly_seen(sights, visits, leaf, day)
            assert flags.related_strict is flags.related_loose is new
            assert flags.label is (new if kind == "click" and len(before) >= 3 else None)
            assert flags.visit_days == len(before)
        if kind == "expose" or (kind == "click" and not impressions):
            sights.append((day, leaf))
