"""SerenGPT checkpoints as rows of a table. Knows nothing about the other rankers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress

from models.catalogue import Catalogue
from models.errors import CheckpointError
from models.evaluation import serengpt
from models.evaluation.choice import choose
from models.evaluation.rankers import popularity_counts
from models.evaluation.ranking import Case
from models.serengpt.engine import Engine, Scored
from models.serengpt.shares import log_shares
from streams.evaluation.kept import KeptScores
from streams.evaluation.questions import Asked, Questions
from streams.evaluation.rankers import Ranked


def named_folder(text: str) -> tuple[str, Path]:
    """The name and the folder of `NAME=PATH`; a path alone is named by its last part.

    Raises:
        CheckpointError: there is no such folder.

    Example:
        >>> named_folder("here=.")
        ('here', PosixPath('.'))
    """
    name, _, path = text.rpartition("=")
    folder = Path(path)
    if not folder.is_dir():
        message = f"model {text!r}: {folder} is no folder; give NAME=FOLDER of a checkpoint"
        raise CheckpointError(message)
    return name or folder.resolve().name, folder


class Said(NamedTuple):
    """What a checkpoint said of the validation part and of the reported part."""

    validation: list[tuple[Scored, ...]]
    reported: list[tuple[Scored, ...]]


def ask_checkpoint(name: str, engine: Engine, questions: Questions, *, kept: KeptScores | None, console: Console) -> Said:
    """Every title of every case, scored.

    Args:
        name: of the checkpoint in the table.
        engine: runs it.
        questions: of one log.
        kept: what was scored before, and gets what is scored now; None: nothing is kept.
        console: shows how far it is.

    Raises:
        SerenError: the engine failed.
    """
    catalogue = questions.log.catalogue
    validation = scored_cases(questions.validation.cases, engine, catalogue, kept, console, f"{name}: validation")
    if questions.reported is questions.validation:
        return Said(validation, validation)
    return Said(validation, scored_cases(questions.reported.cases, engine, catalogue, kept, console, f"{name}: reported"))


def rank_checkpoint(name: str, model_id: str, said: Said, questions: Questions, *, seed: int) -> Iterator[Ranked]:
    """A checkpoint in the reading that validation chose, as slates use it, and without anybody's profile.

    Args:
        name: of the checkpoint in the table.
        model_id: of the checkpoint.
        said: its answers.
        questions: that it answered.
        seed: of ties in the choice.
    """
    before = serengpt.readings(said.validation)
    chosen = choose(questions.validation.cases, before, seed=seed)
    found = serengpt.readings(said.reported)
    for row, reading, choice in ((name, chosen, chosen), (f"{name}, as a slate uses it", serengpt.ALIGNED, "")):
        yield Ranked(
            name=row,
            scores=found[reading],
            chosen=choice,
            model_id=model_id,
            is_baseline=False,
            validation=before[reading],
        )
    yield Ranked(name=f"{name}, without profile", scores=serengpt.prior(said.reported), model_id=model_id, is_baseline=False)


def shared_out(said: Said, questions: Questions) -> Said | None:
    """The same answers of products instead of titles: a title's probability shared out by the wants of the train part.

    Args:
        said: what a checkpoint said of titles.
        questions: that it answered.

    Returns:
        None where every title is one product's, so that nothing would change.
    """
    catalogue = questions.log.catalogue
    titles = [item.title for item in catalogue.items]
    if len(set(titles)) == len(titles):
        return None
    counts = popularity_counts(questions.train)
    wants = {catalogue.index(item_id): float(count) for item_id, count in counts.items() if item_id in catalogue}
    shares = log_shares(titles, wants)
    return Said(
        _shared_out(said.validation, questions.validation, shares), _shared_out(said.reported, questions.reported, shares)
    )


def _shared_out(scored: Sequence[Sequence[Scored]], asked: Asked, shares: NDArray[np.float64]) -> list[tuple[Scored, ...]]:
    return [
        tuple(
            Scored(one.logprob + share, one.prior_logprob + share, one.tokens)
            for one, share in zip(case, shares[rows].tolist(), strict=True)
        )
        for case, rows in zip(scored, asked.items, strict=True)
    ]


def scored_cases(
    given: Sequence[Case], engine: Engine, catalogue: Catalogue, kept: KeptScores | None, console: Console, what: str
) -> list[tuple[Scored, ...]]:
    """Every title of the cases, from what is kept or from the engine. Raises SerenError: the engine failed."""
    found = kept.find(engine, given, catalogue) if kept else None
    if found is not None:
        return found
    scored: list[tuple[Scored, ...]] = []
    with Progress(console=console) as progress:
        task = progress.add_task(what, total=len(given))
        for batch in serengpt.scored_batches(given, engine=engine, catalogue=catalogue):
            scored.extend(batch)
            progress.update(task, completed=len(scored))
    if kept:
        kept.keep(engine, given, catalogue, scored)
    return scored
