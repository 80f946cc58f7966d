"""Ranking: what turned out to be serendipitous among 99 items that are new to the user as well.

The protocol of papers.md 1.7 with the formulas of 1.8.1, made harder in one point: the others come from categories that the
user's window does not hold, so unexpectedness tells nothing and only what the user wants does. Every right item of a visit day
is ranked against the same 99, and a day counts once, with the mean over its right items: that is what drawing one of them
would give on average, without the noise of the draw. Knows nothing about how rankers score.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from functools import partial

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from models.catalogue import Catalogue
from models.entities import Digest, Exclusions, Request, Seen, fingerprint
from models.errors import RequestError
from models.metrics import Interval, average_precision, bootstrap_columns, hit, ndcg, rank_of
from models.training.samples import Sample

NEGATIVES = 99  # papers.md 1.7
CUTS = (1, 3, 5, 10)  # papers.md 1.7; at 1 the three formulas agree
METRICS: dict[str, Callable[[int], float]] = {
    f"{name}@{cut}": partial(formula, k=cut)
    for name, formula in (("HR", hit), ("NDCG", ndcg), ("MAP", average_precision))
    for cut in CUTS
}


class Case(Struct, frozen=True, kw_only=True):
    """One question: which of `items` did the user come to want? `right` are the answers' positions, at least one.

    `seen` is the user's visit-day window; the wrong items are of none of its categories.
    """

    user_id: str
    as_of_ms: int
    digest: Digest
    items: tuple[str, ...]
    right: tuple[int, ...]
    seen: Seen = Seen()


def request_of(case: Case) -> Request:
    """The request that a visit at the case's time would have made.

    What the user owned by then is not in a case, so nothing is excluded.
    """
    return Request(
        user_id=case.user_id,
        surface="evaluation",
        reason="visit",
        as_of_ms=case.as_of_ms,
        epoch=0,
        partition=0,
        offset=0,
        digest=case.digest,
        seen=case.seen,
        exclusions=Exclusions(),
    )


class Report(Struct, frozen=True, kw_only=True):
    """How one ranker did on all cases: every metric's mean with its interval, and its value in each case, in order."""

    name: str
    metrics: dict[str, Interval]
    values: dict[str, list[float]]


def cases(
    samples: Iterable[Sample], *, catalogue: Catalogue, seed: int, limit: int | None, negatives: int = NEGATIVES
) -> list[Case]:
    """One case for every visit day on which something serendipitous was wanted, in order of time.

    The right items are the day's Definition-1 items. The others are drawn from the items whose leaf category is not in the
    window and that were not wanted that day. All draws depend on the seed, the user and the day alone, so a limit changes no
    case, only which ones there are.

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


def ranks(given: Sequence[Case], scores: Sequence[Sequence[float]], *, seed: int) -> list[tuple[int, ...]]:
    """The rank of each case's right items, each among itself and the wrong ones; its place among equal scores is drawn.

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
        found.append(_ranks(np.asarray(values, dtype=np.float64), case.right, draw))
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
    values = {metric: [sum(map(value, places)) / len(places) for places in found] for metric, value in METRICS.items()}
    return Report(name=name, metrics=bootstrap_columns(values, [case.user_id for case in given], seed=seed), values=values)


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
    others = [catalogue.at(int(row)).item_id for row in draw.choice(rows, negatives, replace=False)]
    items = [*sample.serendipitous, *others]
    # Mixed, so that a ranker which leans on the order of what it is asked gains nothing.
    order = draw.permutation(len(items))
    return Case(
        user_id=sample.user_id,
        as_of_ms=sample.as_of_ms,
        digest=sample.digest,
        items=tuple(items[place] for place in order),
        right=tuple(place for place, item in enumerate(order) if item < len(sample.serendipitous)),
        seen=sample.seen,
    )


def _ranks(values: NDArray[np.float64], right: Sequence[int], draw: np.random.Generator) -> tuple[int, ...]:
    wrong = np.delete(values, right)
    return tuple(rank_of(float(values[place]), wrong, draw) for place in right)
