"""What a model would put before each user: how many different things, how new, and whether the right corner is there.

Two views. Of SerenGPT alone: its sampled titles and what retrieval finds for them (papers.md 1.7, "Diversity"). Of slates,
which any ranker can fill: how they spread over categories and over the catalogue. Knows nothing about logs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from models import metrics
from models.catalogue import Catalogue
from models.entities import fingerprint
from models.errors import SerenError
from models.evaluation.ranking import Case, request_of
from models.metrics import Interval, bootstrap_columns
from models.pipeline import ServePolicy, serve_batch
from models.retrieval import Retriever
from models.serengpt.engine import Engine, ImagineRequest, Scored, ScoreRequest

RESAMPLES = 500  # of coverage and Gini, which are of all slates at once and so are made anew each time


class Imagined(Struct, frozen=True, kw_only=True):
    """What SerenGPT said for one case: sampled titles, the leaf categories that retrieval found for them, and the slate."""

    titles: tuple[str, ...]
    categories: frozenset[str]
    slate: tuple[str, ...]


class _Overheard:
    """An engine that remembers the titles of its last call: a trace keeps only those that differ in words."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.model_id = engine.model_id
        self.prompt_version = engine.prompt_version
        self.titles: list[tuple[str, ...] | SerenError] = []

    def imagine(self, requests: Sequence[ImagineRequest]) -> list[tuple[str, ...] | SerenError]:
        self.titles = self._engine.imagine(requests)
        return self.titles

    def score(self, requests: Sequence[ScoreRequest]) -> list[tuple[Scored, ...] | SerenError]:
        return self._engine.score(requests)


def imagine(
    given: Sequence[Case], *, engine: Engine, retriever: Retriever, catalogue: Catalogue, policy: ServePolicy
) -> list[Imagined]:
    """What the whole judging walk makes of each case, as it would have been served on the eve.

    Args:
        given: a few cases, answered in one call of the engine.
        engine: SerenGPT.
        retriever: built from the catalogue.
        catalogue: what can be recommended.
        policy: of the walk.

    Raises:
        SerenError: the engine failed, wholly or for one case; an evaluation with holes would flatter it.
    """
    overheard = _Overheard(engine)
    requests = [request_of(case) for case in given]
    answers = serve_batch(requests, engine=overheard, retriever=retriever, catalogue=catalogue, policy=policy)
    found = []
    for titles, answer in zip(overheard.titles, answers, strict=True):
        if isinstance(answer, SerenError):
            raise answer
        if isinstance(titles, SerenError):
            raise titles
        leaves = frozenset(_leaf(catalogue, candidate.item_id) for candidate in answer.trace.candidates)
        found.append(Imagined(titles=titles, categories=leaves, slate=tuple(item.item_id for item in answer.items)))
    return found


def titles_metrics(given: Sequence[Case], said: Sequence[Imagined], catalogue: Catalogue, *, seed: int) -> dict[str, Interval]:
    """Of the sampled titles, means over cases with intervals over users; what is counted, `titles_values` says."""
    return bootstrap_columns(titles_values(given, said, catalogue), [case.user_id for case in given], seed=seed)


def titles_values(given: Sequence[Case], said: Sequence[Imagined], catalogue: Catalogue) -> dict[str, list[float]]:
    """Of the sampled titles, by metric one value per case.

    Returns:
        `unique_titles`: different strings among the samples. `categories_retrieved`: leaf categories of what they found.
        `category_hit_rate`: share of the right items whose leaf category is among those. `new_categories`: those of them that
        the user's window does not hold, and `new_categories_ratio`, their share.
    """
    new = [_new(case, one.categories) for case, one in zip(given, said, strict=True)]
    return {
        "unique_titles": [float(len(set(one.titles))) for one in said],
        "categories_retrieved": [float(len(one.categories)) for one in said],
        "category_hit_rate": [_hits(case, one.categories, catalogue) for case, one in zip(given, said, strict=True)],
        "new_categories": [float(count) for count in new],
        "new_categories_ratio": [count / max(1, len(one.categories)) for count, one in zip(new, said, strict=True)],
    }


def slates_metrics(
    given: Sequence[Case], slates: Sequence[Sequence[str]], catalogue: Catalogue, *, wants: dict[str, int], seed: int
) -> dict[str, Interval]:
    """Of whole slates, with intervals over users.

    Args:
        given: the cases.
        slates: of each, item ids, best first.
        catalogue: what could have been shown.
        wants: how often each item was wanted in the train part, for the self-information.
        seed: of the resampling.

    Returns:
        `slate_size`; `slate_categories`: different leaf categories; `slate_hit_rate`: share of the right items' leaf
        categories; `slate_recall`: share of the right items themselves; `slate_diversity`: chance that two places differ in
        leaf category; `slate_new_ratio`: share of places whose leaf category the window does not hold; `slate_bits`: mean
        self-information of the items; and over all slates at once `coverage` of the catalogue and the `gini` of places over
        items.
    """
    users = [case.user_id for case in given]
    rows = [np.array([catalogue.index(item_id) for item_id in slate], dtype=np.int64) for slate in slates]
    spread = {
        "coverage": _over_users(rows, users, lambda counts: np.count_nonzero(counts) / len(counts), len(catalogue), seed),
        "gini": _over_users(rows, users, lambda counts: metrics.gini(counts.tolist()), len(catalogue), seed),
    }
    return {**bootstrap_columns(slates_values(given, slates, catalogue, wants=wants), users, seed=seed), **spread}


def slates_values(
    given: Sequence[Case], slates: Sequence[Sequence[str]], catalogue: Catalogue, *, wants: dict[str, int]
) -> dict[str, list[float]]:
    """What of `slates_metrics` is said of each slate alone: by metric one value per case."""
    leaves = [[_leaf(catalogue, item_id) for item_id in slate] for slate in slates]
    pairs = list(zip(given, leaves, strict=True))
    return {
        "slate_size": [float(len(slate)) for slate in slates],
        "slate_categories": [float(len(set(names))) for names in leaves],
        "slate_hit_rate": [_hits(case, frozenset(names), catalogue) for case, names in pairs],
        "slate_recall": [_recall(case, slate) for case, slate in zip(given, slates, strict=True)],
        "slate_diversity": [metrics.diversity(names) for names in leaves],
        "slate_new_ratio": [sum(_is_new(case, name) for name in names) / max(1, len(names)) for case, names in pairs],
        "slate_bits": [metrics.novelty(slate, wants) for slate in slates],
    }


def _over_users(
    rows: Sequence[NDArray[np.int64]],
    users: Sequence[str],
    statistic: Callable[[NDArray[np.int64]], float],
    size: int,
    seed: int,
) -> Interval:
    """A number of all slates at once, with an interval from resampling whole users.

    A resample holds fewer different users, so coverage comes out lower in it than in the whole: the interval is moved by the
    difference between the middle of the resamples and the number itself.
    """
    order = {user: number for number, user in enumerate(dict.fromkeys(users))}
    by_user = np.zeros((len(order), size), dtype=np.int64)
    for user, shown in zip(users, rows, strict=True):
        np.add.at(by_user[order[user]], shown, 1)
    whole = statistic(by_user.sum(axis=0))
    draw = np.random.default_rng(seed)
    times = draw.multinomial(len(order), np.full(len(order), 1 / len(order)), size=RESAMPLES)
    drawn = np.array([statistic(one @ by_user) for one in times])
    low, middle, high = np.quantile(drawn, [0.025, 0.5, 0.975])
    return Interval(mean=float(whole), low=float(low - middle + whole), high=float(high - middle + whole))


def _leaf(catalogue: Catalogue, item_id: str) -> str:
    return catalogue.at(catalogue.index(item_id)).leaf


def _hits(case: Case, categories: frozenset[str], catalogue: Catalogue) -> float:
    return sum(_leaf(catalogue, case.items[place]) in categories for place in case.right) / len(case.right)


def _recall(case: Case, slate: Sequence[str]) -> float:
    shown = set(slate)
    return sum(case.items[place] in shown for place in case.right) / len(case.right)


def _new(case: Case, categories: frozenset[str]) -> int:
    return sum(_is_new(case, name) for name in categories)


def _is_new(case: Case, leaf: str) -> bool:
    return fingerprint(leaf) not in case.seen.categories
