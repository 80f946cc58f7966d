"""Numbers by which rankings and slates are compared.

Knows nothing about models or logs. Ranks count from 1; every case has one item that is right (papers.md 1.8.1).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Interval(NamedTuple):
    """A mean and the bounds between which it lies with the chosen confidence."""

    mean: float
    low: float
    high: float


def hit(rank: int, k: int) -> float:
    """HR@K of one case: whether the right item is among the first k.

    >>> hit(3, 3), hit(4, 3)
    (1.0, 0.0)
    """
    return float(rank <= k)


def ndcg(rank: int, k: int) -> float:
    """NDCG@K of one case: 1 / log2(rank + 1) within the first k; the ideal is 1, so nothing is left to normalise.

    >>> ndcg(1, 10), ndcg(3, 10), ndcg(11, 10)
    (1.0, 0.5, 0.0)
    """
    return 1.0 / math.log2(rank + 1) if rank <= k else 0.0


def average_precision(rank: int, k: int) -> float:
    """MAP@K's term of one case: 1 / rank within the first k.

    >>> average_precision(4, 10), average_precision(4, 3)
    (0.25, 0.0)
    """
    return 1.0 / rank if rank <= k else 0.0


def rank_of(scores: Sequence[float] | NDArray[np.float64], right: int, draw: np.random.Generator) -> int:
    """The rank of one item among all by falling score; its place among equal scores is drawn.

    A model that gives everything the same score must not rank first by the order in which items happen to stand.

    Args:
        scores: one per item.
        right: position of the item.
        draw: the source of chance; used once per call, tie or no tie.

    >>> rank_of([0.1, 0.9, 0.5], 2, np.random.default_rng(0))
    2
    """
    values = np.asarray(scores, dtype=np.float64)
    better = int(np.count_nonzero(values > values[right]))
    equal = int(np.count_nonzero(values == values[right])) - 1
    return 1 + better + int(draw.integers(0, equal + 1))


def bootstrap(
    values: Sequence[float], users: Sequence[str], *, seed: int, resamples: int = 2_000, confidence: float = 0.95
) -> Interval:
    """The mean over cases, with a percentile interval from resampling whole users.

    Cases of one user are alike, so that resampling cases would claim more certainty than there is.

    Args:
        values: one per case.
        users: whose case it is.
        seed: the same seed gives the same interval.
        resamples: more steady the interval's last digit; 2,000 move it by about 2 % of its width.
        confidence: share of resampled means between the bounds.

    Raises:
        ValueError: there are no cases, or the two differ in length.

    >>> bootstrap([1.0, 1.0, 1.0], ["a", "a", "b"], seed=0)
    Interval(mean=1.0, low=1.0, high=1.0)
    """
    if not values or len(values) != len(users):
        message = f"values: {len(values)} for {len(users)} users; must be as many, and at least 1"
        raise ValueError(message)
    rows = {user: row for row, user in enumerate(dict.fromkeys(users))}
    row = np.array([rows[user] for user in users])
    sums = np.bincount(row, weights=np.asarray(values, dtype=np.float64))
    counts = np.bincount(row).astype(np.float64)
    draw = np.random.default_rng(seed)
    means = np.empty(resamples)
    for number in range(resamples):
        picked = draw.integers(0, len(rows), len(rows))
        means[number] = sums[picked].sum() / counts[picked].sum()
    low, high = np.quantile(means, [(1.0 - confidence) / 2.0, (1.0 + confidence) / 2.0])
    return Interval(mean=float(sums.sum() / counts.sum()), low=float(low), high=float(high))


def novelty(shown: Sequence[str], counts: Mapping[str, int]) -> float:
    """Mean self-information of the items shown, in bits: rare items say more. Items without a count count as one event.

    >>> novelty(["a", "b"], {"a": 2, "b": 1, "c": 1})
    1.5
    """
    total = sum(counts.values())
    if not shown or not total:
        return 0.0
    return sum(-math.log2(max(counts.get(item, 0), 1) / total) for item in shown) / len(shown)


def diversity(groups: Sequence[str]) -> float:
    """The probability that two different places of a slate hold different groups (leaf categories); 0 below two places.

    >>> diversity(["cup", "cup", "lamp"])
    0.6666666666666667
    """
    size = len(groups)
    if size < 2:
        return 0.0
    same = sum(count * (count - 1) for count in Counter(groups).values())
    return 1.0 - same / (size * (size - 1))


def coverage(shown: Sequence[Sequence[str]], catalogue_count: int) -> float:
    """Share of the catalogue that at least one slate shows.

    Raises:
        ValueError: the catalogue is empty.

    >>> coverage([["a", "b"], ["a"]], 4)
    0.5
    """
    if catalogue_count < 1:
        message = f"catalogue_count: {catalogue_count}, must be at least 1"
        raise ValueError(message)
    return len({item for slate in shown for item in slate}) / catalogue_count


def unexpected_ratio(shown: Sequence[str], seen: frozenset[str]) -> float:
    """Share of a slate's leaf categories' places that the visit-day window did not hold.

    >>> unexpected_ratio(["cup", "lamp"], frozenset({"cup"}))
    0.5
    """
    return sum(group not in seen for group in shown) / len(shown) if shown else 0.0
