"""Two rankers on the same cases: by how much one is ahead, and whether that could be chance.

Knows nothing about rankers. The difference is taken case by case and users are resampled, so what both find hard cancels out:
two intervals may overlap and the difference still be clear.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from models.evaluation.ranking import Report
from models.metrics import Interval, bootstrap_columns


class Comparison(Struct, frozen=True, kw_only=True):
    """`differences`: by metric, the first ranker's mean less the second's, with its interval over users.

    `apart`: by metric, whether the two rankers' own intervals do not even touch, the first above the second.
    """

    first: str
    second: str
    differences: dict[str, Interval]
    apart: dict[str, bool]

    def verdict(self, metric: str) -> str:
        """One line that says who is ahead, if anyone can be said to be.

        Raises:
            KeyError: the metric was not compared.
        """
        difference = self.differences[metric]
        word = "not distinguishable from"
        if difference.low > 0.0:
            word = "ahead of"
        elif difference.high < 0.0:
            word = "behind"
        bounds = f"{difference.mean:+.3f} [{difference.low:+.3f} {difference.high:+.3f}]"
        clear = ", intervals do not overlap" if self.apart[metric] else ""
        return f"{self.first} {metric} is {word} {self.second}: {bounds}{clear}"


def compare(first: Report, second: Report, users: Sequence[str], *, seed: int) -> Comparison:
    """The first ranker against the second, in every metric that both have.

    Args:
        first: its values are by case, in the same order as the second's.
        second: who it is held against.
        users: whose case it is.
        seed: of the resampling.

    Raises:
        ValueError: the two have no metric in common, or not as many cases.
    """
    shared = [metric for metric in first.values if metric in second.values]
    if not shared:
        message = f"{first.name} and {second.name} have no metric in common; at least 1 is compared"
        raise ValueError(message)
    columns = {
        metric: [one - other for one, other in zip(first.values[metric], second.values[metric], strict=True)]
        for metric in shared
    }
    return Comparison(
        first=first.name,
        second=second.name,
        differences=bootstrap_columns(columns, users, seed=seed),
        apart={metric: first.metrics[metric].low > second.metrics[metric].high for metric in shared},
    )


def best(reports: Sequence[Report], metric: str) -> Report:
    """The report with the highest mean; of equal ones the first.

    Raises:
        ValueError: there is none.
    """
    if not reports:
        message = "reports: 0, must be at least 1"
        raise ValueError(message)
    return max(reports, key=lambda one: one.metrics[metric].mean)
