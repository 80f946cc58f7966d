"""Measures one checkpoint for the registry's gate. Knows nothing about what the gate decides."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from models.evaluation import serengpt
from models.evaluation.gate import GateMetrics, gate_metrics
from models.evaluation.ranking import report
from models.retrieval import Retriever
from models.serengpt.engine import Engine
from streams.evaluation.diversity import evenly, of_checkpoint
from streams.evaluation.questions import Questions


def measure_checkpoint(
    engine: Engine, questions: Questions, *, tower: Path, part: str, slates: int, seed: int, console: Console
) -> GateMetrics:
    """Ranking as slates use it, novelty and diversity, on the reported cases.

    Args:
        engine: runs the checkpoint.
        questions: of one log.
        tower: a model folder with the tower that retrieval uses.
        part: that the questions report.
        slates: cases that get a slate, drawn evenly; the others are only ranked.
        seed: of the resampling.
        console: shows how far it is.

    Raises:
        SerenError: the engine failed.
    """
    asked, catalogue = questions.reported, questions.log.catalogue
    scored = [one for batch in serengpt.scored_batches(asked.cases, engine=engine, catalogue=catalogue) for one in batch]
    ranked = report(engine.model_id, asked.cases, serengpt.readings(scored)[serengpt.ALIGNED], seed=seed)
    some = evenly(asked, slates)
    retriever = Retriever.build(catalogue, tower)
    shown = of_checkpoint(engine, some, questions, retriever, seed=seed, console=console, what="Slates")
    users = len(set(asked.users))
    evaluation = (
        f"{questions.name}, {part} part, {len(asked.cases)} cases of {users} users, {len(some.cases)} slates, seed {seed}"
    )
    return gate_metrics(evaluation, model_id=engine.model_id, ranked=ranked.metrics, shown=shown)
