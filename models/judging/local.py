"""The local judge on profiles and titles of a catalogue: what `seren judge` says, for digests, in one call for many.

Knows nothing about samples, files or what verdicts are used for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from models.entities import Digest
from models.judging.digests import person_of
from models.judging.home import Adviser
from models.judging.judge import judge
from models.judging.meaning import Meaning
from models.judging.pairs import Judgement, Offer, Person
from models.judging.policy import JudgePolicy
from models.judging.portrait import Opinion, Portrait

INPUTS = (
    "relevance",
    "unexpectedness",
    "both",
    "serengpt",
    "serengpt at home",
    "ln history",
    "ln visit days",
    "ln words",
)


class Ask(NamedTuple):
    """A title for a profile, with its leaf category; empty: not known."""

    digest: Digest
    title: str
    category: str


class Heard(NamedTuple):
    """What the judge says of an ask, and SerenGPT's opinion that went into it."""

    judgement: Judgement
    opinion: Opinion | None


class LocalJudge:
    """Judges asks.

    Args:
        policy: of judgements.
        adviser: SerenGPT; None judges without it.
        meaning: what words mean; None judges by the words themselves.
    """

    def __init__(self, policy: JudgePolicy, adviser: Adviser | None, meaning: Meaning | None = None) -> None:
        self.adviser = adviser
        self.meaning = meaning
        self._policy = policy

    def hear(self, asks: Sequence[Ask]) -> list[Heard]:
        """One judgement per ask, in order; asks of one profile are best given together.

        Raises:
            EngineError: SerenGPT failed as a whole.
        """
        told = [(person_of(ask.digest), Offer(title=ask.title, category=ask.category or None)) for ask in asks]
        opinions = [None] * len(asks) if self.adviser is None else self.adviser.opinions(told)
        found = []
        last: tuple[Person, Portrait] | None = None
        for (person, offer), opinion in zip(told, opinions, strict=True):
            if last is None or last[0] != person:
                last = (person, Portrait(person, self._policy.portrait, self.meaning))
            found.append(Heard(judge(offer, last[1], opinion, self._policy), opinion))
        return found


def inputs_of(ask: Ask, heard: Heard, *, visit_days: int) -> tuple[float, ...]:
    """What a small judge learns from, in the order of `INPUTS`: nothing that names an item, a user or how popular they are."""
    relevance = heard.judgement.relevance
    unexpectedness = 0.5 if heard.judgement.unexpectedness is None else heard.judgement.unexpectedness
    aligned, at_home = (0.5, 0.0) if heard.opinion is None else (heard.opinion.aligned, heard.opinion.at_home)
    return (
        relevance,
        unexpectedness,
        relevance * unexpectedness,
        at_home * (aligned - 0.5),
        at_home,
        math.log1p(len(ask.digest.history)),
        math.log1p(visit_days),
        math.log1p(len(ask.title.split())),
    )
