"""A language model's answers become part of the profiles: records with an offset, as everything else that changes one.

Each is folded in once: its offset is kept in the profile and in the partition's checkpoint, like those of user attributes.
Knows nothing about models or stores.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial

from models.errors import DecodeError, Verdict, verdict
from models.profiles.exchange import ProfileTags
from models.profiles.inference import fold
from streams import codec, topics
from streams.deadletters.poison import change_or_bury, withhold_changes
from streams.marks import Blank
from streams.partition import Partition
from streams.records import Record, check_key

Admit = Callable[[Iterable[str]], Awaitable[None]]


async def take_answers(partition: Partition, records: Sequence[Record], *, admit: Admit, singly: bool = False) -> None:
    """Folds the answers in the records in; those that are none become dead letters.

    Args:
        partition: whose users they are about.
        records: of `seren-profile-tags`, none of them a repeat; blanks stand for repeats.
        admit: takes users into memory.
        singly: a bug in one costs its own letter, and nobody's state; dearer.
    """
    by_offset = {record.offset: record for record in records}
    answers = _decode(partition, [record for record in records if not isinstance(record, Blank)])
    await admit([answer.user_id for _, answer in answers])
    for offset, answer in withhold_changes(partition, answers, records, topics.PROFILE_TAGS):
        apply = partial(apply_answer, partition, offset, answer)
        if singly:
            change_or_bury(partition, answer.user_id, apply, topics.PROFILE_TAGS, by_offset[offset])
        else:
            apply()
    if records:
        partition.next_answer = max(partition.next_answer, records[-1].offset + 1)


def apply_answer(partition: Partition, offset: int, answer: ProfileTags) -> None:
    """Folds one answer in; its user must have been admitted."""
    resident = partition.residents[answer.user_id]
    inference = resident.profile.inference
    if inference is None:
        partition.counts["inferred_unasked"] += 1
        return
    if offset <= inference.offset:
        partition.counts["inferred_repeated"] += 1
        return
    outcome = fold(resident.change(), answer, offset, partition.profile_policy)
    partition.counts.update({f"inferred_{reason}": count for reason, count in outcome.items()})
    partition.counts["inferred"] += not outcome["unasked"]
    partition.dirty.add(answer.user_id)


def _decode(partition: Partition, records: Iterable[Record]) -> list[tuple[int, ProfileTags]]:
    """The answers with their offsets.

    Raises:
        UnknownVersion: a newer release wrote one of them.
    """
    answers = []
    for record in records:
        try:
            answer = codec.decode_answer(record.value or b"")
            check_key(record, answer.user_id)
            answers.append((record.offset, answer))
        except DecodeError as error:
            if verdict(error) is not Verdict.BURY:
                raise
            partition.bury(topics.PROFILE_TAGS, record, error)
    return answers
