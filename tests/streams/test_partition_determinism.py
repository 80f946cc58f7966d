"""One outcome, however the records were cut, redelivered, or handed from owner to owner."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from models.entities import SerendipityLabel
from streams.deadletters.letter import DeadLetter
from tests.streams.one_partition import (
    STABLE,
    Durable,
    Outcome,
    admit,
    cut,
    fired,
    outcome_of,
    partition,
    profiles,
    random_log,
    take,
    without_digest,
    without_epoch,
)


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
