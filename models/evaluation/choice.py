"""The choice between variants of a ranker, on the validation part. Knows nothing about what varies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

import numpy as np

from models.evaluation.ranking import METRICS, Case, ranks

CHOICE_METRIC = "NDCG@10"  # looks at the whole upper end, so it is steadier than a hit at one rank


def choose(given: Sequence[Case], scores: Mapping[str, Sequence[Sequence[float]]], *, seed: int) -> str:
    """The name of the variant with the highest mean NDCG@10; of equal ones the first named.

    Args:
        given: cases of the validation part, never of the part that is reported.
        scores: by variant, per case one number per item.
        seed: of ties.

    Raises:
        ValueError: there is no variant or no case.
    """
    if not scores or not given:
        message = f"{len(scores)} variants on {len(given)} cases; at least 1 of each"
        raise ValueError(message)
    return max(scores, key=lambda name: goodness(given, scores[name], seed=seed))


def goodness(given: Sequence[Case], scores: Sequence[Sequence[float]], *, seed: int) -> float:
    """The mean NDCG@10 by which variants are chosen; every case counts once."""
    return fmean(goodnesses(given, scores, seed=seed))


def choose_nightly(
    earlier: Mapping[str, Sequence[float]],
    earlier_days: Sequence[int],
    values: Mapping[str, Sequence[float]],
    days: Sequence[int],
    *,
    window_days: int,
) -> list[str]:
    """For every case the variant that was best on the cases of the days before it: what a service that tunes each night has.

    Args:
        earlier: by variant, how good it was in each case of the validation part.
        earlier_days: the day of each of those.
        values: the same for the reported cases; a case sees those of days before its own, never its own day's.
        days: the day of each.
        window_days: how far back a night looks.

    Returns:
        A variant for each reported case; the first named where nothing lies before it.
    """
    names = list(values)
    every = np.array([*earlier_days, *days])
    table = np.array([[*earlier[name], *values[name]] for name in names])
    chosen = {}
    for day in set(days):
        seen = (every < day) & (every >= day - window_days)
        chosen[day] = names[int(np.argmax(table[:, seen].mean(axis=1)))] if seen.any() else names[0]
    return [chosen[day] for day in days]


def goodnesses(given: Sequence[Case], scores: Sequence[Sequence[float]], *, seed: int) -> list[float]:
    """NDCG@10 of each case."""
    formula = METRICS[CHOICE_METRIC]
    return [fmean(map(formula, places)) for places in ranks(given, scores, seed=seed)]
