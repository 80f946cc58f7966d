"""What a registry must know of a checkpoint before it may serve: ranking, novelty and diversity, each with intervals.

The three are kept apart because they can move against each other: an alignment that ranks better may have narrowed what is
said. The JSON of `seren evaluate gate --json` is what `seren models add --metrics` reads (`models.registry.gate.Metrics`),
with everything that was measured beside the three that decide:

    {"evaluation": {"name": "Online Retail", "log": SHA-256, "part": "validation", "seed": 0, "negatives": 99, "cases": 394,
                    "slates": 150, "asked": SHA-256, "tower": SHA-256, "engine": "torch ...", "prompt_version": 1},
     "checkpoint": SHA-256, "model_id": "...", "users": [0, 1, 0, ...],
     "ranking": {"name": "NDCG@10", "mean", "low", "high", "values": [...]},
     "novelty": {"name": "new_categories", ...}, "diversity": {"name": "categories_retrieved", ...},
     "details": {"ranking": {"HR@1": {"mean", "low", "high"}, "HR@3", ..., "MAP@10"},
                 "novelty": {"new_categories", "new_categories_ratio", "slate_new_ratio", "slate_bits"},
                 "diversity": {"unique_titles", "categories_retrieved", "category_hit_rate", "slate_categories",
                               "slate_hit_rate", "slate_diversity", "coverage", "gini"}}}

Every metric is better when higher, but `gini`, which is better when lower. Knows nothing about thresholds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import msgspec
from msgspec import Struct

from models.evaluation.ranking import Case, Report
from models.metrics import Interval
from models.registry.measured import Evaluation, Measured, Metrics, rounded

NOVELTY = ("new_categories", "new_categories_ratio", "slate_new_ratio", "slate_bits")
DIVERSITY = (
    "unique_titles",
    "categories_retrieved",
    "category_hit_rate",
    "slate_categories",
    "slate_hit_rate",
    "slate_diversity",
    "coverage",
    "gini",
)
# The three that decide. NDCG@10 looks at the whole upper end; categories count what titles find, so that thirty ways to say
# the same thing are no diversity; and those of them that the user has not seen are what Definition 1 calls new.
DECIDING = {"ranking": "NDCG@10", "novelty": "new_categories", "diversity": "categories_retrieved"}


class Bounds(Struct, frozen=True, kw_only=True):
    """An interval as JSON has it."""

    mean: float
    low: float
    high: float


class GateMetrics(Metrics, frozen=True, kw_only=True):
    """A checkpoint's numbers on one part of one log."""

    details: dict[str, dict[str, Bounds]]


def gate_metrics(
    evaluation: Evaluation,
    *,
    checkpoint: str,
    ranked: Report,
    users: Sequence[str],
    shown: Mapping[str, Interval],
    values: Mapping[str, Sequence[float]],
) -> GateMetrics:
    """The numbers in the registry's form.

    Args:
        evaluation: what was measured on.
        checkpoint: the digest of its manifest.
        ranked: its ranking, under its model id.
        users: whose case each is; they become numbers.
        shown: metrics of its titles and slates.
        values: the deciding ones of them, by case.

    Raises:
        KeyError: a metric is missing.
    """
    found = {
        "ranking": dict(ranked.metrics),
        "novelty": {name: shown[name] for name in NOVELTY},
        "diversity": {name: shown[name] for name in DIVERSITY},
    }
    by_case = {**ranked.values, **values}
    decides = {
        group: Measured(name=name, **found[group][name]._asdict(), values=rounded(by_case[name]))
        for group, name in DECIDING.items()
    }
    numbers = {user: number for number, user in enumerate(dict.fromkeys(users))}
    return GateMetrics(
        evaluation=evaluation,
        checkpoint=checkpoint,
        model_id=ranked.name,
        users=tuple(numbers[user] for user in users),
        details={group: {name: Bounds(**one._asdict()) for name, one in metrics.items()} for group, metrics in found.items()},
        **decides,
    )


def asked_digest(cases: Sequence[Case]) -> str:
    """What tells cases apart from all others: who was asked when, with which profile, among which items, in order."""
    digest = hashlib.sha256()
    for case in cases:
        digest.update(msgspec.json.encode(case))
    return digest.hexdigest()
