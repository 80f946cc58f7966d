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


def rank_of(score: float, others: Sequence[float] | NDArray[np.float64], draw: np.random.Generator) -> int:
    """The rank of one item among others by falling score; its place among equal scores is drawn.

    A model that gives everything the same score must not rank first by the order in which items happen to stand.

    Args:
        score: the item's.
        others: the scores that it is held against, without its own.
        draw: the source of chance; used once per call, tie or no tie.

    >>> rank_of(0.5, [0.1, 0.9], np.random.default_rng(0))
    2
    """
    values = np.asarray(others, dtype=np.float64)
    better = int(np.count_nonzero(values > score))
    equal = int(np.count_nonzero(values == score))
    return 1 + better + int(draw.integers(0, equal + 1))


def bootstrap(
    values: Sequence[float], users: Sequence[str], *, seed: int, resamples: int = 2_000, confidence: float = 0.95
) -> Interval:
    """The mean over cases, with a percentile interval from resampling whole users; see `bootstrap_columns`.

    Raises:
        ValueError: there are no cases, or the two differ in length.

    >>> bootstrap([1.0, 1.0, 1.0], ["a", "a", "b"], seed=0)
    Interval(mean=1.0, low=1.0, high=1.0)
    """
    [interval] = bootstrap_columns({"values": values}, users, seed=seed, resamples=resamples, confidence=confidence).values()
    return interval


def bootstrap_columns(
    columns: Mapping[str, Sequence[float]],
    users: Sequence[str],
    *,
    seed: int,
    resamples: int = 2_000,
    confidence: float = 0.95,
) -> dict[str, Interval]:
    """Several measurements of the same cases, each with its mean and a percentile interval from resampling whole users.

    Cases of one user are alike, so that resampling cases would claim more certainty than there is. All columns see the same
    resamples, and so do all calls with one seed and the same users: what is compared is resampled together.

    Args:
        columns: by name one value per case.
        users: whose case it is.
        seed: the same seed gives the same intervals.
        resamples: more steady the intervals' last digit; 2,000 move it by about 2 % of the width.
        confidence: share of resampled means between the bounds.

    Raises:
        ValueError: there are no cases, or a column differs in length.
    """
    for name, values in columns.items():
        if not values or len(values) != len(users):
            message = f"{name}: {len(values)} for {len(users)} users; must be as many, and at least 1"
            raise ValueError(message)
    rows = {user: row for row, user in enumerate(dict.fromkeys(users))}
    row = np.array([rows[user] for user in users])
    # One column more than asked for: the counts, which resample along with the sums.
    sums = np.stack([*(np.bincount(row, weights=np.asarray(values)) for values in columns.values()), np.bincount(row)], axis=1)
    draw = np.random.default_rng(seed)
    drawn = np.stack([_resampled(sums, draw) for _ in range(resamples)])
    bounds = np.quantile(drawn[:, :-1] / drawn[:, -1:], [(1.0 - confidence) / 2.0, (1.0 + confidence) / 2.0], axis=0)
    means = sums[:, :-1].sum(axis=0) / len(users)
    return {
        name: Interval(mean=float(mean), low=float(low), high=float(high))
        for name, mean, low, high in zip(columns, means, *bounds, strict=True)
    }


def _resampled(sums: NDArray[np.float64], draw: np.random.Generator) -> NDArray[np.float64]:
    """The columns' totals over as many users as there are, drawn with return."""
    times = np.bincount(draw.integers(0, len(sums), len(sums)), minlength=len(sums))
    totals: NDArray[np.float64] = times @ sums
    return totals


def gini(counts: Sequence[int]) -> float:
    """How unevenly places are spread over items: 0 where all have as many, near 1 where one has them all.

    With counts in rising order x_1..x_n: G = sum (2i - n - 1) x_i / (n sum x).

    Args:
        counts: places by item, the items without any included.

    Raises:
        ValueError: there is no place.

    >>> gini([2, 2, 2]), gini([0, 0, 0, 8])
    (0.0, 0.75)
    """
    total = sum(counts)
    if total < 1:
        message = f"counts: their sum is {total}, must be at least 1"
        raise ValueError(message)
    size = len(counts)
    return sum((2 * place - size - 1) * count for place, count in enumerate(sorted(counts), 1)) / (size * total)


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
