"""SASRec in the table: tuned on the validation part, written to a folder, read back as a row. Needs torch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from msgspec import DecodeError, convert, json

from models.errors import CheckpointError
from models.evaluation.choice import goodness
from models.evaluation.past import wanted_rows
from models.training.sasrec import Day, Sasrec, SasrecPlan, search, train
from streams.evaluation.questions import Asked, Questions
from streams.evaluation.rankers import Ranked

_PLAN = "sasrec.json"
_WEIGHTS = "sasrec.pt"


class _Epoch(NamedTuple):
    epoch: int
    loss: float
    validation: float


def tune(questions: Questions, folder: Path, *, epochs: int | None, plans: int | None, seed: int) -> Iterator[dict[str, Any]]:
    """Train plan after plan, as `models.training.sasrec.search` goes, and keep the best network of them all.

    Args:
        questions: of one log; their validation part ends the epochs and chooses the plan.
        folder: gets the network; made if it is not there.
        epochs: at most so many of each; None: the plan's.
        plans: only the first so many; None: all.
        seed: of ties.

    Yields:
        Each plan with its best epoch, as it ends.
    """
    days = _days(questions)
    items, asked = len(questions.log.catalogue), questions.validation
    trained: list[tuple[Sasrec, list[_Epoch]]] = []

    def validate(network: Sasrec) -> float:
        return goodness(asked.cases, network.scores(asked.past, asked.items), seed=seed)

    def goodness_of(plan: SasrecPlan) -> float:
        bounded = plan if epochs is None else replace(plan, epochs=min(epochs, plan.epochs))
        seen: list[_Epoch] = []
        network = train(days, items=items, plan=bounded, validate=validate, report=lambda *one: seen.append(_Epoch(*one)))
        trained[:] = [(network, seen)]
        return max(one.validation for one in seen)

    for plan, _, is_best in islice(search(goodness_of), plans):
        [(network, seen)] = trained
        if is_best:
            _save(folder, network, items)
        yield {
            "plan": asdict(plan),
            "is_best_so_far": is_best,
            "epochs": len(seen),
            **max(seen, key=lambda one: one.validation)._asdict(),
        }


def _days(questions: Questions) -> list[list[Day]]:
    """Each user's visit days of the train part, in order of time."""
    catalogue = questions.log.catalogue
    found: defaultdict[str, list[Day]] = defaultdict(list)
    for sample in sorted(questions.train, key=lambda one: one.as_of_ms):
        new = [catalogue.index(item_id) for item_id in sample.serendipitous if item_id in catalogue]
        rows = np.array(wanted_rows(sample, catalogue), dtype=np.int64)
        found[sample.user_id].append(Day(sample.as_of_ms, rows, np.array(new, dtype=np.int64)))
    return list(found.values())


def rank_sasrec(questions: Questions, folder: Path) -> Ranked:
    """The row of a trained SASRec.

    Raises:
        CheckpointError: the folder holds none, or one of another catalogue.
    """
    network, plan = _load(folder, len(questions.log.catalogue))

    def scores(asked: Asked) -> list[list[float]]:
        found: list[list[float]] = network.scores(asked.past, asked.items)
        return found

    chosen = (
        f"{plan.asks}, dimensions {plan.dimensions}, layers {plan.layers}, dropout {plan.dropout:g}, length {plan.length}, "
        f"learning rate {plan.learning_rate:g}, negatives {plan.negatives or 'all'}, half-life {plan.half_life_days or 'none'}"
    )
    return Ranked(name="SASRec", scores=scores(questions.reported), chosen=chosen, validation=scores(questions.validation))


def _save(folder: Path, network: Sasrec, items: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(network.state_dict(), folder / _WEIGHTS)
    (folder / _PLAN).write_bytes(json.encode({"items": items, "plan": asdict(network.plan)}))


def _load(folder: Path, items: int) -> tuple[Sasrec, SasrecPlan]:
    try:
        about = json.decode((folder / _PLAN).read_bytes())
        plan = convert(about["plan"], type=SasrecPlan)
        network = Sasrec(about["items"], plan)
        network.load_state_dict(torch.load(folder / _WEIGHTS, weights_only=True))
    except (OSError, DecodeError, KeyError, RuntimeError) as error:
        message = f"{folder}: holds no SASRec: {error}"
        raise CheckpointError(message) from error
    if about["items"] != items:
        message = f"{folder}: SASRec was trained on {about['items']} items, this log has {items}"
        raise CheckpointError(message)
    return network, plan
