"""Laws of one partition: what comes out depends on the records and their order alone."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, cast

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.entities import Event, Item, Request, SerendipityLabel, UserAttributes
from models.profiles import Profile, ProfilePolicy, decode, digest, encode
from models.profiles.policy import LongTermPolicy, WindowPolicy
from streams import codec, topics
from streams.knowledge import Knowledge
from streams.letters import DeadLetter
from streams.partition import Fired, Partition, Rules

DAY_MS = 86_400_000
START_MS = 20_000 * DAY_MS
STABLE = settings(max_examples=15, deadline=None, derandomize=True)


class Record(NamedTuple):
    """A Kafka record as the partition sees it."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()


def event_record(offset: int, user: str, kind: Any, at_s: float, **fields: Any) -> Record:
    """An event at `at_s` seconds after the start; its id is its offset unless it has its own."""
    ts_ms = START_MS + round(at_s * 1000)
    if kind not in {"visit", "search"}:
        fields.setdefault("item_id", "i0")
    if kind == "search":
        fields.setdefault("query", "leaf")
    fields.setdefault("event_id", str(offset))
    return Record(offset, ts_ms, user.encode(), codec.encode(Event(user_id=user, type=kind, ts_ms=ts_ms, **fields)))


def watermark(offset: int, at_s: float) -> Record:
    value = str(START_MS + round(at_s * 1000)).encode()
    return Record(offset, 0, None, None, [(topics.WATERMARK_HEADER, value)])


def knowledge() -> Knowledge:
    items = [
        Item(
            item_id=f"i{number}",
            title=f"thing {number}",
            category=("shop", f"leaf {number % 7}"),
            brand=f"brand {number % 3}",
            tags=(f"interest:hobby {number % 4}",),
        )
        for number in range(14)
    ]
    return Knowledge(items, max_tag_bytes=48)


KNOWN = knowledge()
RULES = Rules(
    check_clock=False,
    profile=ProfilePolicy(
        window=WindowPolicy(min_visit_days=1, visit_days=3),
        long_term=LongTermPolicy(cycle_days=2.0, cycles=4, min_cycles=2),
        recent_event_ids=2,  # so that only offsets can tell what was redelivered
    ),
)


class Requests(dict[str, Fired]):
    """A partition's requests that remember those that a newer one replaces before they are sent as well."""

    def __init__(self) -> None:
        super().__init__()
        self.all: list[Request] = []

    def __setitem__(self, user_id: str, fired: Fired) -> None:
        super().__setitem__(user_id, fired)
        self.all.append(codec.decode_request(fired.request))


def fired(by: Partition) -> list[Request]:
    """Every request that the partition has fired."""
    return cast("Requests", by.requests).all


def partition(*, epoch: int = 1, next_offset: int = 0, watermark_ms: int = 0, rules: Rules = RULES) -> Partition:
    made = Partition(3, epoch=epoch, next_offset=next_offset, watermark_ms=watermark_ms, knowledge=KNOWN, rules=rules)
    made.requests = Requests()
    return made


def take(target: Partition, records: Iterable[Record], stored: dict[str, bytes] | None = None) -> None:
    """One batch, its users admitted from what is stored, or new."""
    batch = target.decode(records)
    for user_id in target.missing(decoded.event.user_id for decoded in batch if decoded.event is not None):
        admit(target, user_id, stored or {})
    target.apply(batch)


def admit(target: Partition, user_id: str, stored: dict[str, bytes]) -> None:
    target.admit(user_id, decode(stored.get(user_id, encode(Profile()))))


def profiles(target: Partition) -> dict[str, bytes]:
    return {user_id: encode(resident.profile) for user_id, resident in target.residents.items()}


def random_log(seed: int, count: int) -> list[Record]:
    """Five users; pauses from none to weeks, late events, producer retries, unknown items, bad records, gaps of offsets.

    As a replay, it ends with a record that moves event time past every trigger.
    """
    dice = random.Random(seed)
    records: list[Record] = []
    at_s, offset = 0.0, dice.choice([-1, 10_000])
    while len(records) < count:
        offset += dice.choice([1, 1, 1, 3])
        at_s += dice.choice([0, 5, 40, 700, 4_000, 86_400, 20 * 86_400])
        user = f"u{dice.randrange(5)}"
        kind = dice.choice(["visit", "visit", "search", "click", "click", "purchase", "expose", "cart", "cancel", "hide"])
        late_s = dice.choice([0, 0, 0, 0, 20, 500, 90_000])
        record = event_record(
            offset,
            user,
            kind,
            max(0.0, at_s - late_s),
            **({} if kind in {"visit", "search"} else {"item_id": f"i{dice.randrange(16)}"}),
            **({"query": f"leaf {dice.randrange(9)} hobby 2"} if kind == "search" else {}),
        )
        chance = dice.random()
        if chance < 0.04:
            record = record._replace(value=(record.value or b"")[:-5])
        elif chance < 0.06:
            record = record._replace(key=b"somebody else")
        elif chance < 0.08:
            record = watermark(offset, at_s)
        elif chance < 0.10:
            record = record._replace(value=None)
        elif chance < 0.18 and records and records[-1].value:
            record = records[-1]._replace(offset=offset)
        records.append(record)
    return [*records, watermark(offset + 1, at_s + 2 * 86_400)]


def cut(records: list[Record], seed: int) -> list[list[Record]]:
    dice = random.Random(seed)
    batches, start = [], 0
    while start < len(records):
        size = dice.choice([1, 2, 3, 10, 40])
        batches.append(records[start : start + size])
        start += size
    return batches


def without_epoch(requests: Iterable[Request]) -> list[bytes]:
    return [codec.encode(msgspec.structs.replace(request, epoch=0)) for request in requests]


def without_digest(labels: Iterable[SerendipityLabel]) -> list[SerendipityLabel]:
    return [msgspec.structs.replace(label, digest=None) for label in labels]


class Outcome(NamedTuple):
    """Everything that a partition makes of its records."""

    profiles: dict[str, bytes]
    fired: list[bytes]
    labels: list[SerendipityLabel]
    dead_letters: list[DeadLetter]


def outcome_of(records: list[Record]) -> Outcome:
    """In one batch, never interrupted."""
    whole = partition()
    take(whole, records)
    return Outcome(profiles(whole), without_epoch(fired(whole)), whole.labels, whole.dead_letters)


# ---------------------------------------------------------------------- determinism


def test_random_logs_exercise_everything_that_a_partition_does() -> None:
    """So that the laws below are about something."""
    whole = partition()
    take(whole, random_log(1, 400))
    seen = {name for name, count in whole.counts.items() if count > 3}
    assert {"events", "duplicates", "labels", "unknown_items", "dead_letters_DecodeError"} <= seen
    assert {request.reason for request in fired(whole)} == {"visit", "search", "drift"}
    assert {label.digest is None for label in whole.labels} == {True, False}
    assert any(request.digest.long_term for request in fired(whole))


@STABLE
@given(st.integers(0, 2**32), st.integers(0, 2**32))
def test_outcome_does_not_depend_on_how_records_are_cut_into_batches(log_seed: int, cut_seed: int) -> None:
    records = random_log(log_seed, 120)
    pieces = partition()
    for batch in cut(records, cut_seed):
        take(pieces, batch)
    found = Outcome(profiles(pieces), without_epoch(fired(pieces)), pieces.labels, pieces.dead_letters)
    assert found == outcome_of(records)
    assert pieces.next_offset == records[-1].offset + 1


@STABLE
@given(st.integers(0, 2**32), st.integers(0, 2**32))
def test_redelivery_to_the_same_owner_changes_nothing(log_seed: int, cut_seed: int) -> None:
    """Each batch comes with all that went before it."""
    records = random_log(log_seed, 60)
    again = partition()
    sent = 0
    for batch in cut(records, cut_seed):
        sent += len(batch)
        take(again, records[:sent])
    found = Outcome(profiles(again), without_epoch(fired(again)), again.labels, again.dead_letters)
    assert found == outcome_of(records)


class Durable:
    """What would be in Redis: users' states, timers, and the checkpoint. Its steps are those of `streams.checkpoint`."""

    def __init__(self) -> None:
        self.states: dict[str, bytes] = {}
        self.timers: set[str] = set()
        self.next_offset = 0
        self.watermark_ms = 0

    def write_states(self, source: Partition) -> None:
        for user_id in source.snapshot().users:
            if source.timer_of(user_id) is not None:
                self.timers.add(user_id)
            self.states[user_id] = encode(source.residents[user_id].profile)

    def record_checkpoint(self, source: Partition) -> None:
        self.next_offset, self.watermark_ms = source.next_offset, source.watermark_ms
        source.settled(source.snapshot())

    def new_owner(self, epoch: int) -> Partition:
        owner = partition(epoch=epoch, next_offset=self.next_offset, watermark_ms=self.watermark_ms)
        for user_id in sorted(self.timers):
            admit(owner, user_id, self.states)
        return owner


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.integers(0, 2**32), st.integers(0, 2**32))
def test_takeovers_lose_nothing_and_apply_nothing_twice(log_seed: int, crash_seed: int) -> None:
    """Owners die after any batch, having written states only, states and checkpoint, or nothing since the last one.

    The next owner gets every record from the last checkpoint on. Profiles end byte for byte as in one uninterrupted run, the
    same questions are asked as of the same times, the same labels become true.
    """
    records = random_log(log_seed, 100)
    dice = random.Random(crash_seed)
    durable, owner = Durable(), partition()
    owners, epoch = [owner], 1
    position, labels, letters = 0, list[SerendipityLabel](), list[DeadLetter]()
    while position < len(records):
        size = dice.choice([1, 3, 10])
        take(owner, records[position : position + size], durable.states)
        position += size
        fate = dice.choice(["go on", "go on", "checkpoint", "crash", "crash after states", "crash after checkpoint"])
        if fate in {"checkpoint", "crash after states", "crash after checkpoint"}:
            labels += owner.labels
            letters += owner.dead_letters
            durable.write_states(owner)
        if fate in {"checkpoint", "crash after checkpoint"}:
            durable.record_checkpoint(owner)
        if fate.startswith("crash"):
            epoch += 1
            owner = durable.new_owner(epoch)
            owners.append(owner)
            position = next((at for at, record in enumerate(records) if record.offset >= durable.next_offset), len(records))
    expected = outcome_of(records)
    for user_id in set(expected.profiles) - set(owner.residents):
        admit(owner, user_id, durable.states)
    assert profiles(owner) == expected.profiles
    assert {request for one in owners for request in without_epoch(fired(one))} == set(expected.fired)
    assert {label.event_id for label in labels + owner.labels} == {label.event_id for label in expected.labels}
    assert set(letters + owner.dead_letters) == set(expected.dead_letters)
    by_event = {label.event_id: label for label in expected.labels}
    for label in labels + owner.labels:
        assert without_digest([label]) == without_digest([by_event[label.event_id]])
        assert label.digest in (None, by_event[label.event_id].digest)


@STABLE
@given(st.integers(0, 2**32), st.integers(0, 2**32), st.integers(1, 4))
def test_eviction_changes_no_result(log_seed: int, cut_seed: int, max_users: int) -> None:
    """After every batch all is checkpointed and users are let go. Only a label's digest may be missing on such a day."""
    records = random_log(log_seed, 100)
    durable, tight = Durable(), partition()
    for batch in cut(records, cut_seed):
        take(tight, batch, durable.states)
        durable.write_states(tight)
        labels, letters = list(tight.labels), list(tight.dead_letters)
        durable.record_checkpoint(tight)
        durable.write_states(tight)
        durable.record_checkpoint(tight)
        tight.labels += labels
        tight.dead_letters += letters
        tight.evict(max_users)
        assert all(resident.profile.pending for resident in list(tight.residents.values())[max_users:])
    expected = outcome_of(records)
    assert durable.states == expected.profiles
    assert without_epoch(fired(tight)) == expected.fired
    assert without_digest(tight.labels) == without_digest(expected.labels)
    assert tight.dead_letters == expected.dead_letters


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


# ---------------------------------------------------------------------- time


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
    assert [(user_id, codec.decode_request(sent.request)) for user_id, sent in snapshot.requests] == [("v", fired(sending)[1])]
    assert sending.counts["requests_superseded"] == 1
    sending.settled(snapshot)
    assert (sending.snapshot().requests, sending.snapshot().users) == ([], [])


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
    assert full.snapshot() == (2, START_MS, [], [], [], [])


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
