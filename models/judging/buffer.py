"""The label buffer: what people said in all rounds, and what of it a judge is trained on next.

Of the rarer label all rounds stay; of the other one newer rounds get more room, for what people like and how they judge moves
on. Knows nothing about judges.

Source: papers.md 2.7 (minority accumulation, recency-prioritised down-sampling).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from msgspec import Struct


class Labelled(Struct, frozen=True, kw_only=True):
    """What people said of one case under one criterion, in which round, with the judge's inputs at that time."""

    criterion: str
    case_id: str
    user_id: str
    inputs: tuple[float, ...]
    label: bool
    round: int


@dataclass(frozen=True, kw_only=True)
class BufferPolicy:
    """How much of the more frequent label is used."""

    majority_ratio: float = 2.0  # of it for each one of the rarer label: what is common is soon learnt
    # Room of a round against that of the next newer one; at a half the newest has about half of all.
    round_decay: float = 0.5

    def __post_init__(self) -> None:
        if not 0.0 < self.round_decay <= 1.0:
            message = f"round_decay: {self.round_decay}, must be in (0, 1]"
            raise ValueError(message)
        if self.majority_ratio < 1.0:
            message = f"majority_ratio: {self.majority_ratio}, must be at least 1"
            raise ValueError(message)


def training_set(labelled: Iterable[Labelled], policy: BufferPolicy, *, seed: int) -> list[Labelled]:
    """What one criterion's judge is trained on: all of the rarer label, newer rounds first of the other.

    A case that was labelled in several rounds counts with its newest label alone.

    Args:
        labelled: of one criterion.
        policy: how much of the more frequent label.
        seed: of what is left out within a round.
    """
    newest: dict[str, Labelled] = {}
    for one in labelled:
        known = newest.get(one.case_id)
        if known is None or one.round >= known.round:
            newest[one.case_id] = one
    every = sorted(newest.values(), key=lambda one: (one.round, one.case_id))
    groups = [[one for one in every if one.label is label] for label in (False, True)]
    rare, common = sorted(groups, key=len)
    room = min(len(common), round(policy.majority_ratio * len(rare)))
    return sorted([*rare, *_down_sampled(common, room, policy, seed)], key=lambda one: (one.round, one.case_id))


def _down_sampled(common: Sequence[Labelled], room: int, policy: BufferPolicy, seed: int) -> list[Labelled]:
    """`room` of them: each round its share, decaying with age; what older rounds cannot fill goes to the newest."""
    rounds = sorted({one.round for one in common}, reverse=True)
    by_round = {number: [one for one in common if one.round == number] for number in rounds}
    shares = [policy.round_decay**age for age in range(len(rounds))]
    quota = {number: int(room * share / sum(shares)) for number, share in zip(rounds, shares, strict=True)}
    kept: list[Labelled] = []
    left: list[Labelled] = []
    for number in rounds:
        ordered = sorted(by_round[number], key=lambda one: _hash(one.case_id, seed))
        kept.extend(ordered[: quota[number]])
        left.extend(ordered[quota[number] :])
    return [*kept, *left[: room - len(kept)]]


def _hash(text: str, seed: int) -> bytes:
    return hashlib.blake2b(f"{seed}|{text}".encode(), digest_size=8).digest()
