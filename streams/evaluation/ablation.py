"""The ablation table: every checkpoint of a folder beside the baselines, ranked on the same cases and shown to the same users.

Knows nothing about how the checkpoints were trained; a variant's name is its folder's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from models.errors import CheckpointError
from models.evaluation.comparison import Comparison, compare
from models.evaluation.ranking import Report
from models.metrics import Interval
from models.serengpt.checkpoint import MANIFEST
from models.serengpt.engine import Engine
from streams.evaluation.questions import Questions, history_only
from streams.evaluation.table import JUDGED_BY, intervals

RANKED = ("HR@1", "HR@3", "HR@5", "HR@10", "NDCG@10", "MAP@10")
SHOWN = ("unique_titles", "categories_retrieved", "category_hit_rate", "new_categories", "slate_hit_rate", "coverage")
SHOWN_BY = ("unique_titles", "categories_retrieved", "category_hit_rate", "new_categories")  # papers.md 1.7, and what is new

Metrics = Mapping[str, Mapping[str, float]]


class Variant(NamedTuple):
    """A row of the table; `is_history_only`: it is asked without profile, as it was taught."""

    name: str
    engine: Engine
    is_history_only: bool

    def questions(self, asked: Questions) -> Questions:
        """What the variant is asked: the same cases as all others."""
        return history_only(asked) if self.is_history_only else asked


class Against(NamedTuple):
    """Every variant held against the reference, case by case: for the JSON, and in words."""

    rows: list[dict[str, Any]]
    verdicts: list[str]


def against(
    reports: Sequence[Report], users: Sequence[str], *, reference: str, judged_by: Sequence[str], seed: int
) -> Against:
    """The paired differences of all reports but the reference's, in every metric that is counted case by case.

    Args:
        reports: of the same cases in the same order.
        users: whose case it is.
        reference: the name of the report that the others are held against.
        judged_by: metrics of the verdicts.
        seed: of the resampling.
    """
    [held] = [one for one in reports if one.name == reference]
    found = [compare(one, held, users, seed=seed) for one in reports if one.name != reference]
    rows = [{"name": one.first, "differences": intervals(one.differences), "apart": one.apart} for one in found]
    return Against(rows, lines(found, judged_by))


def variants(folder: Path, *, reference: str | None, more: Sequence[tuple[str, Path]] = ()) -> list[tuple[str, Path]]:
    """The checkpoints of a folder by name, the reference first.

    Args:
        folder: holds one checkpoint per subfolder.
        more: checkpoints that lie elsewhere, with their names in the table.
        reference: the variant that the others are held against; None: the first by name.

    Raises:
        CheckpointError: there is no checkpoint, or not the reference.
    """
    found = {path.name: path for path in sorted(folder.iterdir()) if (path / MANIFEST).is_file()} | dict(more)
    if not found:
        message = f"{folder}: no subfolder holds a {MANIFEST}; an ablation needs at least 1 checkpoint"
        raise CheckpointError(message)
    first = reference or next(iter(found))
    if first not in found:
        message = f"{folder}: no checkpoint {first!r}; there are {', '.join(found)}"
        raise CheckpointError(message)
    return [(first, found.pop(first)), *found.items()]


def markdown(found: Mapping[str, Any]) -> str:
    """The table and its comparisons for a report; `found` is what the command's `--json` prints."""
    ranked = [(row["name"], row["metrics"]) for row in found["rankers"]]
    parts = [_head(found), "", *_table("ranker", RANKED, ranked, digits=3)]
    if found["slates"]:
        shown = [(row["name"], row["metrics"]) for row in found["slates"]]
        parts += ["", f"30 titles and a slate for each of {found['slate_cases']} cases:", ""]
        parts += _table("variant", SHOWN, shown, digits=3)
        parts += ["", f"Less {found['reference']}, case by case:", ""]
        rows = {row["name"]: row["differences"] for row in found["ranked_against_reference"]}
        for row in found["shown_against_reference"]:
            rows[row["name"]] = rows[row["name"]] | row["differences"]
        parts += _table("variant", (*JUDGED_BY, *SHOWN_BY), list(rows.items()), digits=3)
    parts += ["", *(f"- {line}" for line in found["verdicts"])]
    chosen = [row for row in found["rankers"] if row["chosen_on_validation"]]
    if chosen:
        parts += ["", "Chosen on the validation part:", ""]
        parts += [f"- {row['name']}: {row['chosen_on_validation']}" for row in chosen]
    return "\n".join(parts) + "\n"


def lines(comparisons: Sequence[Comparison], metrics: Sequence[str]) -> list[str]:
    """The verdicts of several comparisons in some metrics."""
    return [one.verdict(metric) for one in comparisons for metric in metrics]


def cell(interval: Mapping[str, float] | Interval, *, digits: int) -> str:
    """A mean with its bounds, short enough for a table.

    Example:
        >>> cell({"mean": 0.0881, "low": 0.0742, "high": 0.1031}, digits=3)
        '.088 [.074 .103]'
    """
    one = interval._asdict() if isinstance(interval, Interval) else interval
    mean, low, high = (_short(one[name], digits) for name in ("mean", "low", "high"))
    return f"{mean} [{low} {high}]"


def _short(value: float, digits: int) -> str:
    text = f"{value:.{digits}f}" if abs(value) < 1.0 else f"{value:.1f}"
    return text.replace("0.", ".", 1) if text.startswith(("0.", "-0.")) else text


def _head(found: Mapping[str, Any]) -> str:
    return (
        f"{found['log']}, {found['part']} part: {found['cases']} visit days of {found['users']} users, {found['right_items']} "
        f"right items, each among {found['negatives']} others; seed {found['seed']}; 95 % intervals over users"
    )


def _table(first: str, names: Sequence[str], rows: Sequence[tuple[str, Metrics]], *, digits: int) -> list[str]:
    shown = [name for name in names if any(name in metrics for _, metrics in rows)]
    head = [f"| {first} | {' | '.join(shown)} |", f"| --- |{' --- |' * len(shown)}"]
    body = [
        f"| {name} | {' | '.join(cell(metrics[one], digits=digits) if one in metrics else '' for one in shown)} |"
        for name, metrics in rows
    ]
    return head + body
