"""How far two orders of the same things agree. Knows nothing about where the scores come from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def spearman(left: Sequence[float], right: Sequence[float]) -> float:
    """Spearman's rank correlation; equal scores share their mean rank.

    Returns:
        A number in [-1, 1]; 0 where one side gives everything the same score, which says nothing.

    Raises:
        ValueError: the two differ in length.

    Example:
        One pair of neighbours swapped among three, 1 - 6 x 2 / (3 x 8):

        >>> round(spearman([1.0, 2.0, 3.0], [1.0, 3.0, 2.0]), 6)
        0.5
    """
    if len(left) != len(right):
        message = f"left: {len(left)} scores, right: {len(right)}; must be as many"
        raise ValueError(message)
    one, other = _centred_ranks(left), _centred_ranks(right)
    size = float(np.sqrt((one @ one) * (other @ other)))
    return float(one @ other) / size if size else 0.0


def overlap(left: Sequence[float], right: Sequence[float], count: int) -> float:
    """The share of the first `count` by one score that are among the first `count` by the other; of equal ones the earlier.

    Example:
        >>> overlap([9.0, 8.0, 1.0, 0.0], [9.0, 0.0, 8.0, 1.0], 2)
        0.5
    """
    few = min(count, len(left))
    if not few:
        return 0.0
    first = [set(np.argsort(-np.asarray(scores, dtype=np.float64), kind="stable")[:few].tolist()) for scores in (left, right)]
    return len(first[0] & first[1]) / few


def _centred_ranks(scores: Sequence[float]) -> NDArray[np.float64]:
    values = np.asarray(scores, dtype=np.float64)
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    ranks: NDArray[np.float64] = (ends - (counts + 1) / 2.0)[places]
    return ranks - ranks.mean() if len(ranks) else ranks
