"""What must be true in the end: one partition object, one pass over the records in their order, nothing ever interrupted.

Knows nothing about processes, stores or time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from faust.types import TP

from models.entities import PackedRequest
from models.profiles import Profile, decode, encode
from streams import codec, topics
from streams.knowledge import Knowledge
from streams.marks import REDRIVEN_HEADER, Blank, header_of
from streams.partition import Partition, Rules
from streams.records import Record as Anything
from streams.simulation.broker import Record


class Buried(NamedTuple):
    """A dead letter that must be there at least once."""

    topic: str
    partition: int
    offset: int
    error: str
    reason: str


class Truth(NamedTuple):
    """The end, as it must be."""

    profiles: dict[str, bytes]
    newest: dict[str, PackedRequest]  # each user's last question
    labels: set[str]
    buried: set[Buried]
    labelled: dict[str, str]  # event id of a label -> user


def truth(logs: Mapping[TP, Iterable[Record]], *, partitions: int, knowledge: Knowledge, rules: Rules) -> Truth:
    """One pass over the logs of events and attributes."""
    found = Truth({}, {}, set(), set(), {})
    for number in range(partitions):
        partition = Partition(number, epoch=1, next_offset=0, watermark_ms=0, knowledge=knowledge, rules=rules)
        for record in _once(logs.get(TP(topics.EVENTS, number), ())):
            batch = partition.decode([record])
            for user_id in partition.missing(one.event.user_id for one in batch if one.event is not None):
                partition.admit(user_id, Profile())
            partition.apply(batch)
        for user_id, fired in partition.requests.items():
            found.newest[user_id] = codec.decode_request(fired.request)
        changes = partition.decode_attributes(logs.get(TP(topics.ATTRIBUTES, number), ()))
        for user_id in partition.missing(change.user_id for _, change in changes):
            partition.admit(user_id, Profile())
        partition.apply_attributes(changes)
        found.profiles.update((user_id, resident.pack()) for user_id, resident in partition.residents.items())
        found.labels.update(label.event_id for label in partition.labels)
        found.labelled.update((label.event_id, label.user_id) for label in partition.labels)
        found.buried.update(Buried(*letter[:5]) for letter in partition.dead_letters)
    return found


def without(whole: Truth, users: set[str]) -> Truth:
    """What must be true of everybody but these users; what of theirs is no event stays a dead letter."""
    return Truth(
        {user_id: profile for user_id, profile in whole.profiles.items() if user_id not in users},
        {user_id: request for user_id, request in whole.newest.items() if user_id not in users},
        {event_id for event_id in whole.labels if whole.labelled[event_id] not in users},
        whole.buried,
        whole.labelled,
    )


def _once(records: Iterable[Record]) -> Iterator[Anything]:
    """The records, with a blank for each whose origin was redriven before."""
    seen: set[bytes] = set()
    for record in records:
        origin = header_of(record, REDRIVEN_HEADER)
        yield Blank(record.offset, record.timestamp) if origin in seen else record
        if origin is not None:
            seen.add(origin)


def without_trigger(profile: bytes) -> bytes:
    """The profile but for what its trigger remembers.

    On a live topic a quiet partition's time is moved on by its worker's clock, so when a trigger fires is no function of the
    records alone; everything else is.
    """
    read = decode(profile)
    read.pending, read.pending_since_ms, read.asked_ms, read.asked_mass = None, 0, -1, 0.0
    return encode(read)
