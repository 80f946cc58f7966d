"""What people are asked, what they decide, and how far they agree: with each other and with the judge.

Knows nothing about pages or files.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import Annotated, Literal, NamedTuple

from msgspec import Meta, Struct

from models.alignment.pairing import Preference
from models.alignment.records import AlignmentSample, JudgedBy, PreferencePair
from models.entities import Digest
from models.evaluation.agreement import kappa, over_users
from models.metrics import Interval

Kind = Literal["sample", "pair"]
Criterion = Literal["relevance", "unexpectedness", "reality"]
Choice = Literal["accept", "reject", "first", "second", "skip"]
CRITERIA: tuple[Criterion, ...] = ("relevance", "unexpectedness", "reality")
JUDGE = "judge"

_Name = Annotated[str, Meta(min_length=1, max_length=128)]


class Question(Struct, frozen=True, kw_only=True):
    """One question to a person: whether a sample is serendipitous, or which of two titles is the better one.

    `titles` holds one or two, with their leaf categories (empty: of nothing that is sold) and, for two, their scores.
    `verdict` is the judge's word: of a sample whether it is serendipitous, of a pair whether the first is the better one.
    """

    id: _Name
    kind: Kind
    user_id: str
    ts_ms: int
    digest: Digest
    titles: tuple[str, ...]
    categories: tuple[str, ...]
    scores: tuple[float, ...] = ()
    verdict: bool | None = None
    reason: str = ""


class Decision(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one person decided. `failed` is the criterion for which a sample was rejected, where they said so."""

    id: _Name
    kind: Kind
    person: _Name
    choice: Choice
    failed: Criterion | None = None
    decided_ms: int


class Agreement(NamedTuple):
    """How far two raters agree on the cases that both decided. `kappa` is None where it is not defined."""

    first: str
    second: str
    cases: int
    agreed: float
    kappa: Interval | None


def question_of_sample(sample: AlignmentSample) -> Question:
    """Whether a sample is serendipitous."""
    return Question(
        id=sample_key(sample),
        kind="sample",
        user_id=sample.user_id,
        ts_ms=sample.ts_ms,
        digest=sample.digest,
        titles=(sample.title,),
        categories=(sample.category,),
        verdict=sample.verdict,
        reason=sample.verdict_reason,
    )


def sample_key(sample: AlignmentSample) -> str:
    """The id of the question about a sample."""
    return _key("sample", sample.user_id, sample.event_id)


def question_of_pair(pair: Preference, *, user_id: str, ts_ms: int, digest: Digest) -> Question:
    """Which of two titles is the better one, in an order that a hash decides: where it stands must not tell."""
    name = _key("pair", user_id, str(ts_ms), pair.chosen.title, pair.rejected.title)
    is_first = int(name[0], 16) % 2 == 0
    shown = (pair.chosen, pair.rejected) if is_first else (pair.rejected, pair.chosen)
    return Question(
        id=name,
        kind="pair",
        user_id=user_id,
        ts_ms=ts_ms,
        digest=digest,
        titles=tuple(one.title for one in shown),
        categories=tuple(one.leaf or "" for one in shown),
        scores=tuple(float(one.score) for one in shown),
        verdict=is_first,
    )


def pair_of(question: Question, *, is_first: bool, judged_by: JudgedBy) -> PreferencePair:
    """The pair that an answer to a question makes."""
    better, worse = (0, 1) if is_first else (1, 0)
    return PreferencePair(
        user_id=question.user_id,
        ts_ms=question.ts_ms,
        digest=question.digest,
        chosen=question.titles[better],
        rejected=question.titles[worse],
        chosen_score=question.scores[better],
        rejected_score=question.scores[worse],
        judged_by=judged_by,
    )


def standing(decisions: Iterable[Decision]) -> list[Decision]:
    """The last word of each person on each question, without skips, in the order of the questions' ids and persons."""
    last: dict[tuple[str, str], Decision] = {}
    for one in decisions:
        known = last.get((one.id, one.person))
        if known is None or one.decided_ms >= known.decided_ms:
            last[one.id, one.person] = one
    return [last[key] for key in sorted(last) if last[key].choice != "skip"]


def is_yes(decision: Decision) -> bool:
    """A decision as yes or no: accepted, or the first of two."""
    return decision.choice in ("accept", "first")


def majority(decisions: Iterable[Decision]) -> dict[str, bool]:
    """What most people said of each question; where as many said yes as no, nothing is known.

    Example:
        >>> said = (("a", "x", "accept"), ("a", "y", "accept"), ("a", "z", "reject"), ("b", "x", "accept"))
        >>> every = [Decision(id=id, kind="sample", person=who, choice=what, decided_ms=0) for id, who, what in said]
        >>> majority(every), majority(every[1:])
        ({'a': True, 'b': True}, {'b': True})
    """
    votes: Counter[str] = Counter()
    for one in standing(decisions):
        votes[one.id] += 1 if is_yes(one) else -1
    return {name: count > 0 for name, count in votes.items() if count}


def by_criterion(decisions: Iterable[Decision]) -> dict[Criterion, dict[str, bool]]:
    """What is known of each criterion: who accepts a sample says that it passes all; who rejects it names the one it fails.

    A rejection without a criterion says nothing about any of them. Where people differ, a failure counts.
    """
    found: dict[Criterion, dict[str, bool]] = {criterion: {} for criterion in CRITERIA}
    for one in standing(decisions):
        if one.kind != "sample":
            continue
        for criterion in CRITERIA:
            if one.choice == "accept":
                found[criterion].setdefault(one.id, True)
            elif one.failed == criterion:
                found[criterion][one.id] = False
    return found


def agreements(decisions: Iterable[Decision], questions: Mapping[str, Question], *, seed: int) -> list[Agreement]:
    """Every two raters that decided the same questions; the judge is one of them, where it gave a verdict.

    Args:
        decisions: of all persons.
        questions: by id; they hold the judge's verdicts and whose items they are.
        seed: of the intervals, which resample users.
    """
    said: dict[str, dict[str, bool]] = {}
    for one in standing(decisions):
        said.setdefault(one.person, {})[one.id] = is_yes(one)
        question = questions.get(one.id)
        if question is not None and question.verdict is not None:
            said.setdefault(JUDGE, {})[one.id] = question.verdict
    pairs = combinations(sorted(said, key=lambda name: (name == JUDGE, name)), 2)
    found = [_agreement(one, other, said, questions, seed) for one, other in pairs]
    return [one for one in found if one.cases]


def _key(*parts: str) -> str:
    text = "".join(f"{len(part)}:{part}" for part in parts)
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


def _agreement(
    one: str, other: str, said: Mapping[str, Mapping[str, bool]], questions: Mapping[str, Question], seed: int
) -> Agreement:
    both = sorted(said[one].keys() & said[other].keys())
    left, right = [said[one][name] for name in both], [said[other][name] for name in both]
    users = [questions[name].user_id if name in questions else name for name in both]
    agreed = sum(a == b for a, b in zip(left, right, strict=True)) / len(both) if both else 0.0
    return Agreement(one, other, len(both), agreed, _kappa(left, right, users, seed) if both else None)


def _kappa(left: Sequence[bool], right: Sequence[bool], users: Sequence[str], seed: int) -> Interval | None:
    return over_users(lambda weights: kappa(left, right, weights), users, seed=seed)
