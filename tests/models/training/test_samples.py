"""Laws of Definition-1 samples. A day is 86,400,000 ms; three visit days must have passed before a label can be known."""

from models.entities import Event, Item, UserAttributes
from models.profiles import ProfilePolicy
from models.training.samples import Sample, samples

DAY_MS = 86_400_000
ITEMS = {
    item_id: Item(item_id=item_id, title=f"{leaf} {item_id}", category=("shop", leaf))
    for item_id, leaf in (("a1", "mug"), ("a2", "mug"), ("b1", "clock"), ("c1", "lamp"))
}


def _events(*deeds: tuple[int, str, str]) -> list[Event]:
    """(day, type, item) as events of one user, a minute apart."""
    return [
        Event(
            event_id=str(n),
            user_id="u",
            type=kind,
            ts_ms=day * DAY_MS + n * 60_000,
            item_id=item_id or None,  # type: ignore[arg-type]
        )
        for n, (day, kind, item_id) in enumerate(deeds)
    ]


def _samples(events: list[Event], attributes: tuple[UserAttributes, ...] = ()) -> list[Sample]:
    return list(samples(events, ITEMS.get, attributes, ProfilePolicy()))


# Mugs on days 1, 2 and 3; on day 4 a mug again and a clock, which is new.
FOUR_DAYS = _events(
    (1, "purchase", "a1"), (2, "purchase", "a2"), (3, "purchase", "a1"), (4, "purchase", "a2"), (4, "purchase", "b1")
)


def test_samples_new_category_after_three_visit_days_is_serendipitous() -> None:
    last = _samples(FOUR_DAYS)[-1]
    assert (last.serendipitous, last.others) == (("b1",), ("a2",))


def test_samples_before_three_visit_days_nothing_is_known_to_be_serendipitous() -> None:
    found = _samples(_events((1, "purchase", "a1"), (2, "purchase", "b1"), (3, "purchase", "c1")))
    assert [(sample.serendipitous, sample.others) for sample in found] == [((), ("a1",)), ((), ("b1",)), ((), ("c1",))]


def test_samples_digest_holds_nothing_of_its_own_day() -> None:
    last = _samples(FOUR_DAYS)[-1]
    assert [behaviour.item_id for behaviour in last.digest.history] == ["a1", "a2", "a1"]
    assert last.seen.visit_days == 3
    assert last.as_of_ms == FOUR_DAYS[3].ts_ms


def test_samples_two_new_items_of_one_day_do_not_hide_each_other() -> None:
    found = _samples([*FOUR_DAYS[:3], *_events((4, "purchase", "b1"), (4, "purchase", "c1"), (4, "purchase", "b1"))])
    assert found[-1].serendipitous == ("b1", "c1")


def _search(n: int, query: str, *, minute: int) -> Event:
    return Event(event_id=f"q{n}", user_id="u", type="search", ts_ms=4 * DAY_MS + minute * 60_000, query=query)


def test_query_leads_where_a_positive_follows_it_within_half_an_hour_and_before_the_next() -> None:
    bought = Event(event_id="b", user_id="u", type="purchase", ts_ms=4 * DAY_MS + 40 * 60_000, item_id="b1")
    for minutes, led in (((1, 9), ()), ((1, 10), ("clock",)), ((11, 12), ("clock",))):
        searches = [_search(n, query, minute=at) for n, (query, at) in enumerate(zip(("mug", "clock"), minutes, strict=True))]
        last = _samples([*FOUR_DAYS[:3], *searches, bought])[-1]
        assert (last.searches, last.led) == (("mug", "clock"), led)


def test_query_that_led_to_nothing_new_is_only_a_search() -> None:
    again = Event(event_id="b", user_id="u", type="purchase", ts_ms=4 * DAY_MS + 60_000, item_id="a1")
    last = _samples([*FOUR_DAYS[:3], _search(0, "mug", minute=0), again])[-1]
    assert (last.searches, last.led) == (("mug",), ())


def test_samples_days_without_anything_wanted_give_none() -> None:
    found = _samples(_events((1, "visit", ""), (1, "expose", "a1"), (2, "hide", "b1"), (3, "cancel", "a1")))
    assert found == []


def test_samples_static_facts_are_known_from_the_start() -> None:
    (sample,) = _samples(FOUR_DAYS[:1], (UserAttributes(user_id="u", attributes={"country": "France"}),))
    assert sample.digest.static == ("country: France",)


def test_samples_of_several_users_do_not_mix() -> None:
    other = [Event(event_id="x", user_id="v", type="purchase", ts_ms=4 * DAY_MS, item_id="c1")]
    found = {sample.user_id: sample for sample in _samples([*FOUR_DAYS[:4], *other, FOUR_DAYS[4]])}
    assert found["v"].others == ("c1",)
    assert found["u"].serendipitous == ("b1",)


def test_samples_item_that_the_catalogue_does_not_know_is_left_out() -> None:
    assert _samples(_events((1, "purchase", "gone"))) == []
