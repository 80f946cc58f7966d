"""The questions of one recorded log: the same cases and the same negatives for every ranker of a table.

Knows nothing about rankers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import numpy as np
from msgspec import structs

from models.errors import LogError
from models.evaluation.past import Rows, histories, sequences
from models.evaluation.ranking import Case, cases
from models.profiles import ProfilePolicy
from models.training.preferences import without_profile
from models.training.samples import Sample
from streams.recorded.logs import RecordedLog
from streams.samples import LabelledLog, read_samples

HISTORY = 200  # newest items of a user that rankers of sequences may read; the recipes' own bounds are lower


@dataclass(frozen=True, kw_only=True)
class Asked:
    """Cases of one part, with their items as rows of the catalogue and what each user had wanted before."""

    cases: list[Case]
    items: list[Rows]
    past: list[Rows]

    @property
    def users(self) -> list[str]:
        """Whose case each is."""
        return [case.user_id for case in self.cases]


@dataclass(frozen=True, kw_only=True)
class Questions:
    """What rankers of one log learn from, choose on, and are asked: the cases of `part`, as `seed` drew them."""

    name: str
    folder: Path
    part: str
    seed: int
    log: LabelledLog
    validation: Asked
    reported: Asked

    @property
    def train(self) -> list[Sample]:
        """The samples that may teach."""
        return self.log.part("train")


def read_questions(recorded: RecordedLog, *, part: Literal["test", "validation"], seed: int, limit: int | None) -> Questions:
    """Replay a log and draw its cases.

    Args:
        recorded: a log folder.
        part: that is reported; choices are made on the validation part in any case.
        seed: of all draws.
        limit: most cases of each part, drawn evenly; None: all.

    Raises:
        LogError: the log cannot be read, or a part holds no serendipitous item.
    """
    log = read_samples(recorded, policy=ProfilePolicy())
    validation = _asked(log, log.part("validation"), seed=seed, limit=limit)
    reported = validation if part == "validation" else _asked(log, log.part("test"), seed=seed, limit=limit)
    for name, asked in (("validation", validation), (part, reported)):
        if not asked.cases:
            message = f"{recorded.folder}: the {name} part holds no serendipitous item, so there is nothing to rank"
            raise LogError(message)
    return Questions(
        name=recorded.about.name,
        folder=recorded.folder,
        part=part,
        seed=seed,
        log=log,
        validation=validation,
        reported=reported,
    )


def from_day(questions: Questions, first_ms: int, *, limit: int | None) -> Questions:
    """The same log's questions, with all visit days from an instant on as what is reported, whichever part they are of.

    That is what a model which has seen all days before can be asked about.

    Raises:
        LogError: nothing serendipitous was wanted from then on.
    """
    samples = [sample for sample in questions.log.samples if sample.as_of_ms >= first_ms]
    asked = _asked(questions.log, samples, seed=questions.seed, limit=limit)
    name = datetime.fromtimestamp(first_ms / 1000, UTC).strftime("since %Y-%m-%d")
    if not asked.cases:
        message = f"{questions.folder}: no serendipitous item was wanted {name}, so there is nothing to rank"
        raise LogError(message)
    return replace(questions, part=name, reported=asked)


def history_only(questions: Questions) -> Questions:
    """The same questions about users of whom no profile is known, only the recent history (papers.md 1.7, "w/o profile")."""
    validation = _history_only(questions.validation)
    is_one = questions.reported is questions.validation
    return replace(questions, validation=validation, reported=validation if is_one else _history_only(questions.reported))


def _history_only(asked: Asked) -> Asked:
    return replace(asked, cases=[structs.replace(case, digest=without_profile(case.digest)) for case in asked.cases])


def _asked(log: LabelledLog, samples: list[Sample], *, seed: int, limit: int | None) -> Asked:
    found = cases(samples, catalogue=log.catalogue, seed=seed, limit=limit)
    days = sequences(log.samples, log.catalogue)
    return Asked(
        cases=found,
        items=[np.array([log.catalogue.index(item_id) for item_id in case.items], dtype=np.int64) for case in found],
        past=histories(found, days, limit=HISTORY),
    )
