"""What a registry must know of a checkpoint before it may serve: ranking, novelty and diversity, each with intervals.

The three are kept apart because they can move against each other: an alignment that ranks better may have narrowed what is
said. The JSON of `seren evaluate gate --json` is what `seren models add --metrics` reads (`models.registry.gate.Metrics`),
with everything that was measured beside the three that decide:

    {"evaluation": "Online Retail, validation part, 394 cases of 299 users, seed 0",
     "ranking": {"name": "NDCG@10", "mean", "low", "high"},
     "novelty": {"name": "new_categories", ...}, "diversity": {"name": "categories_retrieved", ...},
     "model_id": "...",
     "details": {"ranking": {"HR@1": {"mean", "low", "high"}, "HR@3", ..., "MAP@10"},
                 "novelty": {"new_categories", "new_categories_ratio", "slate_new_ratio", "slate_bits"},
                 "diversity": {"unique_titles", "categories_retrieved", "category_hit_rate", "slate_categories",
                               "slate_hit_rate", "slate_diversity", "coverage", "gini"}}}

Every metric is better when higher, but `gini`, which is better when lower. Knows nothing about thresholds.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from models.metrics import Interval
from models.registry.gate import Measured, Metrics

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

    model_id: str
    details: dict[str, dict[str, Bounds]]


def gate_metrics(
    evaluation: str, *, model_id: str, ranked: Mapping[str, Interval], shown: Mapping[str, Interval]
) -> GateMetrics:
    """The numbers in the registry's form.

    Args:
        evaluation: names log, part, cases and seed: only like compares.
        model_id: the checkpoint.
        ranked: metrics of its ranking.
        shown: metrics of its titles and slates.

    Raises:
        KeyError: a metric is missing.
    """
    found = {
        "ranking": dict(ranked),
        "novelty": {name: shown[name] for name in NOVELTY},
        "diversity": {name: shown[name] for name in DIVERSITY},
    }
    decides = {group: Measured(name=name, **found[group][name]._asdict()) for group, name in DECIDING.items()}
    details = {group: {name: Bounds(**one._asdict()) for name, one in metrics.items()} for group, metrics in found.items()}
    return GateMetrics(evaluation=evaluation, model_id=model_id, details=details, **decides)
