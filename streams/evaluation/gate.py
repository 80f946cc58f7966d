"""Measures one checkpoint for the registry's gate. Knows nothing about what the gate decides."""

from __future__ import annotations

import hashlib
from pathlib import Path

from rich.console import Console

from models.evaluation import serengpt
from models.evaluation.gate import GateMetrics, asked_digest, gate_metrics
from models.evaluation.ranking import NEGATIVES, report
from models.registry.measured import Evaluation
from models.retrieval import Retriever
from models.retrieval.vectors import FILE
from models.serengpt.checkpoint import checkpoint_sha256, file_sha256
from streams.engines.named import LoadedEngine
from streams.evaluation.diversity import evenly, report_of_checkpoint
from streams.evaluation.questions import Questions
from streams.recorded.logs import EVENTS, ITEMS, USERS


def measure_checkpoint(
    engine: LoadedEngine, questions: Questions, *, checkpoint: Path, tower: Path, slates: int, console: Console
) -> GateMetrics:
    """Ranking as slates use it, novelty and diversity, on the reported cases.

    Args:
        engine: runs the checkpoint.
        questions: of one log.
        checkpoint: its folder.
        tower: a model folder with the tower that retrieval uses.
        slates: cases that get a slate, drawn evenly; the others are only ranked.
        console: shows how far it is.

    Raises:
        SerenError: the engine failed, or the checkpoint's files are not those of its manifest.
    """
    asked, catalogue, seed = questions.reported, questions.log.catalogue, questions.seed
    scored = [one for batch in serengpt.scored_batches(asked.cases, engine=engine, catalogue=catalogue) for one in batch]
    ranked = report(engine.model_id, asked.cases, serengpt.readings(scored)[serengpt.ALIGNED], seed=seed)
    some = evenly(asked, slates)
    shown = report_of_checkpoint(
        "Slates", engine, some, questions, Retriever.build(catalogue, tower), seed=seed, console=console
    )
    evaluation = Evaluation(
        name=f"{questions.name}, {questions.part} part, {len(asked.cases)} cases of {len(set(asked.users))} users",
        log=log_sha256(questions.folder),
        part=questions.part,
        seed=seed,
        negatives=NEGATIVES,
        cases=len(asked.cases),
        slates=len(some.cases),
        asked=asked_digest(asked.cases),
        tower=file_sha256(tower / FILE),
        engine=engine.runtime,
        prompt_version=engine.prompt_version,
    )
    return gate_metrics(
        evaluation,
        checkpoint=checkpoint_sha256(checkpoint),
        ranked=ranked,
        users=asked.users,
        shown=shown.metrics,
        values=shown.values,
    )


def log_sha256(folder: Path) -> str:
    """The digest of a recorded log's files, by their content."""
    lines = (f"{file_sha256(folder / name)}  {name}\n" for name in (EVENTS, ITEMS, USERS))
    return hashlib.sha256("".join(lines).encode()).hexdigest()
