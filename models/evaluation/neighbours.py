"""Item-kNN: items that were wanted together are alike; whoever wanted one is offered the other.

    like(i, j) = together(i, j) / (sqrt(days(i) days(j)) + shrinkage)
    score(j) = sum over the history, newest first, of decay^age like(i, j)

Knows nothing about titles, profiles or cases' right answers. Source: Sarwar et al. 2001 (cosine of co-occurrence); the
shrinkage damps pairs that rest on a few days.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from models.catalogue import Catalogue
from models.evaluation.past import Rows, wanted_rows
from models.training.samples import Sample

Together = Literal["day", "user"]


@dataclass(frozen=True, kw_only=True)
class NeighbourPlan:
    """What validation chooses among; see `PLANS`."""

    together: Together = "day"  # wanted together on one visit day, or ever by one user
    shrinkage: float = 10.0  # days (or users) added below the line
    decay: float = 1.0  # weight of a behaviour against the next newer one
    history: int = 50  # newest behaviours that count


PLANS = tuple(
    NeighbourPlan(together=together, shrinkage=shrinkage, decay=decay, history=history)
    for together in ("day", "user")
    for shrinkage in (0.0, 10.0, 50.0)
    for decay, history in ((1.0, 20), (0.95, 50))
)


class Neighbours:
    """How often items were wanted together, kept as sets; a pair's likeness is counted when it is first asked for.

    Args:
        samples: that may teach; more can be learnt later.
        catalogue: gives the rows.
        together: what makes a set.
    """

    def __init__(self, samples: Iterable[Sample], catalogue: Catalogue, *, together: Together) -> None:
        self._together_in = together
        self._catalogue = catalogue
        self._size = len(catalogue)
        self._numbers: dict[tuple[str, int], int] = {}
        self._sets: list[Rows] = []
        self._of: defaultdict[int, list[int]] = defaultdict(list)
        self._counts = np.zeros(self._size)
        self._kept: dict[int, tuple[Rows, NDArray[np.float32]]] = {}
        self.learn(samples)

    def learn(self, samples: Iterable[Sample]) -> None:
        """Count more samples; in any portions they come to the same."""
        sets: defaultdict[tuple[str, int], set[int]] = defaultdict(set)
        for sample in samples:
            key = (sample.user_id, sample.as_of_ms if self._together_in == "day" else 0)
            sets[key].update(wanted_rows(sample, self._catalogue))
        for key, rows in sets.items():
            number = self._numbers.setdefault(key, len(self._sets))
            if number == len(self._sets):
                self._sets.append(np.zeros(0, dtype=np.int64))
            new = np.setdiff1d(np.array(sorted(rows), dtype=np.int64), self._sets[number])
            self._sets[number] = np.concatenate((self._sets[number], new))
            self._counts[new] += 1.0
            for row in new.tolist():
                self._of[row].append(number)
        self._kept.clear()

    def scores(self, history: Rows, items: Rows, plan: NeighbourPlan) -> list[float]:
        """One number per item: how alike it is to what the user wanted lately."""
        recent = history[-plan.history :].tolist()
        total = np.zeros(self._size)
        for age, row in enumerate(reversed(recent)):
            others, times = self._together(row)
            below = np.sqrt(self._counts[row] * self._counts[others]) + plan.shrinkage
            total[others] += plan.decay**age * times / below
        return [float(value) for value in total[items]]

    def _together(self, row: int) -> tuple[Rows, NDArray[np.float32]]:
        """The rows that were wanted together with a row, and how often; nothing for a row that nobody wanted."""
        if row not in self._kept:
            sets = [self._sets[number] for number in self._of.get(row, ())]
            times = np.bincount(np.concatenate(sets), minlength=self._size) if sets else np.zeros(self._size, dtype=np.int64)
            times[row] = 0
            others = np.flatnonzero(times)
            self._kept[row] = (others, times[others].astype(np.float32))
        return self._kept[row]


def by_neighbours(found: Neighbours, past: Sequence[Rows], items: Sequence[Rows], plan: NeighbourPlan) -> list[list[float]]:
    """The scores of each case's items, given what its user wanted before."""
    return [found.scores(history, rows, plan) for history, rows in zip(past, items, strict=True)]
