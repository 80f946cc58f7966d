"""Measured numbers with what they mean."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One number: the median of its runs."""

    name: str
    unit: str
    what: str
    n: int
    runs: tuple[float, ...]

    @property
    def value(self) -> float:
        """The median of the runs."""
        return median(self.runs)


@dataclass(frozen=True)
class Meaning:
    """What a number stands for, before it is measured."""

    unit: str
    what: str


def repeated(
    measure: Callable[[], Mapping[str, float]], meanings: Mapping[str, Meaning], *, n: int, runs: int
) -> list[Figure]:
    """Measures `runs` times.

    Args:
        measure: one run; gives a value for every name in `meanings`.
        meanings: of the names.
        n: how many events, reads or requests one run covers.
        runs: how often.
    """
    found = [measure() for _ in range(runs)]
    return [
        Figure(name=name, unit=meaning.unit, what=meaning.what, n=n, runs=tuple(run[name] for run in found))
        for name, meaning in meanings.items()
    ]


def quantile(values: Sequence[float], share: float) -> float:
    """The value at `share` of the sorted values, by nearest rank.

    Example:
        >>> quantile([3.0, 1.0, 2.0, 4.0], 0.5), quantile([3.0, 1.0, 2.0, 4.0], 0.99)
        (2.0, 4.0)
    """
    ordered = sorted(values)
    rank = max(1, -int(-share * len(ordered) // 1))
    return ordered[min(rank, len(ordered)) - 1]
