"""A judge's figures on labelled asks: AUC, AP and kappa, each with its interval over users. Knows nothing about judges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from models.evaluation.agreement import auc, average_precision, kappa, over_users
from models.metrics import Interval


class Figures(NamedTuple):
    """None where a figure is not defined: one label alone, or one verdict for all (kappa)."""

    auc: Interval | None
    ap: Interval | None
    kappa: Interval | None


def figures(
    scores: Sequence[float], labels: Sequence[bool], users: Sequence[str], *, verdicts: Sequence[bool], seed: int
) -> Figures:
    """The figures of scores, and the kappa of verdicts.

    Args:
        scores: higher is more serendipitous.
        labels: what people said, or what was planted.
        users: whose case each is.
        verdicts: the scores as yes or no.
        seed: of the intervals.
    """
    return Figures(
        auc=over_users(lambda weights: auc(scores, labels, weights), users, seed=seed),
        ap=over_users(lambda weights: average_precision(scores, labels, weights), users, seed=seed),
        kappa=over_users(lambda weights: kappa(verdicts, labels, weights), users, seed=seed),
    )


def best_bound(scores: Sequence[float], labels: Sequence[bool]) -> float:
    """The score from which on "yes" agrees best with the labels by kappa; of equal ones the least.

    To be chosen on other cases than those that it is used on.

    Raises:
        ValueError: there are no scores.

    Example:
        >>> best_bound([0.1, 0.4, 0.6, 0.9], [False, False, True, True])
        0.6
    """
    if not len(scores):
        message = "scores: 0, must be at least 1"
        raise ValueError(message)
    values = np.asarray(scores, dtype=np.float64)
    bounds = np.unique(values)
    found = [kappa(values >= bound, labels) for bound in bounds]
    return float(bounds[int(np.argmax(np.nan_to_num(found, nan=-1.0)))])


def among(kinds: Sequence[str], wanted: str, against: str) -> list[int]:
    """Places of the positives and of one kind of negatives.

    >>> among(["wanted", "new", "seen"], "wanted", "seen")
    [0, 2]
    """
    return [place for place, kind in enumerate(kinds) if kind in (wanted, against)]


def as_json(found: Figures) -> Mapping[str, Mapping[str, float] | None]:
    """Rounded, for a report."""
    return {
        name: None if value is None else {key: round(one, 4) for key, one in value._asdict().items()}
        for name, value in found._asdict().items()
    }
