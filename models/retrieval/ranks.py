"""The first few of many scores, with ties broken the same way everywhere.

Knows nothing about what is ranked. Scores are integers: what could differ in a last bit has been rounded away before.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Hit(NamedTuple):
    """One row that was found, and how well it fits on its channel's own scale."""

    row: int
    score: float


def best(units: NDArray[np.int64], *, limit: int, unit: float) -> list[Hit]:
    """The rows with the highest scores above zero, best first; of equal ones the lower row first.

    Args:
        units: one score per row, in whole units.
        limit: most rows to give.
        unit: what one unit is worth; scores are given back in it.

    >>> import numpy
    >>> best(numpy.array([3, 0, 5, 5]), limit=3, unit=0.5)
    [Hit(row=2, score=2.5), Hit(row=3, score=2.5), Hit(row=0, score=1.5)]
    """
    count = units.shape[0]
    # One distinct key per row: which of several equal rows a partial sort keeps would depend on the processor.
    keys = units * count + np.arange(count - 1, -1, -1)
    if limit < count:
        rows = np.argpartition(keys, count - limit)[count - limit :]
        rows = rows[np.argsort(keys[rows])[::-1]]
    else:
        rows = np.argsort(keys)[::-1]
    scores = np.round(units[rows] * unit, 6)
    return [Hit(row, score) for row, score in zip(rows.tolist(), scores.tolist(), strict=True) if score > 0.0]
