"""Laws of one partition: what becomes of records, labels, attributes; what memory keeps."""

from __future__ import annotations

import pytest

from models.entities import Item, UserAttributes
from models.profiles import Profile, digest
from streams import codec, topics
from streams.knowledge import Knowledge
from streams.partition import Partition, Rules
from tests.streams.one_partition import (
    DAY_MS,
    RULES,
    START_MS,
    Durable,
    Record,
    event_record,
    partition,
    profiles,
    take,
    watermark,
)

# ---------------------------------------------------------------------- records


def test_duplicate_event_id_is_counted_and_changes_nothing() -> None:
    """A producer's retry: the same event at the next offset."""
    once, twice = partition(), partition()
    first = event_record(0, "u", "click", 0)
    take(once, [first])
    take(twice, [first, first._replace(offset=1)])
    assert profiles(twice) == profiles(once)
    assert (twice.counts["duplicates"], twice.counts["events"], twice.next_offset) == (1, 1, 2)


def test_same_event_id_of_another_user_is_no_duplicate() -> None:
    both = partition()
    take(both, [event_record(0, "u", "click", 0, event_id="e"), event_record(1, "v", "click", 0, event_id="e")])
    assert (both.counts["duplicates"], both.counts["events"]) == (0, 2)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (event_record(1, "u", "click", 1)._replace(value=b"{"), "event: "),
        (event_record(1, "u", "click", 1)._replace(value=b"\xff" * 10), "event: "),
        (event_record(1, "u", "click", 1)._replace(key=b"v"), "key b'v' is not user_id 'u'"),
        (event_record(1, "u", "click", 1)._replace(key=None), "key b'' is not user_id 'u'"),
        (event_record(1, "u", "click", 1)._replace(value=b"x" * 65_537), "65537 bytes are over the bound"),
        (Record(1, 0, b"u", None), "the value is null and there is no seren-watermark-ms header"),
        (Record(1, 0, None, None, [("other", b"5")]), "the value is null"),
        (Record(1, 0, None, None, [(topics.WATERMARK_HEADER, b"soon")]), "watermark header b'soon' is no time"),
        (Record(1, 0, None, None, [(topics.WATERMARK_HEADER, b"-5")]), "watermark header b'-5' is no time"),
        (Record(1, 0, None, None, [(topics.WATERMARK_HEADER, b"9" * 9_000)]), "is no time in milliseconds"),
        (Record(1, 0, None, None, [(topics.WATERMARK_HEADER, str(2**54 + 1).encode())]), "is no time in milliseconds"),
        (Record(1, 0, None, None, [(topics.WATERMARK_HEADER, b"0" * 9_000)]), "is no time in milliseconds"),
        (Record(1, 0, None, None, [(topics.WATERMARK_HEADER, b"")]), "is no time in milliseconds"),
        (Record(1, 0, None, None, [(topics.WATERMARK_HEADER, None)]), "is no time in milliseconds"),  # type: ignore[list-item]
    ],
)
def test_bad_record_becomes_a_dead_letter_and_the_rest_goes_on(bad: Record, reason: str) -> None:
    good = [event_record(0, "u", "click", 0), event_record(2, "u", "purchase", 2)]
    mixed, clean = partition(), partition()
    take(mixed, [good[0], bad, good[1]])
    take(clean, good)
    assert profiles(mixed) == profiles(clean)
    assert (mixed.next_offset, mixed.watermark_ms) == (3, START_MS + 2_000)
    [letter] = mixed.dead_letters
    assert (letter.topic, letter.partition, letter.offset, letter.error) == (topics.EVENTS, 3, 1, "DecodeError")
    assert (letter.key, letter.value) == (bad.key, bad.value)
    assert reason in letter.reason


def test_bad_records_alone_move_the_offset_on() -> None:
    bad = partition()
    take(bad, [event_record(7, "u", "click", 0)._replace(value=b"{")])
    assert bad.next_offset == 8


def test_decoded_records_do_not_count_as_passed_until_they_are_applied() -> None:
    """A checkpoint between the two (users could not be claimed) must not cover them."""
    waiting = partition()
    batch = waiting.decode([event_record(0, "u", "click", 0), event_record(1, "u", "click", 1)])
    assert waiting.snapshot().next_offset == 0
    waiting.admit("u", Profile())
    waiting.apply(batch)
    assert waiting.snapshot().next_offset == 2


def test_event_too_far_from_the_brokers_clock_is_a_dead_letter_only_where_the_clock_is_checked() -> None:
    record = event_record(0, "u", "click", 0)._replace(timestamp=START_MS - 2 * DAY_MS)
    live, replayed = partition(rules=Rules(check_clock=True)), partition()
    take(live, [record])
    take(replayed, [record])
    assert (len(live.dead_letters), len(replayed.dead_letters)) == (1, 0)
    assert live.watermark_ms == 0


def test_unknown_item_is_history_and_no_more() -> None:
    unknown = partition()
    take(unknown, [event_record(0, "u", "click", 0, item_id="stranger")])
    profile = unknown.residents["u"].profile
    assert unknown.counts["unknown_items"] == 1
    assert [deed.text for deed in profile.deeds] == ["stranger"]
    assert (profile.pool, profile.seen_categories) == ({}, {})


# ---------------------------------------------------------------------- labels


def test_label_names_the_event_and_the_first_of_a_day_carries_the_digest_from_before_it() -> None:
    """Day 0: hobby 0. Day 1: first i1 (hobby 1), then i2: their samples must not contain i1, which was in the same basket."""
    labelling = partition()
    take(
        labelling,
        [
            event_record(0, "u", "click", 0, item_id="i0"),
            event_record(1, "u", "click", 86_400, item_id="i1"),
            event_record(2, "u", "purchase", 86_410, item_id="i2", channel="serendipity"),
        ],
    )
    first, second = labelling.labels
    assert (second.event_id, second.item_id, second.category, second.offset, second.partition) == ("2", "i2", "leaf 2", 2, 3)
    assert (second.channel, second.visit_days, second.related_strict) == ("serendipity", 1, True)
    assert first.digest is not None
    assert [deed.item_id for deed in first.digest.history] == ["i0"]
    assert second.digest is None  # of a day's labels the first one carries it for all


def test_label_of_a_late_event_or_of_a_user_admitted_within_the_day_has_no_digest() -> None:
    """What was known before that day is not known any more; a digest with the day's own basket would teach the answer."""
    records = [event_record(n, "u", "click", day * 86_400, item_id=f"i{n}") for n, day in enumerate((0, 1, 2, 1.5, 2.5, 3))]
    late = partition()
    take(late, records[:4] + records[5:])
    assert [(label.event_id, label.digest is None) for label in late.labels] == [
        ("1", False),
        ("2", False),
        ("3", True),
        ("5", False),
    ]
    durable, before = Durable(), partition()
    take(before, records[:3])
    durable.write_states(before)
    durable.record_checkpoint(before)
    after = durable.new_owner(2)
    take(after, records[4:5], durable.states)
    assert [(label.event_id, label.digest) for label in after.labels] == [("4", None)]


# ---------------------------------------------------------------------- eviction, checkpoint


def test_evict_takes_those_touched_longest_ago_and_never_a_dirty_or_pending_user() -> None:
    tight = partition()
    take(tight, [event_record(0, "a", "click", 0)])
    take(tight, [event_record(1, "b", "click", 1)])
    take(tight, [event_record(2, "pending", "visit", 2)])
    assert tight.evict(0) == 0  # all are dirty
    tight.settled(tight.snapshot())
    take(tight, [event_record(3, "dirty", "click", 3)])
    assert tight.evict(3) == 1
    assert set(tight.residents) == {"b", "pending", "dirty"}
    take(tight, [watermark(4, 100)])
    tight.settled(tight.snapshot())
    assert tight.evict(0) == 3
    assert set(tight.residents) == set()


def test_snapshot_stays_the_same_until_it_is_settled() -> None:
    """So that a checkpoint that failed is simply tried again; what came after it is in the next one."""
    full = partition()
    take(full, [event_record(0, "a", "click", 0), event_record(1, "b", "click", 1)._replace(value=b"{")])
    snapshot = full.snapshot()
    assert (snapshot.users, len(snapshot.dead_letters), snapshot.next_offset) == (["a"], 1, 2)
    assert full.snapshot() == snapshot
    full.settled(snapshot)
    assert full.snapshot() == (2, START_MS, [], [], [], [], [])


# ---------------------------------------------------------------------- attributes


def attributes(offset: int, user: str, **values: str | None) -> Record:
    return Record(offset, 0, user.encode(), codec.encode(UserAttributes(user_id=user, attributes=values)))


def take_attributes(target: Partition, records: list[Record]) -> None:
    changes = target.decode_attributes(records)
    for user_id in target.missing(change.user_id for _, change in changes):
        target.admit(user_id, Profile())
    target.apply_attributes(changes)


def test_attributes_redelivered_change_nothing() -> None:
    """An older change that comes again does not undo a newer one."""
    known = partition()
    take_attributes(known, [attributes(0, "u", age="old"), attributes(1, "u", age="new")])
    take_attributes(known, [attributes(0, "u", age="old"), attributes(1, "u", age="new")])
    assert known.residents["u"].profile.attributes == {"age": "new"}
    assert known.dirty == {"u"}


def test_null_attributes_forget_all_of_a_users_and_nobody_elses() -> None:
    known = partition()
    gone = Record(2, 0, b"u", None)
    take_attributes(known, [attributes(0, "u", age="35", town="Rome"), attributes(1, "v", age="36"), gone])
    assert known.residents["u"].profile.attributes == {}
    assert known.residents["v"].profile.attributes == {"age": "36"}
    take_attributes(known, [attributes(3, "u", town="Oslo"), gone, attributes(0, "u", age="35")])
    assert known.residents["u"].profile.attributes == {"town": "Oslo"}, "what comes again undoes nothing"


def test_attributes_read_from_a_compacted_topic_end_as_those_of_the_whole_one() -> None:
    """Of a key's records only the newest is left, and of a null not even that."""
    for left in ([Record(2, 0, b"u", None), attributes(3, "v", age="36")], [attributes(3, "v", age="36")]):
        known = partition()
        take_attributes(known, left)
        found = {user_id: resident.profile.attributes for user_id, resident in known.residents.items()}
        assert {user_id: held for user_id, held in found.items() if held} == {"v": {"age": "36"}}


@pytest.mark.parametrize("key", [None, b"", b"\xff", b"u" * 129])
def test_null_attributes_of_nobody_become_a_dead_letter(key: bytes | None) -> None:
    known = partition()
    take_attributes(known, [Record(0, 0, key, None)])
    assert [(letter.offset, letter.error) for letter in known.dead_letters] == [(0, "DecodeError")]


def test_withdrawn_item_stays_in_the_profile_with_its_title() -> None:
    known = Knowledge([Item(item_id="i0", title="lamp", category=("shop", "light"))], max_tag_bytes=48)
    held = Partition(0, epoch=1, next_offset=0, watermark_ms=0, knowledge=known, rules=RULES)
    take(held, [event_record(0, "u", "purchase", 0, item_id="i0")])
    known.learn([("i0", None)])
    read = digest(held.residents["u"].profile, known.catalogue.get, START_MS, RULES.profile)
    assert [line.title for line in read.history] == ["lamp"]
    assert [item.available for item in known.catalogue.items] == [False]
    take(held, [event_record(1, "u", "click", 10, item_id="i0")])
    assert held.counts["unknown_items"] == 0


def test_attributes_that_do_not_fit_are_counted() -> None:
    known = partition()
    take_attributes(known, [attributes(0, "u", age="35", life="x" * 300)])
    assert known.residents["u"].profile.attributes == {"age": "35"}
    assert known.counts["attributes_refused"] == 1


def test_attributes_that_are_none_or_have_another_key_become_dead_letters() -> None:
    """Under another key they may lie in another partition than the user, whose owner would then be fenced off."""
    known = partition()
    wrong_key = attributes(1, "u", age="35")._replace(key=b"v")
    take_attributes(known, [attributes(0, "u", age="1")._replace(value=b"["), wrong_key, attributes(2, "u", age="3")])
    assert known.residents["u"].profile.attributes == {"age": "3"}
    assert [(letter.topic, letter.offset) for letter in known.dead_letters] == [(topics.ATTRIBUTES, 0), (topics.ATTRIBUTES, 1)]
