"""Laws of a rolling table: no case is answered by what saw its day or later."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from models.catalogue import Catalogue
from models.entities import Digest, Item, Seen
from models.errors import SerenError
from models.evaluation.neighbours import NeighbourPlan
from models.evaluation.past import histories, sequences
from models.evaluation.ranking import Case
from models.profiles.policy import DAY_MS
from models.serengpt.engine import ImagineRequest, Scored, ScoreRequest
from models.training.samples import Sample
from models.training.split import TimeSplit
from streams.evaluation.questions import Asked, Questions
from streams.evaluation.rolling import ask_dated, neighbours_on_the_eve
from streams.samples import LabelledLog
from streams.training.refreshing import Dated

NAMES = tuple("abcdef")
CATALOGUE = Catalogue(Item(item_id=name, title=name, category=("all",)) for name in NAMES)
PLAN = NeighbourPlan(shrinkage=0.0)


def _sample(user: str, day: int, *wanted: str) -> Sample:
    return Sample(user_id=user, as_of_ms=day * DAY_MS + 7, digest=Digest(), seen=Seen(), serendipitous=wanted, others=())


# Every day somebody wants other things together; u is asked about on days 2, 4 and 6.
DAYS = [
    _sample("u", 1, "a"),
    _sample("v", 1, "a", "b"),
    _sample("u", 2, "c"),
    _sample("v", 3, "a", "d"),
    _sample("w", 4, "a", "e"),
    _sample("u", 4, "e"),
    _sample("w", 5, "c", "f"),
    _sample("u", 6, "f"),
]


def _asked(samples: Sequence[Sample], days: Sequence[int]) -> Asked:
    cases = [Case(user_id="u", as_of_ms=day * DAY_MS + 7, digest=Digest(), items=NAMES, right=(0,)) for day in days]
    rows = np.arange(len(NAMES))
    return Asked(cases=cases, items=[rows for _ in cases], past=histories(cases, sequences(samples, CATALOGUE), limit=9))


def _questions() -> Questions:
    log = LabelledLog(catalogue=CATALOGUE, samples=DAYS, split=TimeSplit(2 * DAY_MS, 4 * DAY_MS), refused=0)
    return Questions(
        name="made",
        folder=Path("made"),
        part="test",
        seed=0,
        log=log,
        validation=_asked(DAYS, (2,)),
        reported=_asked(DAYS, (4, 6)),
    )


def test_neighbours_on_the_eve_count_the_days_before() -> None:
    """Before day 4 a is wanted on three days, once with b and once with d; c on one, alone."""
    [[on_fourth]] = neighbours_on_the_eve(_asked(DAYS, (4,)), DAYS, CATALOGUE, [PLAN])
    assert on_fourth == pytest.approx([0.0, 1 / 3**0.5, 0.0, 1 / 3**0.5, 0.0, 0.0])


@pytest.mark.parametrize("day", [2, 4, 6])
def test_neighbours_on_the_eve_are_the_same_without_the_day_and_what_follows(day: int) -> None:
    past = [sample for sample in DAYS if sample.as_of_ms < day * DAY_MS]
    asked = _asked(DAYS, (day,))
    plans = [PLAN, NeighbourPlan(together="user")]
    assert neighbours_on_the_eve(asked, DAYS, CATALOGUE, plans) == neighbours_on_the_eve(asked, past, CATALOGUE, plans)


class _CutTeller:
    """Says its own cut in place of a log-probability."""

    prompt_version = 1
    runtime = "none"

    def __init__(self, folder: Path) -> None:
        self.model_id = f"cut@{folder.name}"
        self._cut_ms = float(folder.name)

    def score(self, requests: Sequence[ScoreRequest]) -> list[tuple[Scored, ...] | SerenError]:
        return [tuple(Scored(self._cut_ms, 0.0, 1) for _ in request.titles) for request in requests]

    def imagine(self, requests: Sequence[ImagineRequest]) -> list[tuple[str, ...] | SerenError]:
        return [() for _ in requests]

    def close(self) -> None:
        pass


def test_dated_checkpoints_answer_only_for_days_after_their_cut() -> None:
    cuts = (DAY_MS, 4 * DAY_MS, 4 * DAY_MS + 1, 6 * DAY_MS)
    questions = _questions()
    found = ask_dated(
        [Dated(cut, Path(str(cut))) for cut in cuts], _CutTeller, questions, kept=None, console=Console(quiet=True)
    )
    said = [{one.logprob for one in case} for part in found.said for case in part]
    # Days 2, 4 and 6; the cut within day 4 serves from day 5 on, when nobody asks.
    assert said == [{float(DAY_MS)}, {4.0 * DAY_MS}, {6.0 * DAY_MS}]
    assert found.model_ids == tuple(f"cut@{cut}" for cut in (cuts[0], cuts[1], cuts[3]))


def test_the_validation_part_alone_is_asked_once() -> None:
    questions = _questions()
    same = replace(questions, part="validation", reported=questions.validation)
    found = ask_dated([Dated(0, Path("0"))], _CutTeller, same, kept=None, console=Console(quiet=True))
    assert found.said.reported is found.said.validation
    assert found.said.validation == [(Scored(0.0, 0.0, 1),) * len(NAMES)]
