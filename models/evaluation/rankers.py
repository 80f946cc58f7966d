"""What SerenGPT is compared with: simple rankers that anyone could have built, and the trained tower.

Knows nothing about cases' right answers. Each gives one number per item of each case, higher is better.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from models.catalogue import Catalogue
from models.category_rule import affinities, departments_of
from models.entities import fingerprint
from models.evaluation.ranking import Case
from models.retrieval.retriever import Retriever
from models.retrieval.vectors import cosines
from models.training.samples import Sample

Scores = list[list[float]]


def popularity_counts(samples: Iterable[Sample], *, since_ms: int = 0) -> Counter[str]:
    """On how many visit days from `since_ms` on each item was wanted."""
    counts: Counter[str] = Counter()
    for sample in samples:
        if sample.as_of_ms >= since_ms:
            counts.update(sample.serendipitous)
            counts.update(sample.others)
    return counts


def by_popularity(given: Sequence[Case], counts: Mapping[str, int]) -> Scores:
    """The same order for everyone: what most wanted."""
    return [[float(counts.get(item_id, 0)) for item_id in case.items] for case in given]


def by_tower(given: Sequence[Case], retriever: Retriever, *, decay: float) -> Scores:
    """The cosine of an item with the user's recent history."""
    scores = []
    for case in given:
        user = retriever.user_vector(case.digest, decay=decay)
        vectors = np.stack([retriever.vector(item_id, "") for item_id in case.items])
        scores.append([float(value) for value in cosines(user[None, :], vectors)[0]])
    return scores


def by_category(given: Sequence[Case], catalogue: Catalogue) -> Scores:
    """The category rule: how much of the user's past is in the item's leaf category and in its department."""
    departments = departments_of(catalogue)
    return [
        affinities(case.digest, [catalogue.at(catalogue.index(item_id)) for item_id in case.items], departments=departments)
        for case in given
    ]


def unseen_first(given: Sequence[Case], scores: Scores, catalogue: Catalogue) -> Scores:
    """The same scores, with all items of categories that the user's window holds behind all others, in equal terms."""
    return [
        [-math.inf if _is_seen(case, item_id, catalogue) else value for item_id, value in zip(case.items, values, strict=True)]
        for case, values in zip(given, scores, strict=True)
    ]


def _is_seen(case: Case, item_id: str, catalogue: Catalogue) -> bool:
    return fingerprint(catalogue.at(catalogue.index(item_id)).leaf) in case.seen.categories


def by_chance(given: Sequence[Case], *, seed: int) -> Scores:
    """Drawn anew for every item."""
    draw = np.random.default_rng(seed)
    return [[float(value) for value in draw.random(len(case.items))] for case in given]
