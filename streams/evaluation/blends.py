"""Rows that join rankers by the formula of slates: SerenGPT with relevance, with the season, and the same without SerenGPT.

The last is a baseline: what joining alone is worth must not be counted as SerenGPT's. Without a season, weights are chosen
once, on the validation part. What follows the season is tuned each night on the days before, as its counts are made. Knows
nothing about engines.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import product as grid
from typing import NamedTuple

import numpy as np

from models.evaluation.choice import choose, choose_nightly, goodnesses
from models.evaluation.parts import Logs, Weights, log_aligned, log_part, product
from models.evaluation.past import seasons
from models.evaluation.rankers import Scores
from models.profiles.policy import DAY_MS
from models.serengpt.aligned import PRIOR_SHARE
from models.serengpt.engine import Scored
from streams.evaluation.questions import Asked, Questions
from streams.evaluation.rankers import Ranked

_RELEVANCE = (0.5, 1.0, 2.0)  # weights of a part against SerenGPT's 1
_TIMELINESS = (0.5, 1.0, 2.0)
_TYPICAL = (4.0, 64.0)  # of `models.season.SeasonPolicy`
_PRIOR_SHARES = (PRIOR_SHARE, 0.5, 1.0)
_WINDOW_DAYS = 14  # that a night looks back

ScoredCases = Sequence[Sequence[Scored]]


class _Variant(NamedTuple):
    weights: Weights
    prior_share: float
    typical: float

    def __str__(self) -> str:
        """What is not the same in all variants."""
        named = self.weights._asdict() | {"prior share": self.prior_share, "typical": self.typical}
        return ", ".join(f"{name} {value:g}" for name, value in named.items() if value)


class _Known(NamedTuple):
    """The parts of all cases of one part of the log, by what they vary with."""

    relevance: list[Logs]
    aligned: dict[float, list[Logs]]
    timeliness: dict[float, list[Logs]]

    def scores(self, one: _Variant) -> Scores:
        return product(
            one.weights,
            relevance=self.relevance,
            aligned=self.aligned[one.prior_share],
            timeliness=self.timeliness[one.typical],
        )


def with_relevance(
    name: str, questions: Questions, tower: Ranked, scored: tuple[ScoredCases, ScoredCases], *, seed: int
) -> Ranked:
    """SerenGPT's word times relevance: all that slates are made of, learnt before the test part."""
    variants = {str(one): one for one in (_Variant(Weights(weight, 1.0), PRIOR_SHARE, 0.0) for weight in _RELEVANCE)}
    before, reported = _both(questions, tower, scored, list(variants.values()), half_life_days=0.0)
    tried = {shown: before.scores(one) for shown, one in variants.items()}
    chosen = choose(questions.validation.cases, tried, seed=seed)
    return Ranked(
        name=f"{name} x relevance",
        scores=reported.scores(variants[chosen]),
        chosen=chosen,
        validation=tried[chosen],
        is_baseline=False,
    )


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
    shares, word = (_PRIOR_SHARES, 1.0) if scored else ((0.0,), 0.0)
    every = (
        _Variant(Weights(like, word, time), share, typical)
        for like, time, share, typical in grid((0.0, *_RELEVANCE), _TIMELINESS, shares, _TYPICAL)
    )
    variants = {str(one): one for one in every}
    before, reported = _both(questions, tower, scored, list(variants.values()), half_life_days=half_life_days)
    found = {shown: reported.scores(one) for shown, one in variants.items()}
    nights = _nights(questions, {shown: before.scores(one) for shown, one in variants.items()}, found, seed=seed)
    return Ranked(
        name=name,
        scores=[found[chosen][number] for number, chosen in enumerate(nights)],
        chosen=f"each night anew, most often {Counter(nights).most_common(1)[0][0]}",
        is_baseline=scored is None,
    )


def _nights(questions: Questions, before: Mapping[str, Scores], found: Mapping[str, Scores], *, seed: int) -> list[str]:
    """The variant of each reported case."""
    validation, reported = questions.validation.cases, questions.reported.cases
    if questions.reported is questions.validation:
        return [choose(validation, before, seed=seed)] * len(reported)
    return choose_nightly(
        {shown: goodnesses(validation, scores, seed=seed) for shown, scores in before.items()},
        [case.as_of_ms // DAY_MS for case in validation],
        {shown: goodnesses(reported, scores, seed=seed) for shown, scores in found.items()},
        [case.as_of_ms // DAY_MS for case in reported],
        window_days=_WINDOW_DAYS,
    )


def _both(
    questions: Questions,
    tower: Ranked,
    scored: tuple[ScoredCases, ScoredCases] | None,
    variants: Sequence[_Variant],
    *,
    half_life_days: float,
) -> tuple[_Known, _Known]:
    """The parts of the validation part's cases and of the reported ones."""
    words = scored or (None, None)
    asked = (questions.validation, questions.reported)
    likes = (tower.validation, tower.scores)
    before, reported = (
        _Known(
            relevance=[log_part(values) for values in like],
            aligned={share: _words(one, said, share) for share in {variant.prior_share for variant in variants}},
            timeliness=_times(questions, one, half_life_days, {variant.typical for variant in variants}),
        )
        for one, like, said in zip(asked, likes, words, strict=True)
    )
    return before, reported


def _words(asked: Asked, scored: ScoredCases | None, share: float) -> list[Logs]:
    if scored is None:
        return [np.zeros(len(items)) for items in asked.items]
    return [log_aligned(case, prior_share=share) for case in scored]


def _times(questions: Questions, asked: Asked, half_life_days: float, typicals: set[float]) -> dict[float, list[Logs]]:
    """The timeliness of every item on the eve of each case; without a half-life there is no season."""
    if not half_life_days:
        return {typical: [np.zeros(len(items)) for items in asked.items] for typical in typicals}
    log = questions.log
    found: dict[float, list[Logs]] = {typical: [] for typical in typicals}
    eves = seasons(asked.cases, log.samples, log.catalogue, half_life_days=half_life_days)
    for season, items in zip(eves, asked.items, strict=True):
        wants, mean = season[items], float(season.mean())
        for typical, times in found.items():
            # As `models.season.timeliness`, for all items at once; the least want keeps 0 / 0 away.
            times.append(log_part(wants / (wants + typical * mean + 1e-12)))
    return found
