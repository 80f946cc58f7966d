"""What a registry must know of a checkpoint before it may serve: ranking, novelty and diversity, each with intervals.

The three are kept apart because they can move against each other: an alignment that ranks better may have narrowed what is
said. The JSON is that of `seren evaluate gate --json`:

    {"model_id", "log", "part", "cases", "users", "seed",
     "ranking": {"HR@1": {"mean", "low", "high"}, "HR@3", ..., "MAP@10"},
     "novelty": {"new_categories", "new_categories_ratio", "slate_new_ratio", "slate_bits"},
     "diversity": {"unique_titles", "categories_retrieved", "category_hit_rate", "slate_categories", "slate_hit_rate",
                   "slate_diversity", "coverage", "gini"}}

Every metric is better when higher, but `gini`, which is better when lower. Knows nothing about thresholds.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from models.metrics import Interval

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
LOWER_IS_BETTER = frozenset({"gini"})


class Bounds(Struct, frozen=True, kw_only=True):
    """An interval as JSON has it."""

    mean: float
    low: float
    high: float


class GateMetrics(Struct, frozen=True, kw_only=True):
    """A checkpoint's numbers on one part of one log; read it with `msgspec.json.decode(text, type=GateMetrics)`."""

    model_id: str
    log: str
    part: str
    cases: int
    users: int
    seed: int
    ranking: dict[str, Bounds]
    novelty: dict[str, Bounds]
    diversity: dict[str, Bounds]


def bounds(metrics: Mapping[str, Interval], names: tuple[str, ...] | None = None) -> dict[str, Bounds]:
    """Intervals for the JSON, of some metrics or of all.

    Raises:
        KeyError: a name is not among the metrics.
    """
    return {name: Bounds(**metrics[name]._asdict()) for name in names or tuple(metrics)}
