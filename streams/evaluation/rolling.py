"""A table in which time goes on: every case is answered by what a service would have had on the morning of its day.

SerenGPT by the newest of several dated checkpoints, baselines by counts up to the eve: nothing sees the day or later ones.
Knows nothing about training.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from rich.console import Console

from models.catalogue import Catalogue
from models.evaluation.choice import choose
from models.evaluation.neighbours import PLANS, NeighbourPlan, Neighbours
from models.evaluation.rankers import Scores
from models.profiles.policy import DAY_MS
from models.serengpt.engine import Scored
from models.training.samples import Sample
from streams.engines.named import LoadedEngine
from streams.evaluation.blends import with_season
from streams.evaluation.checkpoints import Said, scored_cases
from streams.evaluation.kept import KeptScores
from streams.evaluation.questions import Asked, Questions
from streams.evaluation.rankers import EVE, Ranked, named
from streams.training.refreshing import Dated, newest_before

KNN_EVE = "item-kNN on the eve"


class DatedAnswers(NamedTuple):
    """What dated checkpoints said, and who they were."""

    model_ids: tuple[str, ...]
    said: Said


def ask_dated(
    dated: Sequence[Dated],
    load: Callable[[Path], LoadedEngine],
    questions: Questions,
    *,
    kept: KeptScores | None,
    console: Console,
) -> DatedAnswers:
    """Every title of every case, scored by the newest checkpoint that saw nothing of the case's day or later.

    Args:
        dated: in order of their cuts.
        load: opens a checkpoint's folder; one is open at a time.
        questions: of one log.
        kept: what was scored before, and gets what is scored now; None: nothing is kept.
        console: shows how far it is.

    Raises:
        SerenError: an engine failed, or a case lies before every cut.
    """
    parts = [questions.validation.cases]
    if questions.reported is not questions.validation:
        parts.append(questions.reported.cases)
    cases = [case for part in parts for case in part]
    found: dict[int, tuple[Scored, ...]] = {}
    ids = []
    for place, one in enumerate(dated):
        mine = [number for number, case in enumerate(cases) if newest_before(dated, case.as_of_ms) == place]
        if not mine:
            continue
        engine = load(one.folder)
        ids.append(engine.model_id)
        asked = [cases[number] for number in mine]
        scored = scored_cases(asked, engine, questions.log.catalogue, kept, console, engine.model_id)
        found.update(zip(mine, scored, strict=True))
        engine.close()
    said = [found[number] for number in range(len(cases))]
    validation = said[: len(parts[0])]
    return DatedAnswers(tuple(ids), Said(validation, said[len(parts[0]) :] if len(parts) > 1 else validation))


def eve_baselines(questions: Questions, rows: dict[str, Ranked], *, seed: int) -> Iterator[Ranked]:
    """Item-kNN that never stops counting, alone and with the season: as current as refreshed checkpoints, and more.

    Args:
        questions: of one log.
        rows: the baselines so far, by name; the popularity on the eve is among them.
        seed: of ties in choices.
    """
    asked, samples = questions.validation, questions.log.samples
    tried = neighbours_on_the_eve(asked, samples, questions.log.catalogue, PLANS)
    chosen = choose(asked.cases, {str(number): scores for number, scores in enumerate(tried)}, seed=seed)
    plan, before = PLANS[int(chosen)], tried[int(chosen)]
    (found,) = neighbours_on_the_eve(questions.reported, samples, questions.log.catalogue, [plan])
    knn = Ranked(name=KNN_EVE, scores=found, chosen=named(plan), validation=before)
    yield knn
    likeness = replace(knn, scores=_shares(knn.scores), validation=_shares(knn.validation))
    half_life_days = rows[EVE].half_life_days
    yield with_season(f"{KNN_EVE} x season", questions, likeness, None, half_life_days=half_life_days, seed=seed)


def neighbours_on_the_eve(
    asked: Asked, samples: Iterable[Sample], catalogue: Catalogue, plans: Sequence[NeighbourPlan]
) -> list[Scores]:
    """Item-kNN for each case, counted on all days before the case's own, whoever's they are.

    Args:
        asked: cases in order of time.
        samples: of the whole log.
        catalogue: gives the rows.
        plans: of the likeness.

    Returns:
        Scores of every plan, in order.
    """
    counted = {plan.together: Neighbours((), catalogue, together=plan.together) for plan in plans}
    waiting = sorted(samples, key=lambda sample: sample.as_of_ms, reverse=True)
    found: list[Scores] = [[] for _ in plans]
    for case, history, rows in zip(asked.cases, asked.past, asked.items, strict=True):
        begins_ms = case.as_of_ms // DAY_MS * DAY_MS
        new = []
        while waiting and waiting[-1].as_of_ms < begins_ms:
            new.append(waiting.pop())
        if new:
            for neighbours in counted.values():
                neighbours.learn(new)
        for scores, plan in zip(found, plans, strict=True):
            scores.append(counted[plan.together].scores(history, rows, plan))
    return found


def _shares(scores: Scores) -> Scores:
    """Each score as a share of its case's highest: the same order, in the bounds of a part."""
    return [[value / (max(case) or 1.0) for value in case] for case in scores]
