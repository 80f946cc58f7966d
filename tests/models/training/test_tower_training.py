"""Laws of the tower's training; they need torch."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
import pytest

from models.entities import Behaviour, Digest, Item, Seen
from models.training.samples import Sample

pytestmark = pytest.mark.train

ITEMS = [
    Item(item_id=f"{n:02}", title=f"{name} {kind}", category=("shop", kind))
    for n, (name, kind) in enumerate((name, kind) for name in ("oak", "tin", "red", "old") for kind in ("cup", "hat", "map"))
]
ROWS = {item.item_id: row for row, item in enumerate(ITEMS)}


def _sample(
    bought: tuple[str, ...], serendipitous: tuple[str, ...], others: tuple[str, ...], kind: str = "purchase"
) -> Sample:
    history = tuple(
        Behaviour(type=kind, title="x", ts_ms=0, offset=place, item_id=item_id)  # type: ignore[arg-type]
        for place, item_id in enumerate(bought)
    )
    return Sample(
        user_id="u", as_of_ms=0, digest=Digest(history=history), seen=Seen(), serendipitous=serendipitous, others=others
    )


# Whoever has the oak cup wants the tin hat next, whoever has the old map the red cup: nothing that words tell.
PAIRS = [("00", "04"), ("11", "06")] * 20


@pytest.fixture(scope="module")
def training() -> Any:
    """The module under test, imported late: torch is in the train extra alone."""
    return import_module("models.training.tower")


def _examples(training: Any) -> Any:
    return training.examples([_sample((bought,), (wanted,), ()) for bought, wanted in PAIRS], ROWS.get)


def _train(training: Any, seed: int = 1) -> Any:
    plan = training.TowerPlan(buckets=2048, dimensions=16, steps=60, batch=16, seed=seed, learning_rate=0.02)
    return training.train(ITEMS, _examples(training), plan=plan, name="test", report=lambda step, loss: None)


def test_examples_leave_out_days_without_history_and_what_was_given_back(training: Any) -> None:
    days = [
        _sample((), ("01",), ()),
        _sample(("02",), ("01",), (), kind="cancel"),
        _sample(("02", "gone"), (), ("03", "gone")),
    ]
    [example] = training.examples(days, ROWS.get)
    assert (example.history.tolist(), example.serendipitous.tolist(), example.others.tolist()) == ([2], [], [3])


def test_train_puts_what_was_wanted_next_near_the_history(training: Any) -> None:
    tower = _train(training)
    vectors = np.stack([tower.encode_item(item) for item in ITEMS])
    for bought, wanted in PAIRS[:2]:
        others = [row for row in range(len(ITEMS)) if row != ROWS[bought]]
        assert max(others, key=lambda row: float(vectors[ROWS[bought]] @ vectors[row])) == ROWS[wanted]


def test_train_with_one_seed_gives_the_same_tower(training: Any) -> None:
    first, again, other = _train(training), _train(training), _train(training, seed=2)
    item = ITEMS[0]
    assert np.array_equal(first.encode_item(item), again.encode_item(item))
    assert not np.array_equal(first.encode_item(item), other.encode_item(item))


def test_train_finds_a_wanted_item_by_its_bare_title(training: Any) -> None:
    tower = _train(training)
    vectors = np.stack([tower.encode_item(item) for item in ITEMS])
    for _, wanted in PAIRS[:2]:
        assert int(np.argmax(vectors @ tower.encode(ITEMS[ROWS[wanted]].title))) == ROWS[wanted]


def test_train_on_nothing_raises(training: Any) -> None:
    with pytest.raises(ValueError, match="0 examples"):
        training.train(ITEMS, [], plan=training.TowerPlan(), name="test", report=lambda step, loss: None)
