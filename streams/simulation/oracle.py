"""What must be true in the end: one partition object, one pass over the records in their order, nothing ever interrupted.

Knows nothing about processes, stores or time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from faust.types import TP

from models.entities import Request
from models.profiles import Profile, decode, encode
from streams import codec, topics
from streams.partition import Knowledge, Partition, Rules
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
    newest: dict[str, Request]  # each user's last question
    labels: set[str]
    buried: set[Buried]


def truth(logs: Mapping[TP, Iterable[Record]], *, partitions: int, knowledge: Knowledge, rules: Rules) -> Truth:
    """One pass over the logs of events and attributes."""
    found = Truth({}, {}, set(), set())
    for number in range(partitions):
        partition = Partition(number, epoch=1, next_offset=0, watermark_ms=0, knowledge=knowledge, rules=rules)
        for record in logs.get(TP(topics.EVENTS, number), ()):
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
        found.buried.update(Buried(*letter[:5]) for letter in partition.dead_letters)
    return found


def without_trigger(profile: bytes) -> bytes:
    """The profile but for what its trigger remembers.

    On a live topic a quiet partition's time is moved on by its worker's clock, so when a trigger fires is no function of the
    records alone; everything else is.
    """
    read = decode(profile)
    read.pending, read.pending_since_ms, read.asked_ms, read.asked_mass = None, 0, -1, 0.0
    return encode(read)
