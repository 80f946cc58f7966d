"""How well a judge agrees with labels, and two people with each other: AUC, AP and Cohen's kappa, with intervals over users.

Knows nothing about judges or items. All take weights, so that a resample is a weight for each case and not a copy of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.metrics import Interval

_Floats = NDArray[np.float64]
_Bools = NDArray[np.bool_]


def auc(scores: Sequence[float] | _Floats, labels: Sequence[bool] | _Bools, weights: _Floats | None = None) -> float:
    """The probability that a positive case scores above a negative one, equal scores counting half.

    Args:
        scores: higher is more positive.
        labels: as many.
        weights: of the cases; 1 each if left out.

    Returns:
        nan where all weight is on one label.

    Example:
        Of 2 x 2 pairs one is won, one lost, two are even:

        >>> auc([0.5, 0.9, 0.5, 0.7], [True, True, False, False])
        0.625
        >>> auc([1.0, 0.0, 0.0], [False, True, True], np.array([1.0, 1.0, 0.0]))
        0.0
    """
    positives, negatives = _by_score(scores, labels, weights)
    total = float(positives.sum() * negatives.sum())
    below = np.concatenate(([0.0], np.cumsum(negatives)[:-1])) if len(negatives) else negatives
    return float((positives * (below + negatives / 2.0)).sum() / total) if total else float("nan")


def average_precision(
    scores: Sequence[float] | _Floats, labels: Sequence[bool] | _Bools, weights: _Floats | None = None
) -> float:
    """The mean over positive cases of the precision among all that score at least as high.

    Args:
        scores: higher is more positive.
        labels: as many.
        weights: of the cases; 1 each if left out.

    Returns:
        nan where no weight is on positives.

    Example:
        Precisions 1/1 and 2/3; with an equal score both positives share the precision 2/3:

        >>> round(average_precision([0.9, 0.8, 0.7], [True, False, True]), 4)
        0.8333
        >>> round(average_precision([0.9, 0.9, 0.9], [True, False, True]), 4)
        0.6667
    """
    positives, negatives = _by_score(scores, labels, weights)
    found = np.cumsum(positives[::-1])
    among = found + np.cumsum(negatives[::-1])
    total = float(positives.sum())
    precision = np.divide(found, among, out=np.zeros_like(found), where=among > 0.0)
    return float((positives[::-1] * precision).sum() / total) if total else float("nan")


def kappa(first: Sequence[Any] | NDArray[Any], second: Sequence[Any] | NDArray[Any], weights: _Floats | None = None) -> float:
    """Cohen's kappa of two raters: (observed - chance) / (1 - chance), chance being that of their own shares.

    Args:
        first: one's categories.
        second: the other's, of the same cases.
        weights: of the cases; 1 each if left out.

    Returns:
        nan where it is not defined: nothing was rated, or both gave one category to all.

    Raises:
        ValueError: the two differ in length.

    Example:
        They agree on 3 of 4; by chance on 3/4 x 2/4 + 1/4 x 2/4 = 1/2:

        >>> kappa([True, True, True, False], [True, True, False, False])
        0.5
    """
    one, other = np.asarray(first), np.asarray(second)
    if one.shape != other.shape:
        message = f"second: {other.size} ratings for {one.size} of the first; must be as many"
        raise ValueError(message)
    weight = np.ones(one.shape) if weights is None else weights
    total = float(weight.sum())
    if not total:
        return float("nan")
    observed = float(weight[one == other].sum()) / total
    categories = np.unique(np.concatenate((one, other)))
    chance = sum(float(weight[one == each].sum()) * float(weight[other == each].sum()) for each in categories) / total**2
    return float("nan") if chance >= 1.0 else (observed - chance) / (1.0 - chance)


def over_users(
    statistic: Callable[[_Floats], float],
    users: Sequence[str],
    *,
    seed: int,
    resamples: int = 1_000,
    confidence: float = 0.95,
) -> Interval | None:
    """A statistic of all cases, with a percentile interval from resampling whole users.

    Args:
        statistic: of the weights of the cases.
        users: whose case it is.
        seed: the same seed gives the same interval.
        resamples: those in which the statistic is not defined are left out.
        confidence: share of resampled values between the bounds.

    Returns:
        None where the statistic of all cases is not defined.

    Example:
        >>> over_users(lambda weights: float(weights.mean() > 0), ["a", "b"], seed=0)
        Interval(mean=1.0, low=1.0, high=1.0)
    """
    whole = statistic(np.ones(len(users)))
    if np.isnan(whole):
        return None
    rows = {user: row for row, user in enumerate(dict.fromkeys(users))}
    row = np.array([rows[user] for user in users])
    draw = np.random.default_rng(seed)
    found = np.empty(resamples)
    for number in range(resamples):
        counts = np.bincount(draw.integers(0, len(rows), len(rows)), minlength=len(rows)).astype(np.float64)
        found[number] = statistic(counts[row])
    low, high = np.nanquantile(found, [(1.0 - confidence) / 2.0, (1.0 + confidence) / 2.0])
    return Interval(mean=whole, low=float(low), high=float(high))


def _by_score(
    scores: Sequence[float] | _Floats, labels: Sequence[bool] | _Bools, weights: _Floats | None
) -> tuple[_Floats, _Floats]:
    """The weight of positives and of negatives at each distinct score, lowest first."""
    values, flags = np.asarray(scores, dtype=np.float64), np.asarray(labels, dtype=bool)
    if values.shape != flags.shape:
        message = f"labels: {flags.size} for {values.size} scores; must be as many"
        raise ValueError(message)
    weight = np.ones(values.shape) if weights is None else weights
    _, place = np.unique(values, return_inverse=True)
    count = int(place.max()) + 1 if place.size else 0
    positives: _Floats = np.bincount(place, weights=weight * flags, minlength=count).astype(np.float64)
    negatives: _Floats = np.bincount(place, weights=weight * ~flags, minlength=count).astype(np.float64)
    return positives, negatives
