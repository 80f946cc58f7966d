"""The human-LLM cooperative judge: one small judge per criterion, trained on people's labels; what qualifies passes all.

A large model or the local judge reads a case and gives its inputs; people's labels decide what these are worth. Knows nothing
about where labels come from.

Source: papers.md 2.7.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from models.errors import JudgeRefused
from models.judging.buffer import BufferPolicy, Labelled, training_set
from models.judging.gate import GatePolicy, Milestone, milestone, require
from models.judging.logistic import Logistic, fit

FOLDS = 5  # of the held-out check: each label is judged once by a judge that has not seen its user


class CooperativeJudge(Struct, frozen=True, kw_only=True):
    """A judge per criterion, by name, and what each was worth when it was made."""

    judges: Mapping[str, Logistic]
    milestones: tuple[Milestone, ...]
    round: int

    def scores(self, inputs: Sequence[Sequence[float]]) -> NDArray[np.float64]:
        """How surely each case passes all criteria: the least of their probabilities.

        Raises:
            ValueError: rows have another number of inputs than the judges.
        """
        if not self.judges:
            message = "judges: none has been trained"
            raise ValueError(message)
        found = np.stack([self.judges[name].probability(inputs) for name in sorted(self.judges)])
        least: NDArray[np.float64] = found.min(axis=0)
        return least


def train(labelled: Iterable[Labelled], policy: BufferPolicy, *, seed: int, fewest: int = 8) -> CooperativeJudge:
    """A judge for each criterion of which people gave both answers often enough, with its held-out milestone.

    Args:
        labelled: all rounds, all criteria.
        policy: which labels are used.
        seed: of folds, samples and intervals.
        fewest: labels of the rarer kind; a criterion with fewer gets no judge, for it would judge at random.
    """
    buffer: dict[str, list[Labelled]] = {}
    newest = 0
    for one in labelled:
        buffer.setdefault(one.criterion, []).append(one)
        newest = max(newest, one.round)
    judges: dict[str, Logistic] = {}
    milestones: list[Milestone] = []
    for criterion in sorted(buffer):
        chosen = training_set(buffer[criterion], policy, seed=seed)
        positives = sum(one.label for one in chosen)
        if min(positives, len(chosen) - positives) < fewest:
            continue
        milestones.append(held_out(criterion, chosen, seed=seed))
        judges[criterion] = _fitted(chosen)
    return CooperativeJudge(judges=judges, milestones=tuple(milestones), round=newest)


def admitted(judge: CooperativeJudge, policy: GatePolicy) -> tuple[CooperativeJudge, tuple[str, ...]]:
    """The judge without the criteria that its milestones hold below the gate, and why each of these is not used.

    Their milestones stay: the next round is told what they were worth.
    """
    judges: dict[str, Logistic] = {}
    refused: list[str] = []
    for found in judge.milestones:
        try:
            require(found, policy)
        except JudgeRefused as error:
            refused.append(str(error))
        else:
            judges[found.criterion] = judge.judges[found.criterion]
    return CooperativeJudge(judges=judges, milestones=judge.milestones, round=judge.round), tuple(refused)


def held_out(criterion: str, labelled: Sequence[Labelled], *, seed: int) -> Milestone:
    """The milestone of judges that have not seen the user whose case they judge: `FOLDS` of them, one after the other."""
    users = sorted({one.user_id for one in labelled})
    fold = dict(zip(users, np.random.default_rng(seed).permutation(len(users)) % FOLDS, strict=True))
    scores = np.full(len(labelled), 0.5)
    for number in range(FOLDS):
        rest = [one for one in labelled if fold[one.user_id] != number]
        places = [place for place, one in enumerate(labelled) if fold[one.user_id] == number]
        if places and 0 < sum(one.label for one in rest) < len(rest):
            scores[places] = _fitted(rest).probability([labelled[place].inputs for place in places])
    labels = [one.label for one in labelled]
    return milestone(criterion, scores.tolist(), labels, [one.user_id for one in labelled], seed=seed)


def _fitted(labelled: Sequence[Labelled]) -> Logistic:
    return fit([one.inputs for one in labelled], [one.label for one in labelled])
