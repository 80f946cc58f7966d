"""The choice between variants of a ranker, on the validation part. Knows nothing about what varies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

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
    formula = METRICS[CHOICE_METRIC]
    return fmean(fmean(map(formula, places)) for places in ranks(given, scores, seed=seed))
