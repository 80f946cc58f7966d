"""Rows that join rankers by the formula of slates: SerenGPT with relevance, with the season, and the same without SerenGPT.

The last is a baseline: what joining alone is worth must not be counted as SerenGPT's. Weights are chosen on the validation
part. Knows nothing about engines.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from models.combine import Parts
from models.evaluation.choice import choose
from models.evaluation.parts import parts, product
from models.evaluation.past import seasons
from models.evaluation.rankers import Scores
from models.season import SeasonPolicy, timeliness
from models.serengpt.engine import Scored
from streams.evaluation.questions import Asked, Questions
from streams.evaluation.rankers import Ranked

_RELEVANCE = (0.5, 1.0, 2.0, 4.0)  # weights of a part against SerenGPT's 1
_TIMELINESS = (0.25, 0.5, 1.0)
_TYPICAL = (1.0, 4.0)  # of `SeasonPolicy`

ScoredCases = Sequence[Sequence[Scored]]


@dataclass(frozen=True, kw_only=True)
class Weights:
    """One variant."""

    relevance: float
    aligned: float
    timeliness: float
    typical: float = SeasonPolicy().typical

    def __str__(self) -> str:
        """The weights that are above 0."""
        named = {"relevance": self.relevance, "aligned": self.aligned, "timeliness": self.timeliness}
        shown = ", ".join(f"{name} {weight:g}" for name, weight in named.items() if weight)
        return f"{shown}, typical {self.typical:g}" if self.timeliness else shown


def with_relevance(
    name: str, questions: Questions, tower: Ranked, scored: tuple[ScoredCases, ScoredCases], *, seed: int
) -> Ranked:
    """SerenGPT's word times relevance: all that slates are made of, learnt before the test part."""
    variants = [Weights(relevance=weight, aligned=1.0, timeliness=0.0) for weight in _RELEVANCE]
    return _tuned(f"{name} x relevance", variants, questions, tower, scored, half_life_days=0.0, seed=seed)


def with_season(
    name: str,
    questions: Questions,
    tower: Ranked,
    scored: tuple[ScoredCases, ScoredCases] | None,
    *,
    half_life_days: float,
    seed: int,
) -> Ranked:
    """The same with the season of the eve.

    Args:
        name: of the row.
        questions: of one log.
        tower: gives relevance.
        scored: SerenGPT's answers on the validation part and on the reported part; None: the same without it, a baseline.
        half_life_days: of the season, as chosen for the popularity on the eve.
        seed: of ties.
    """
    word = 0.0 if scored is None else 1.0
    variants = [
        Weights(relevance=weight, aligned=word, timeliness=time, typical=typical)
        for weight in _RELEVANCE
        for time in _TIMELINESS
        for typical in _TYPICAL
    ]
    return _tuned(name, variants, questions, tower, scored, half_life_days=half_life_days, seed=seed)


def _tuned(
    name: str,
    variants: Sequence[Weights],
    questions: Questions,
    tower: Ranked,
    scored: tuple[ScoredCases, ScoredCases] | None,
    *,
    half_life_days: float,
    seed: int,
) -> Ranked:
    before, reported = scored or (None, None)

    def made(asked: Asked, likes: Scores, words: ScoredCases | None) -> dict[float, list[list[Parts]]]:
        return {
            typical: parts(likes, _times(questions, asked, half_life_days, typical), words)
            for typical in {one.typical for one in variants}
        }

    known = made(questions.validation, tower.validation, before)
    tried = {str(one): _product(one, known) for one in variants}
    chosen = choose(questions.validation.cases, tried, seed=seed)
    best = next(one for one in variants if str(one) == chosen)
    scores = _product(best, made(questions.reported, tower.scores, reported))
    return Ranked(name=name, scores=scores, chosen=chosen, validation=tried[chosen], is_baseline=scored is None)


def _product(one: Weights, known: dict[float, list[list[Parts]]]) -> Scores:
    return product(relevance=one.relevance, aligned=one.aligned, timeliness=one.timeliness, of=known[one.typical])


def _times(questions: Questions, asked: Asked, half_life_days: float, typical: float) -> Scores:
    """The timeliness of every item on the eve of each case; without a half-life there is no season."""
    if not half_life_days:
        return [[0.0] * len(items) for items in asked.items]
    policy = SeasonPolicy(typical=typical, half_life_days=half_life_days)
    return list(_eves(questions, asked, policy))


def _eves(questions: Questions, asked: Asked, policy: SeasonPolicy) -> Iterator[list[float]]:
    log = questions.log
    found = seasons(asked.cases, log.samples, log.catalogue, half_life_days=policy.half_life_days)
    for season, items in zip(found, asked.items, strict=True):
        mean = float(season.mean())
        yield [timeliness(float(want), mean, policy) for want in season[items]]
