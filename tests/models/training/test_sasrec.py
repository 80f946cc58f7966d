"""Laws of SASRec; they need torch."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.train

ITEMS = 12
DAY_MS = 86_400_000


@pytest.fixture(scope="module")
def sasrec() -> Any:
    """The module under test, imported late: torch is in the train extra alone."""
    return import_module("models.training.sasrec")


def _walk(sasrec: Any, start: int, days: int) -> list[Any]:
    """One item a day, each time the next but one; on every second day it is new."""
    rows = [np.array([(start + 2 * day) % ITEMS]) for day in range(days)]
    return [sasrec.Day(day * DAY_MS, row, row if day % 2 else row[:0]) for day, row in enumerate(rows)]


def _walks(sasrec: Any) -> list[list[Any]]:
    return [_walk(sasrec, start, 8) for start in range(ITEMS)] * 4


def _plan(sasrec: Any, **changes: Any) -> Any:
    plan = sasrec.SasrecPlan(dimensions=16, layers=1, dropout=0.0, length=4, negatives=None, learning_rate=0.01, epochs=25)
    return replace(plan, **changes)


def _train(sasrec: Any, plan: Any, values: list[float] | None = None) -> Any:
    said = iter(values) if values is not None else None

    def validate(network: Any) -> float:
        return float(next(said)) if said else float(network.places.weight.detach().abs().sum())

    return sasrec.train(_walks(sasrec), items=ITEMS, plan=plan, validate=validate, report=lambda epoch, loss, value: None)


@pytest.mark.parametrize("asks", ["next item", "next visit"])
def test_train_on_a_walk_expects_its_next_step_first(sasrec: Any, asks: str) -> None:
    network = _train(sasrec, _plan(sasrec, asks=asks, patience=25))
    every = np.arange(ITEMS)
    scores = network.scores([np.array([1, 3, 5]), np.array([6, 8, 10])], [every, every])
    assert [int(np.argmax(values)) for values in scores] == [7, 0]


def test_sequence_that_asks_for_what_is_new_ends_before_the_last_day_with_any(sasrec: Any) -> None:
    """New are 3 and 7, on days 1 and 3: after 1 the 3, after 3 and 5 the 7; nothing after it, so it is not read."""
    plan, draw = _plan(sasrec, asks="next new"), np.random.default_rng(0)
    read, asked, weights = sasrec._sequence(_walk(sasrec, 1, 5), plan, 4 * DAY_MS, draw)
    assert (read.tolist(), asked.tolist(), weights.tolist()) == ([1, 3, 5], [3, 7, 7], [1.0, 1.0, 1.0])


def test_search_changes_one_thing_at_a_time_and_goes_on_from_the_best(sasrec: Any) -> None:
    """Who likes next new, dropout .1 and nothing else, ends there; 1 + 2 * 6 + 1 * 2 = 15 plans are tried."""
    found = list(sasrec.search(lambda plan: float(plan.asks == "next new") + float(plan.dropout == 0.1)))
    best = [plan for plan, _, is_best in found if is_best]
    assert len(found) == 15
    assert [(plan.asks, plan.dropout) for plan in best] == [("next item", 0.3), ("next new", 0.3), ("next new", 0.1)]
    assert {plan.asks for plan, _, _ in found[3:]} == {"next new"}


def test_scores_without_a_past_are_all_alike(sasrec: Any) -> None:
    network = sasrec.Sasrec(ITEMS, _plan(sasrec))
    assert network.scores([np.zeros(0, dtype=np.int64)], [np.arange(3)]) == [[0.0, 0.0, 0.0]]


def test_scores_read_no_more_than_the_newest_items(sasrec: Any) -> None:
    network = sasrec.Sasrec(ITEMS, _plan(sasrec))
    short, long = np.array([1, 2, 3, 4]), np.array([9, 9, 9, 1, 2, 3, 4])
    assert network.scores([short], [np.arange(ITEMS)]) == network.scores([long], [np.arange(ITEMS)])


def test_train_ends_after_its_patience_and_returns_the_best_epoch(sasrec: Any) -> None:
    epochs: list[int] = []
    values = iter([0.1, 0.5, 0.4, 0.3, 0.9])
    seen: list[Any] = []

    def validate(network: Any) -> float:
        seen.append(network.table.weight.detach().clone())
        return next(values)

    network = sasrec.train(
        _walks(sasrec),
        items=ITEMS,
        plan=_plan(sasrec, patience=2),
        validate=validate,
        report=lambda epoch, loss, value: epochs.append(epoch),
    )
    assert epochs == [0, 1, 2, 3]
    assert bool((network.table.weight == seen[1]).all())


def test_train_with_one_seed_gives_the_same_network(sasrec: Any) -> None:
    plan = _plan(sasrec, epochs=2, dropout=0.2, negatives=5, half_life_days=3.0)
    first, again = _train(sasrec, plan, [0.1, 0.2]), _train(sasrec, plan, [0.1, 0.2])
    assert bool((first.table.weight == again.table.weight).all())


def test_train_on_single_days_raises(sasrec: Any) -> None:
    with pytest.raises(ValueError, match="0 users"):
        sasrec.train([_walk(sasrec, 1, 1)], items=ITEMS, plan=_plan(sasrec), validate=lambda _: 0.0, report=lambda *_: None)
