"""Slates of a checkpoint and of the baselines on the same cases. Knows nothing about how they are shown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from msgspec import structs
from rich.console import Console
from rich.progress import Progress

from models.catalogue import Catalogue
from models.evaluation.rankers import popularity_counts
from models.evaluation.ranking import Case, Report
from models.evaluation.slates import imagine, slates_metrics, slates_values, titles_metrics, titles_values
from models.metrics import Interval
from models.pipeline import ServePolicy
from models.registry.measured import even_places
from models.retrieval import Retriever
from models.serengpt.engine import Engine
from streams.evaluation.kept import KeptSlates
from streams.evaluation.questions import Asked, Questions
from streams.evaluation.rankers import Answer

BATCH_CASES = 8  # per call of the engine, so that progress moves
BASELINE_CASES = 50  # whose scores of the whole catalogue are in memory at once


def of_checkpoint(
    engine: Engine, asked: Asked, questions: Questions, retriever: Retriever, *, seed: int, console: Console, what: str
) -> dict[str, Interval]:
    """All metrics of titles and slates.

    Raises:
        SerenError: the engine failed.
    """
    return report_of_checkpoint(what, engine, asked, questions, retriever, seed=seed, console=console).metrics


def report_of_checkpoint(
    name: str,
    engine: Engine,
    asked: Asked,
    questions: Questions,
    retriever: Retriever,
    *,
    seed: int,
    console: Console,
    kept: KeptSlates | None = None,
) -> Report:
    """The same with every case's values beside it, so that two checkpoints can be held against each other case by case.

    Raises:
        SerenError: the engine failed.
    """
    policy, catalogue = ServePolicy(), questions.log.catalogue
    said = kept.find(engine, asked.cases, retriever, policy) if kept else None
    if said is None:
        said = []
        with Progress(console=console) as progress:
            task = progress.add_task(name, total=len(asked.cases))
            for start in range(0, len(asked.cases), BATCH_CASES):
                batch = asked.cases[start : start + BATCH_CASES]
                said.extend(imagine(batch, engine=engine, retriever=retriever, catalogue=catalogue, policy=policy))
                progress.update(task, completed=len(said))
        if kept:
            kept.keep(engine, asked.cases, retriever, policy, said)
    slates, wants = [one.slate for one in said], popularity_counts(questions.train)
    shown = slates_metrics(asked.cases, slates, catalogue, wants=wants, seed=seed)
    return Report(
        name=name,
        metrics={**titles_metrics(asked.cases, said, catalogue, seed=seed), **shown},
        values={**titles_values(asked.cases, said, catalogue), **slates_values(asked.cases, slates, catalogue, wants=wants)},
    )


def of_baseline(answer: Answer, asked: Asked, questions: Questions, *, seed: int) -> dict[str, Interval]:
    """The metrics of slates that a ranker of items fills with the best of the whole catalogue."""
    catalogue = questions.log.catalogue
    size = ServePolicy().selection.slate_size
    slates = [slate for part in _whole(asked, catalogue) for slate in _best(answer(part), part.cases, size)]
    return slates_metrics(asked.cases, slates, catalogue, wants=popularity_counts(questions.train), seed=seed)


def evenly(asked: Asked, count: int) -> Asked:
    """So many of the cases, at even distances in time."""
    places = even_places(len(asked.cases), count)
    return replace(
        asked,
        cases=[asked.cases[place] for place in places],
        items=[asked.items[place] for place in places],
        past=[asked.past[place] for place in places],
    )


def _whole(asked: Asked, catalogue: Catalogue) -> Iterator[Asked]:
    """The same cases, asked about every item, a few at a time."""
    every = tuple(item.item_id for item in catalogue)
    rows = np.arange(len(every))
    for start in range(0, len(asked.cases), BASELINE_CASES):
        part = slice(start, start + BASELINE_CASES)
        cases = [structs.replace(case, items=every) for case in asked.cases[part]]
        yield replace(asked, cases=cases, items=[rows] * len(cases), past=asked.past[part])


def _best(scores: Sequence[Sequence[float]], cases: Sequence[Case], size: int) -> Iterator[tuple[str, ...]]:
    for values, case in zip(scores, cases, strict=True):
        # Of equal scores the item that comes first in the catalogue: an order that says nothing of anybody's taste.
        order = np.argsort(-np.asarray(values), kind="stable")[:size]
        yield tuple(case.items[place] for place in order)
