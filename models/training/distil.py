"""Fits the distilled scorer to SerenGPT's own scores by weighted ridge regression: numpy alone, no gradients, one solution.

Two steps. The prior of a title is guessed from its words by a ridge over the titles that the teacher was asked about. Then
the log-odds of the aligned score are fitted by one ridge over all other columns. A row counts as far as the teacher found the
title plausible: whether nobody's title is worth e-15 or e-25 decides nothing, and would otherwise be most of the error.

People are split, not rows: a person whose digest was fitted is in no measurement. Knows nothing about logs, files or engines.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from models.distilled.features import (
    TITLE_BUCKETS,
    ItemSide,
    Matrix,
    Row,
    item_side,
    pair_features,
    person_side,
    title_buckets,
)
from models.distilled.scorer import PRIOR_SCALE, Weights, prior_features, prior_of, title_name
from models.entities import Digest, Item
from models.evaluation.orders import overlap, spearman
from models.retrieval.vectors import Tower
from models.serengpt.aligned import log_odds
from models.serengpt.engine import Scored

_ROWS_AT_ONCE = 4096  # of the design matrix: 1,150 columns of them are 19 MB
TOP = 10  # places of a slate that are compared


@dataclass(frozen=True, kw_only=True)
class DistilPlan:
    """How strongly each part is held back, and which rows count."""

    held_out: float = 0.2  # share of the people who are only measured on
    title_penalty: float = 3.0  # ridge of the prior from words, in rows
    penalty: float = 3.0  # ridge of the linear columns, in rows
    bilinear_penalty: float = 100.0  # of the part that crosses history and item, which has the most columns; 10 fitted noise
    directions: int = 32  # of the tower's space that are crossed: all 64 took sixteen times as long and agreed no better
    plausible: float = -6.0  # log-odds at which a row counts half: an aligned score of 0.0025
    floor: float = 0.02  # what the most implausible row counts
    vector_scale: float = 8.0  # makes the components of unit vectors of 64 dimensions about 1, as the other columns are


class Lesson(Struct, frozen=True, kw_only=True):
    """What the teacher said of some items for one person. `scored` is in the order of `items`."""

    user_id: str
    digest: Digest
    items: tuple[Item, ...]
    scored: tuple[Scored, ...]


class Agreement(Struct, frozen=True, kw_only=True):
    """How one ranker orders the items of people who were held out, against the teacher's order: means over people."""

    name: str
    spearman: float
    top: float  # share of the teacher's first `TOP` among the ranker's


def is_held_out(user_id: str, share: float) -> bool:
    """Whether a person is only measured on: the same people whatever the run."""
    return int.from_bytes(hashlib.blake2b(user_id.encode(), digest_size=4).digest(), "big") < share * 2**32


def fit(lessons: Sequence[Lesson], tower: Tower, *, plan: DistilPlan) -> Weights:
    """The weights that a ridge finds.

    Args:
        lessons: of the people who may be learned from.
        tower: whose space the vectors are in.
        plan: penalties and weights.

    Raises:
        ValueError: there is nothing to learn from.

    Cost: 20 s for 100,000 rows on one core.
    """
    if not any(lesson.items for lesson in lessons):
        message = "lessons: 0 scored items, must be at least 1"
        raise ValueError(message)
    weights = _without_pairs(_title_priors(lessons), tower, plan)
    sides = _Sides(tower)
    crossed = _directions([sides[item] for item in dict.fromkeys(item for one in lessons for item in one.items)], plan)
    solution = _ridge(lessons, sides, weights, crossed, plan)
    columns = np.cumsum([len(weights.prior), len(weights.pair), len(weights.item)])
    prior, pair, item, bilinear = np.split(solution, columns)
    square = crossed @ bilinear.reshape(crossed.shape[1], -1) @ crossed.T
    return weights._replace(
        prior=prior.astype(np.float32),
        pair=pair.astype(np.float32),
        item=(item * plan.vector_scale).astype(np.float32),
        bilinear=(square * plan.vector_scale).astype(np.float32),
    )


def agreements(lessons: Sequence[Lesson], rankers: Mapping[str, Callable[[Lesson], Sequence[float]]]) -> list[Agreement]:
    """How each ranker agrees with the teacher.

    Args:
        lessons: of people who were held out; those with fewer than two items say nothing.
        rankers: by name; one number an item of a lesson, higher is better.
    """
    asked = [lesson for lesson in lessons if len(lesson.items) > 1]
    truths = [[log_odds(one) for one in lesson.scored] for lesson in asked]
    found = []
    for name, rank in rankers.items():
        guesses = [rank(lesson) for lesson in asked]
        both = list(zip(guesses, truths, strict=True))
        found.append(
            Agreement(
                name=name,
                spearman=float(np.mean([spearman(guess, truth) for guess, truth in both])) if both else 0.0,
                top=float(np.mean([overlap(guess, truth, TOP) for guess, truth in both])) if both else 0.0,
            )
        )
    return found


class _Sides:
    """Items, prepared once."""

    def __init__(self, tower: Tower) -> None:
        self.tower = tower
        self._known: dict[Item, ItemSide] = {}

    def __getitem__(self, item: Item) -> ItemSide:
        if item not in self._known:
            self._known[item] = item_side(item, self.tower)
        return self._known[item]


def _title_priors(lessons: Iterable[Lesson]) -> dict[str, float]:
    """By title what it was worth to the teacher with nobody in mind."""
    return {item.title: one.prior_logprob for lesson in lessons for item, one in zip(lesson.items, lesson.scored, strict=True)}


def _without_pairs(priors: Mapping[str, float], tower: Tower, plan: DistilPlan) -> Weights:
    """Weights of the priors; all others are 0, in their shapes."""
    names = np.array([title_name(title) for title in priors], dtype=np.uint32)
    values = np.array(list(priors.values()))
    different, first = np.unique(names, return_index=True)
    empty = item_side(Item(item_id="-", title="-", category=("-",)), tower)
    columns = prior_features(np.zeros(1), 0).shape[1]
    pairs = pair_features(person_side(Digest(), tower), [empty]).shape[1]
    return Weights(
        title_names=different,
        title_priors=values[first].astype(np.float32),
        text_prior=_text_prior(list(priors), values, plan).astype(np.float32),
        prior=np.zeros(columns, dtype=np.float32),
        pair=np.zeros(2 * pairs, dtype=np.float32),
        item=np.zeros(tower.dimensions, dtype=np.float32),
        bilinear=np.zeros((tower.dimensions, tower.dimensions), dtype=np.float32),
    )


def _text_prior(titles: Sequence[str], values: Row, plan: DistilPlan) -> Row:
    """The mean prior, and what each hashed feature of a title adds; solved in the titles: they are fewer."""
    bags = np.zeros((len(titles), TITLE_BUCKETS), dtype=np.float32)
    for row, title in enumerate(titles):
        bags[row, list(title_buckets(title))] = 1.0
    mean = float(values.mean())
    products = (bags @ bags.T).astype(np.float64)
    products[np.diag_indices_from(products)] += plan.title_penalty
    return np.concatenate([[mean], bags.T @ np.linalg.solve(products, values - mean)])


def _directions(items: Sequence[ItemSide], plan: DistilPlan) -> Matrix:
    """The directions in which the items lie farthest apart. Shape: `(d, directions)`."""
    vectors = np.stack([item.vector for item in items])
    values, axes = np.linalg.eigh(vectors.T @ vectors)
    found: Matrix = axes[:, np.argsort(-values, kind="stable")[: plan.directions]]
    return found


def _ridge(lessons: Sequence[Lesson], sides: _Sides, weights: Weights, crossed: Matrix, plan: DistilPlan) -> Row:
    size = len(weights.prior) + len(weights.pair) + len(weights.item) + crossed.shape[1] ** 2
    products, targets = np.zeros((size, size), dtype=np.float64), np.zeros(size, dtype=np.float64)
    for columns, odds in _blocks(lessons, sides, weights, crossed, plan):
        counts = plan.floor + 1.0 / (1.0 + np.exp(plan.plausible - odds))
        weighted = columns * counts[:, None].astype(np.float32)
        products += columns.T @ weighted
        targets += weighted.T @ odds
    penalties: Row = np.full(size, plan.penalty, dtype=np.float64)
    penalties[size - crossed.shape[1] ** 2 :] = plan.bilinear_penalty
    products[np.diag_indices_from(products)] += penalties
    solution: Row = np.asarray(np.linalg.solve(products, targets), dtype=np.float64)
    return solution


def _blocks(
    lessons: Sequence[Lesson], sides: _Sides, weights: Weights, crossed: Matrix, plan: DistilPlan
) -> Iterator[tuple[NDArray[np.float32], Row]]:
    """The design matrix and the log-odds, some thousand rows at a time."""
    rows: list[Matrix] = []
    odds: list[float] = []
    for lesson in lessons:
        if lesson.items:
            rows.append(_columns(lesson, sides, weights, crossed, plan))
            odds.extend(log_odds(one) for one in lesson.scored)
        if len(odds) >= _ROWS_AT_ONCE:
            yield np.concatenate(rows).astype(np.float32), np.array(odds)
            rows, odds = [], []
    if odds:
        yield np.concatenate(rows).astype(np.float32), np.array(odds)


def _columns(lesson: Lesson, sides: _Sides, weights: Weights, crossed: Matrix, plan: DistilPlan) -> Matrix:
    """Prior, pair, pair times prior, item, and item times history, as `Weights` has them."""
    person = person_side(lesson.digest, sides.tower)
    items = [sides[item] for item in lesson.items]
    priors = np.array([prior_of(item.title, side, weights) for item, side in zip(lesson.items, items, strict=True)])
    pairs = pair_features(person, items)
    vectors = np.stack([side.vector for side in items]) * plan.vector_scale
    products = (person.vectors[0] @ crossed)[None, :, None] * (vectors @ crossed)[:, None, :]
    return np.column_stack(
        [
            prior_features(priors, len(person.history)),
            pairs,
            pairs * (priors / PRIOR_SCALE)[:, None],
            vectors,
            products.reshape(len(items), -1),
        ]
    )


def lessons_of(
    asked: Iterable[tuple[str, Digest, Sequence[tuple[Item, Scored]]]],
) -> list[Lesson]:
    """Lessons of people, those of one person and digest together, each item once, in the order of the items' ids."""
    together: defaultdict[tuple[str, Digest], dict[Item, Scored]] = defaultdict(dict)
    for user_id, digest, scored in asked:
        together[user_id, digest].update(scored)
    lessons = []
    for (user_id, digest), found in together.items():
        items = tuple(sorted(found, key=lambda item: item.item_id))
        lessons.append(Lesson(user_id=user_id, digest=digest, items=items, scored=tuple(found[item] for item in items)))
    return lessons
