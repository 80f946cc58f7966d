"""Ranking: one item that turned out to be serendipitous among 99 that are new to the user as well.

The protocol of papers.md 1.7, made harder in one point: the others come from categories that the user's window does not hold,
so unexpectedness tells nothing and only what the user wants does. Knows nothing about how rankers score.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from models.catalogue import Catalogue
from models.entities import Digest, fingerprint
from models.errors import RequestError
from models.metrics import Interval, average_precision, bootstrap, hit, ndcg, rank_of
from models.training.samples import Sample

NEGATIVES = 99  # papers.md 1.7
METRICS: dict[str, Callable[[int], float]] = {
    "HR@1": partial(hit, k=1),
    "HR@5": partial(hit, k=5),
    "HR@10": partial(hit, k=10),
    "NDCG@10": partial(ndcg, k=10),
    "MAP@10": partial(average_precision, k=10),
}


class Case(Struct, frozen=True, kw_only=True):
    """One question: which of `items` did the user come to want? `right` is the answer's position."""

    user_id: str
    as_of_ms: int
    digest: Digest
    items: tuple[str, ...]
    right: int


class Report(NamedTuple):
    """How one ranker did on all cases."""

    name: str
    metrics: dict[str, Interval]


def cases(
    samples: Iterable[Sample], *, catalogue: Catalogue, seed: int, limit: int | None, negatives: int = NEGATIVES
) -> list[Case]:
    """One case for every visit day on which something serendipitous was wanted, in order of time.

    The right item is drawn from the day's Definition-1 items, so that a day with thirty of them counts once. The others are
    drawn from the items whose leaf category is not in the window and that were not wanted that day. All draws depend on the
    seed, the user and the day alone, so a limit changes no case, only which ones there are.

    Args:
        samples: of one part of the log.
        catalogue: where the others come from.
        seed: of all draws.
        limit: most cases, drawn evenly from all; None: all.
        negatives: others per case.

    Raises:
        RequestError: the catalogue has too few new items for some user.
    """
    days = [(_key(sample, seed), sample) for sample in samples if sample.serendipitous]
    if limit is not None:
        days = sorted(days, key=lambda day: day[0])[:limit]
    days.sort(key=lambda day: (day[1].as_of_ms, day[1].user_id))
    leaves = np.array([fingerprint(item.leaf) for item in catalogue.items], dtype=np.int64)
    return [_case(sample, np.random.default_rng(key), catalogue, leaves, negatives) for key, sample in days]


def ranks(given: Sequence[Case], scores: Sequence[Sequence[float]], *, seed: int) -> list[int]:
    """The right item's rank in each case; its place among equal scores is drawn.

    Args:
        given: the cases.
        scores: per case one number per item, higher is better.
        seed: of the draws.

    Raises:
        ValueError: a case has not as many scores as items.
    """
    draw = np.random.default_rng(seed)
    found = []
    for case, values in zip(given, scores, strict=True):
        if len(values) != len(case.items):
            message = f"scores: {len(values)} for {len(case.items)} items of user {case.user_id}; must be one each"
            raise ValueError(message)
        found.append(rank_of(values, case.right, draw))
    return found


def report(name: str, given: Sequence[Case], scores: Sequence[Sequence[float]], *, seed: int) -> Report:
    """Every metric's mean with its interval over users.

    Args:
        name: the ranker's.
        given: the cases.
        scores: per case one number per item, higher is better.
        seed: of ties and of the bootstrap.
    """
    found = ranks(given, scores, seed=seed)
    users = [case.user_id for case in given]
    return Report(
        name=name,
        metrics={metric: bootstrap([value(rank) for rank in found], users, seed=seed) for metric, value in METRICS.items()},
    )


def _key(sample: Sample, seed: int) -> int:
    text = f"{seed}|{sample.user_id}|{sample.as_of_ms}"
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def _case(sample: Sample, draw: np.random.Generator, catalogue: Catalogue, leaves: NDArray[np.int64], negatives: int) -> Case:
    new = ~np.isin(leaves, np.array(sample.seen.categories, dtype=np.int64))
    for item_id in (*sample.serendipitous, *sample.others):
        if item_id in catalogue:
            new[catalogue.index(item_id)] = False
    rows = np.flatnonzero(new)
    if len(rows) < negatives:
        message = f"user {sample.user_id}: {len(rows)} items of new categories; a case needs {negatives}"
        raise RequestError(message)
    right = sample.serendipitous[int(draw.integers(0, len(sample.serendipitous)))]
    others = [catalogue.at(int(row)).item_id for row in draw.choice(rows, negatives, replace=False)]
    place = int(draw.integers(0, negatives + 1))
    return Case(
        user_id=sample.user_id,
        as_of_ms=sample.as_of_ms,
        digest=sample.digest,
        items=(*others[:place], right, *others[place:]),
        right=place,
    )
