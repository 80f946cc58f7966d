"""Ways to imagine titles, compared by what comes of them: served slates, what was retrieved, how varied the titles are.

The cases are those of the ranking; here the right items are looked for in the whole catalogue, not among a hundred. Knows
nothing about engines' runtimes, clocks or the command line.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from models.catalogue import Catalogue
from models.entities import fingerprint
from models.errors import SerenError
from models.evaluation.ranking import Case
from models.imagining import ImaginePolicy
from models.metrics import Interval, bootstrap_columns, hit, ndcg
from models.pipeline import Answer
from models.retrieval import distinct
from models.serengpt.tokens import clean

# Every way on its own, and the two that could help each other.
WAYS: dict[str, ImaginePolicy] = {
    "free": ImaginePolicy(),
    "best of twice as many": ImaginePolicy(sampled_ratio=2.0),
    "best of three times as many": ImaginePolicy(sampled_ratio=3.0),
    "within the catalogue": ImaginePolicy(is_within_catalogue=True),
    "within, distinct": ImaginePolicy(is_within_catalogue=True, is_distinct=True),
    "within, new categories": ImaginePolicy(is_within_catalogue=True, is_distinct=True, is_new_only=True),
    "within, new, best of twice": ImaginePolicy(
        is_within_catalogue=True, is_distinct=True, is_new_only=True, sampled_ratio=2.0
    ),
}
FREE = "free"
CHOICE_METRIC = "HR@50"  # of a whole slate: the share of a visit's right items that are on it


class Trial(NamedTuple):
    """What one way made of one case."""

    user_id: str
    values: dict[str, float]


class Report(NamedTuple):
    """A way's means, and how far each lies from the free way's, case by case."""

    name: str
    metrics: dict[str, Interval]
    gains: dict[str, Interval]


def tried(case: Case, answer: Answer | SerenError, *, catalogue: Catalogue, names: frozenset[str], ms: float) -> Trial:
    """The numbers of one answer.

    Args:
        case: that it answers.
        answer: of the way under test.
        catalogue: for the categories.
        names: the catalogue's titles, cleaned.
        ms: what the answer took.

    Raises:
        SerenError: the answer is an error; an evaluation with holes would flatter it.
    """
    if isinstance(answer, SerenError):
        raise answer
    places = {item.item_id: place for place, item in enumerate(answer.items, start=1)}
    right = [case.items[place] for place in case.right]
    ranks = [places.get(item_id, len(catalogue) + 1) for item_id in right]
    retrieved = {
        candidate.item_id: catalogue.at(catalogue.index(candidate.item_id)).leaf for candidate in answer.trace.candidates
    }
    titles = distinct(answer.trace.imagined)
    values = {
        "HR@10": _mean([hit(rank, 10) for rank in ranks]),
        "HR@50": _mean([hit(rank, 50) for rank in ranks]),
        "NDCG@50": _mean([ndcg(rank, 50) for rank in ranks]),
        "HR retrieved": _mean([float(item_id in retrieved) for item_id in right]),
        "different titles": float(len(titles)),
        "titles that exist": float(sum(clean(title) in names for title in titles)),
        "categories retrieved": float(len(set(retrieved.values()))),
        "new among retrieved": _mean([float(fingerprint(leaf) not in case.seen.categories) for leaf in retrieved.values()]),
        "ms": ms,
    }
    return Trial(case.user_id, values)


def report(trials: Mapping[str, Sequence[Trial]], *, seed: int) -> list[Report]:
    """Every way's means and its gains over the free way, with 95 % intervals over users.

    Args:
        trials: of every way on the same cases in the same order; the free way is among them.
        seed: of the bootstrap.
    """
    users = [trial.user_id for trial in trials[FREE]]
    free = _columns(trials[FREE])
    reports = []
    for name, found in trials.items():
        columns = _columns(found)
        gains = {
            metric: [one - other for one, other in zip(values, free[metric], strict=True)]
            for metric, values in columns.items()
        }
        reports.append(Report(name, bootstrap_columns(columns, users, seed=seed), bootstrap_columns(gains, users, seed=seed)))
    return reports


def best(reports: Sequence[Report]) -> str:
    """The way to take: the highest mean of the chosen metric among those whose gain is not chance, else the free way."""
    sure = [one for one in reports if one.gains[CHOICE_METRIC].low > 0.0]
    return max(sure, key=lambda one: one.metrics[CHOICE_METRIC].mean).name if sure else FREE


def _columns(trials: Sequence[Trial]) -> dict[str, list[float]]:
    return {name: [trial.values[name] for trial in trials] for name in trials[0].values}


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
