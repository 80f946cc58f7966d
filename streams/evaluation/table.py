"""The table of a ranking: every row measured on the same cases, and the comparisons that matter.

The JSON of `seren evaluate ranking --json`, where an interval is `{"mean", "low", "high"}`:

    {"log", "part", "cases", "users", "right_items", "negatives", "seed",
     "rankers": [{"name", "is_baseline", "chosen_on_validation", "model_id", "metrics": {"HR@1": interval, ...}}],
     "comparisons": [{"first", "second", "differences": {"HR@1": interval, ...}, "apart": {"HR@1": false, ...}}],
     "verdicts": ["...", ...]}

Metrics are HR, NDCG and MAP at 1, 3, 5 and 10; intervals 95 %, over users. Knows nothing about how rows are shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Struct, to_builtins

from models.evaluation.comparison import Comparison, best, compare
from models.evaluation.ranking import NEGATIVES, Report, report
from models.metrics import Interval
from streams.evaluation.questions import Asked
from streams.evaluation.rankers import Ranked

JUDGED_BY = ("HR@1", "HR@10", "NDCG@10")  # the aim is to be first in the first two; the third looks between them
DIGITS = 4


class Row(Struct, frozen=True, kw_only=True):
    """One measured ranker."""

    name: str
    is_baseline: bool
    chosen_on_validation: str
    model_id: str | None
    metrics: dict[str, Interval]


class Table(Struct, frozen=True, kw_only=True):
    """All rows, and each challenger against the best baseline of each metric that counts."""

    rows: tuple[Row, ...]
    comparisons: tuple[Comparison, ...]
    verdicts: tuple[str, ...]


def measure(ranked: Sequence[Ranked], asked: Asked, *, seed: int) -> Table:
    """The rows on the reported cases.

    Args:
        ranked: the rankers' scores.
        asked: the cases.
        seed: of ties and of the resampling.
    """
    reports = [report(one.name, asked.cases, one.scores, seed=seed) for one in ranked]
    comparisons, verdicts = _comparisons(ranked, reports, asked.users, seed=seed)
    return Table(
        rows=tuple(_row(one, found) for one, found in zip(ranked, reports, strict=True)),
        comparisons=comparisons,
        verdicts=verdicts,
    )


def outcome(table: Table, asked: Asked, *, log: str, part: str, seed: int) -> dict[str, Any]:
    """What `--json` prints."""
    return {
        "log": log,
        "part": part,
        "cases": len(asked.cases),
        "users": len(set(asked.users)),
        "right_items": sum(len(case.right) for case in asked.cases),
        "negatives": NEGATIVES,
        "seed": seed,
        "rankers": [{**to_builtins(row), "metrics": intervals(row.metrics)} for row in table.rows],
        "comparisons": [
            {"first": one.first, "second": one.second, "differences": intervals(one.differences), "apart": one.apart}
            for one in table.comparisons
        ],
        "verdicts": list(table.verdicts),
    }


def intervals(metrics: dict[str, Interval]) -> dict[str, dict[str, float]]:
    """Means and bounds by metric and name, cut to the digits that the resampling can tell."""
    return {
        metric: {name: round(value, DIGITS) for name, value in interval._asdict().items()}
        for metric, interval in metrics.items()
    }


def _row(one: Ranked, found: Report) -> Row:
    return Row(
        name=one.name,
        is_baseline=one.is_baseline,
        chosen_on_validation=one.chosen,
        model_id=one.model_id,
        metrics=found.metrics,
    )


def _comparisons(
    ranked: Sequence[Ranked], reports: Sequence[Report], users: Sequence[str], *, seed: int
) -> tuple[tuple[Comparison, ...], tuple[str, ...]]:
    """Every challenger against every baseline; verdicts against the best baseline of each metric."""
    baselines = [found for one, found in zip(ranked, reports, strict=True) if one.is_baseline]
    challengers = [found for one, found in zip(ranked, reports, strict=True) if not one.is_baseline]
    found = {
        (first.name, second.name): compare(first, second, users, seed=seed) for first in challengers for second in baselines
    }
    verdicts = [
        found[first.name, best(baselines, metric).name].verdict(metric)
        for first in challengers
        for metric in JUDGED_BY
        if baselines
    ]
    return tuple(found.values()), tuple(verdicts)
