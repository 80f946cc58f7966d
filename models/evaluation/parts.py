"""Items that were not retrieved, scored by the formula that ranks slates: the parts are made for any item of any case.

Relevance is the likeness to the user's recent history (a slate's is made of the ranks of retrieval, which an item that was not
retrieved does not have); aligned and timeliness are those of slates. Unexpectedness is left out: all items of a case are of
categories that are new to its user. Knows nothing about who makes the parts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from models.evaluation.rankers import Scores
from models.serengpt.aligned import TITLES
from models.serengpt.engine import Scored

FLOOR = 0.001  # of every part: a ranking goes on below, where a slate would stop at 0

Logs = NDArray[np.float64]


class Weights(NamedTuple):
    """What each part counts for; a word that counts 0 is not asked for."""

    relevance: float = 0.0
    aligned: float = 0.0
    timeliness: float = 0.0


def log_part(values: ArrayLike) -> Logs:
    """The logarithm of a part, brought into [FLOOR, 1].

    >>> [round(float(value), 2) for value in log_part([1.5, 0.5, -0.2])]
    [0.0, -0.69, -6.91]
    """
    logs: Logs = np.log(np.clip(np.asarray(values, dtype=np.float64), FLOOR, 1.0))
    return logs


def log_aligned(scored: Sequence[Scored], *, prior_share: float) -> Logs:
    """The logarithm of `models.serengpt.aligned.aligned_score` of each title, for any share of the prior in its reference.

    At a share of 1 only what the profile adds is left, and nothing of what was popular when the model was trained.
    """
    logprobs = np.array([one.logprob for one in scored])
    priors = np.array([one.prior_logprob for one in scored])
    odds = logprobs - prior_share * priors + (1.0 - prior_share) * np.log(TITLES)
    return log_part(1.0 / (1.0 + np.exp(-odds)))


def product(weights: Weights, *, relevance: Sequence[Logs], aligned: Sequence[Logs], timeliness: Sequence[Logs]) -> Scores:
    """The logarithm of the parts' product, each to the power of its weight: the order of `models.combine` without a shift.

    Args:
        weights: of the parts.
        relevance: of each case's items; likewise the others.
        aligned: see above.
        timeliness: see above.
    """
    return [
        (weights.relevance * likes + weights.aligned * words + weights.timeliness * times).tolist()
        for likes, words, times in zip(relevance, aligned, timeliness, strict=True)
    ]
