"""A user is forgotten: everything up to a place in the log of events, and nothing after it.

The place is a record (`streams.marks`), so what is forgotten depends on the log alone: whoever reads it again, from any
checkpoint on, forgets the same. Knows nothing about stores: the next checkpoint deletes what is stored.
"""

from __future__ import annotations

from models.profiles import Profile
from streams import topics
from streams.deadletters.letter import FORGOTTEN, DeadLetter
from streams.marks import Forgetting
from streams.partition import Partition

_TOLD = "everything of the user up to here is forgotten; letters before this one are not redriven"


def forget(partition: Partition, forgetting: Forgetting) -> None:
    """Puts a new profile in the place of the user's, and takes back what waits to be sent of the old one.

    Attributes that changed behind `attributes_offset` stay: they came after the user was forgotten, on a topic that may be
    read ahead of this one.

    Args:
        partition: has admitted the user, or could not read what is stored.
        forgetting: who, and up to where.
    """
    user_id, offset, attributes_offset = forgetting
    resident = partition.residents.get(user_id)
    old = Profile() if resident is None else resident.profile
    if old.offset > offset:
        return  # comes again: what is there now is newer
    fresh = Profile()
    fresh.offset, fresh.attributes_offset = offset, max(attributes_offset, old.attributes_offset)
    if old.attributes_offset > attributes_offset:
        fresh.attributes = old.attributes
    partition.admit(user_id, fresh)
    partition.requests.pop(user_id, None)
    partition.questions.pop(user_id, None)
    partition.labels = [label for label in partition.labels if label.user_id != user_id]
    partition.dead_letters.append(
        DeadLetter(topics.EVENTS, partition.number, offset, FORGOTTEN, _TOLD, user_id.encode(), None)
    )
    partition.counts["users_forgotten"] += 1
    partition.forgotten.put(user_id, offset)
    leave_blank(partition, user_id)


def leave_blank(partition: Partition, user_id: str) -> None:
    """Has the next checkpoint write the user's state; where nothing is in it, delete it instead."""
    resident = partition.residents[user_id]
    if resident.profile.is_blank:
        partition.dirty.discard(user_id)
        partition.forgotten.put(user_id, max(resident.profile.offset, 0))
    else:
        partition.dirty.add(user_id)
