"""A title's probability shared out among the products that bear it.

SerenGPT knows an item by its title. Where several products bear one title (a grocer's "yogurt, 6 oz" is 120 of them), the
title's probability is that of all of them together, and a single product's is its share of it:

    p(item | user) = p(title | user) * (wants(item) + s) / sum over the title's items of (wants + s)

Without it every "yogurt, 6 oz" ranks as if it were all yogurt. Where titles are unique, every share is 1. Knows nothing about
engines or users.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

SMOOTHING = (
    1.0  # wants that every product is given, so that a new one has a share; 0.1 ranks alike, 10 worse (Complete Journey)
)


def log_shares(titles: Sequence[str], wants: Mapping[int, float], *, smoothing: float = SMOOTHING) -> NDArray[np.float64]:
    """The logarithm of each item's share of its title's probability; at most 0.

    Args:
        titles: of all items of a catalogue, by row.
        wants: on how many days each row was wanted; rows that nobody wanted may be missing.
        smoothing: wants added to each.

    Raises:
        ValueError: smoothing is not above 0, so that a share could be 0 of 0.

    Example:
        Two kinds of yogurt, of which one was wanted twice, and a mug:

        >>> np.exp(log_shares(["yogurt", "mug", "yogurt"], {0: 2.0, 1: 9.0})).round(2).tolist()
        [0.75, 1.0, 0.25]
    """
    if smoothing <= 0.0:
        message = f"smoothing: {smoothing}, must be above 0"
        raise ValueError(message)
    numbers = {title: number for number, title in enumerate(dict.fromkeys(titles))}
    kinds = np.array([numbers[title] for title in titles])
    weights = np.array([wants.get(row, 0.0) + smoothing for row in range(len(titles))])
    shares: NDArray[np.float64] = np.log(weights / np.bincount(kinds, weights=weights)[kinds])
    return shares
