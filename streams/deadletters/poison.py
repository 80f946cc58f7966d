"""Events that cannot be folded into a profile: kept away from it, or taken back out, and sent to the dead letters.

Knows nothing about stores, nor about what decides that this way is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from models.entities import AttributeChange
from models.errors import UnreadableProfile, Verdict, verdict
from models.profiles import decode
from streams import topics
from streams.partition import Partition
from streams.records import Decoded, Record


class _OfUser(Protocol):
    @property
    def user_id(self) -> str: ...


Change = TypeVar("Change", bound=_OfUser)


def withhold(partition: Partition, batch: list[Decoded], records: Sequence[Record]) -> list[Decoded]:
    """The batch with a mere move of event time in place of each event whose user's stored profile cannot be read.

    Those events become dead letters. All other users' triggers fire as if nothing was wrong.

    Args:
        partition: with the users that were refused, in `unreadable`.
        batch: decoded from the records.
        records: as they came.
    """
    if not partition.unreadable:
        return batch
    by_offset = {record.offset: record for record in records}
    kept = []
    for one in batch:
        fault = None if one.event is None else partition.unreadable.get(one.event.user_id)
        if one.event is None or fault is None:
            kept.append(one)
        else:
            partition.bury(topics.EVENTS, by_offset[one.offset], _unreadable(one.event.user_id, fault))
            kept.append(one.without_event())
    return kept


def withhold_changes(
    partition: Partition, changes: list[tuple[int, Change]], records: Sequence[Record], topic: str = topics.ATTRIBUTES
) -> list[tuple[int, Change]]:
    """The same for changes of attributes, or of what `topic` holds."""
    if not partition.unreadable:
        return changes
    by_offset = {record.offset: record for record in records}
    for offset, change in changes:
        fault = partition.unreadable.get(change.user_id)
        if fault is not None:
            partition.bury(topic, by_offset[offset], _unreadable(change.user_id, fault))
    return [change for change in changes if change[1].user_id not in partition.unreadable]


def apply_or_bury(partition: Partition, one: Decoded, record: Record) -> None:
    """Folds one event in, or leaves everything as it was before it and buries it.

    Raises:
        Exception: one whose verdict is to stop.

    Cost: a copy of the profile, so several times that of the event itself.
    """
    partition.advance(one.watermark_ms, arrived_ms=one.arrived_ms)  # what fires now is not the event's
    before = _Before(partition, "" if one.event is None else one.event.user_id)
    try:
        partition.apply([one])
    except Exception as error:
        if verdict(error) is not Verdict.BURY:
            raise
        before.restore()
        partition.bury(topics.EVENTS, record, error)
        partition.apply([one.without_event()])


def apply_attributes_or_bury(partition: Partition, change: tuple[int, AttributeChange], record: Record) -> None:
    """The same for one change of attributes."""
    change_or_bury(partition, change[1].user_id, lambda: partition.apply_attributes([change]), topics.ATTRIBUTES, record)


def change_or_bury(partition: Partition, user_id: str, change: Callable[[], None], topic: str, record: Record) -> None:
    """Makes one change of a user, or leaves everything as it was before it and buries its record."""
    before = _Before(partition, user_id)
    try:
        change()
    except Exception as error:
        if verdict(error) is not Verdict.BURY:
            raise
        before.restore()
        partition.bury(topic, record, error)


class _Before:
    """A user's state as it was; timers that were added since fire nothing."""

    def __init__(self, partition: Partition, user_id: str) -> None:
        self._partition = partition
        self._resident = partition.residents.get(user_id)
        self._labels = len(partition.labels)
        if self._resident is not None:
            self._profile = self._resident.pack()
            self._beside = (self._resident.context, self._resident.before, self._resident.before_ms)

    def restore(self) -> None:
        del self._partition.labels[self._labels :]
        if self._resident is not None:
            self._resident.change(decode(self._profile))
            self._resident.context, self._resident.before, self._resident.before_ms = self._beside


def _unreadable(user_id: str, fault: str) -> UnreadableProfile:
    return UnreadableProfile(f"stored profile of user {user_id!r}: {fault}")
