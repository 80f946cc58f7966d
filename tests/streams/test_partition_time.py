"""Laws of event time in one partition: which triggers fire, when, and as of what."""

from __future__ import annotations

from models.profiles import Profile
from streams import topics
from tests.streams.one_partition import (
    DAY_MS,
    START_MS,
    Durable,
    Record,
    event_record,
    fired,
    partition,
    read,
    take,
    watermark,
)


def test_trigger_fires_by_event_time_without_a_next_event_of_its_user() -> None:
    """u visits at 0, due at 30 s; v's event at 30 s moves event time there."""
    timed = partition()
    take(timed, [event_record(0, "u", "visit", 0), event_record(1, "v", "click", 29.999)])
    assert fired(timed) == []
    take(timed, [event_record(2, "v", "click", 30)])
    [request] = fired(timed)
    assert (request.user_id, request.reason, request.as_of_ms) == ("u", "visit", START_MS + 30_000)
    assert (request.epoch, request.partition, request.offset) == (1, 3, 0)


def test_trigger_fires_by_a_watermark_record() -> None:
    timed = partition()
    take(timed, [event_record(0, "u", "visit", 0), watermark(1, 86_400)])
    assert [request.as_of_ms for request in fired(timed)] == [START_MS + 30_000]
    assert timed.watermark_ms == START_MS + DAY_MS
    assert timed.next_due_ms() is None


def test_watermark_a_day_after_the_newest_possible_event_is_taken() -> None:
    timed = partition()
    take(timed, [Record(0, 0, None, None, [(topics.WATERMARK_HEADER, str(2**53 - 1 + DAY_MS).encode())])])
    assert (timed.dead_letters, timed.watermark_ms) == ([], 2**53 - 1 + DAY_MS)


def test_trigger_fires_as_of_its_due_time_before_a_later_event_of_its_user_is_applied() -> None:
    timed = partition()
    take(timed, [event_record(0, "u", "visit", 0), event_record(1, "u", "purchase", 3_600)])
    [request] = fired(timed)
    assert (request.as_of_ms, request.offset, request.digest.history) == (START_MS + 30_000, 0, ())


def test_trigger_that_a_burst_has_moved_does_not_fire_early() -> None:
    """Due at 30 s; a click at 20 s moves that to 50 s; v at 40 s fires nothing, v at 50 s does."""
    timed = partition()
    take(timed, [event_record(0, "u", "visit", 0), event_record(1, "u", "click", 20), event_record(2, "v", "click", 40)])
    assert fired(timed) == []
    take(timed, [event_record(3, "v", "click", 50)])
    assert [request.as_of_ms for request in fired(timed)] == [START_MS + 50_000]
    take(timed, [watermark(4, 7_000)])
    assert len(fired(timed)) == 1


def test_triggers_fire_in_the_order_of_their_due_times() -> None:
    """u is due at 30 s first and is moved to 55 s; v is due at 40 s."""
    timed = partition()
    take(
        timed,
        [
            event_record(0, "u", "visit", 0),
            event_record(1, "v", "visit", 10),
            event_record(2, "u", "click", 25),
            watermark(3, 90),
        ],
    )
    assert [(request.user_id, request.as_of_ms - START_MS) for request in fired(timed)] == [("v", 40_000), ("u", 55_000)]


def test_late_trigger_fires_at_the_next_record_and_knows_nothing_of_it() -> None:
    """v has moved time to 1,000 s; u's late search of 10 s is due at 40 s: long ago. The next record is u's, and late too."""
    timed = partition()
    take(
        timed, [event_record(0, "v", "click", 1_000), event_record(1, "u", "search", 10), event_record(2, "u", "purchase", 20)]
    )
    [request] = fired(timed)
    assert (request.as_of_ms, request.offset) == (START_MS + 40_000, 1)


def test_request_excludes_what_is_owned_in_the_cart_rejected_or_was_looked_at() -> None:
    timed = partition()
    kinds = [("purchase", "i1"), ("cart", "i2"), ("hide", "i3"), ("click", "i4"), ("visit", None)]
    take(timed, [event_record(n, "u", kind, n, **({"item_id": item} if item else {})) for n, (kind, item) in enumerate(kinds)])
    take(timed, [watermark(9, 100)])
    excluded = fired(timed)[0].exclusions
    assert (excluded.owned, excluded.in_cart, excluded.rejected) == (("i1",), ("i2",), ("i3",))
    assert excluded.seen_recently == ("i1", "i2", "i3", "i4")


def test_takeover_restores_timers() -> None:
    """u is due and has not fired; v has fired. The next owner fires u by time alone, and v no more."""
    durable, before = Durable(), partition()
    take(before, [event_record(0, "v", "visit", 0), event_record(1, "u", "visit", 40)])
    assert (before.timer_of("u"), before.timer_of("v")) == (START_MS + 70_000, None)
    durable.write_states(before)
    durable.record_checkpoint(before)
    after = durable.new_owner(2)
    after.advance(START_MS + 70_000)
    [request] = fired(after)
    assert (request.user_id, request.epoch, request.as_of_ms) == ("u", 2, START_MS + 70_000)


def test_request_is_in_the_snapshot_until_it_is_settled_and_only_the_newest_of_a_user() -> None:
    sending = partition()
    take(sending, [event_record(0, "v", "visit", 0), watermark(1, 40), event_record(2, "v", "search", 700, query="mug")])
    take(sending, [watermark(3, 800)])
    snapshot = sending.snapshot()
    assert [(user_id, read(sent)) for user_id, sent in snapshot.requests] == [("v", fired(sending)[1])]
    assert sending.counts["requests_superseded"] == 1
    sending.settled(snapshot)
    assert (sending.snapshot().requests, sending.snapshot().users) == ([], [])


def test_trigger_of_a_resting_user_fires_as_that_of_a_live_one() -> None:
    live, resting = partition(), partition()
    resting.max_live = 0
    for each in (live, resting):
        each.admit("u", Profile())
        each.apply(each.decode([event_record(0, "u", "visit", 0)]))
        each.settled(each.snapshot())
    assert not resting.residents["u"].is_live
    for each in (live, resting):
        each.apply(each.decode([watermark(1, 1_000)]))
    assert fired(resting) == fired(live) != []
