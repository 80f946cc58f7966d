"""Laws of a refresh; those that train need torch."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from models.entities import Behaviour, Digest, Item, Seen
from models.serengpt.embedded import load_engine
from models.serengpt.engine import ScoreRequest
from models.training.examples import Example
from models.training.refresh_card import Window, read_record
from models.training.samples import Sample

pytestmark = [pytest.mark.train, pytest.mark.timeout(300)]

DAY_MS = 86_400_000
ITEMS = {
    str(n): Item(item_id=str(n), title=title, category=("shop", title.split()[-1]))
    for n, title in enumerate(("red mug", "blue mug", "wall clock", "paper lantern", "tea towel"))
}
WINDOW = Window(10 * DAY_MS, 17 * DAY_MS)


def _sample(day: int, wanted: str) -> Sample:
    history = (Behaviour("purchase", "red mug", day, day, item_id="0"),)
    return Sample(
        user_id="u",
        as_of_ms=day * DAY_MS,
        digest=Digest(history=history),
        seen=Seen(),
        serendipitous=(wanted,),
        others=("0",),
    )


BEFORE = [_sample(day, str(day % 2 + 1)) for day in range(10)]
SINCE = [_sample(day, "4") for day in range(10, 17)]


@pytest.fixture(scope="module")
def made() -> Any:
    return import_module("models.training.refresh")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny checkpoint that learnt from the days before the window."""
    recipe, sft = import_module("models.training.recipe"), import_module("models.training.sft")
    phase = sft.Phase(name="all", serendipitous_only=True, steps=4, learning_rate=1e-2, rows=2)
    tiny = recipe.Recipe(vocabulary=330, shape=sft.ModelShape(hidden=32, layers=1, feed_forward=48), phases=(phase,))
    folder = tmp_path_factory.mktemp("base")
    recipe.train_serengpt(BEFORE, [], ITEMS.get, recipe=tiny, seed=3, folder=folder, name="tiny", watch=lambda _step: None)
    return folder


def _refresh(
    made: Any, base: Path, folder: Path, samples: list[Sample], *, watch: Any = lambda _step: None, **changed: Any
) -> Any:
    policy = made.RefreshPolicy(**({"steps": 6, "learning_rate": 1e-2, "save_steps": 2} | changed))
    return made.refresh(base, samples, ITEMS.get, window=WINDOW, policy=policy, folder=folder, name="next", watch=watch)


def test_refresh_with_days_from_its_cut_on_is_the_same_to_the_byte(made: Any, base: Path, tmp_path: Path) -> None:
    later = [_sample(17, "3"), _sample(30, "3")]
    seen = _refresh(made, base, tmp_path / "seen", [*BEFORE, *SINCE])
    unseen = _refresh(made, base, tmp_path / "unseen", [*BEFORE, *SINCE, *later])
    assert unseen == seen


def test_refresh_that_was_stopped_ends_in_the_same_weights(made: Any, base: Path, tmp_path: Path) -> None:
    class Stop(Exception):
        pass

    def stop_after_five(step: Any) -> None:
        if step.step == 5:
            raise Stop

    whole = _refresh(made, base, tmp_path / "whole", [*BEFORE, *SINCE])
    with pytest.raises(Stop):
        _refresh(made, base, tmp_path / "broken", [*BEFORE, *SINCE], watch=stop_after_five)
    steps: list[int] = []
    resumed = _refresh(made, base, tmp_path / "broken", [*BEFORE, *SINCE], watch=lambda step: steps.append(step.step))
    assert steps == [5, 6]
    assert resumed == whole
    assert not (tmp_path / "broken" / "unfinished").exists()


def test_refresh_learns_the_window_and_says_where_it_comes_from(made: Any, base: Path, tmp_path: Path) -> None:
    refreshed = _refresh(made, base, tmp_path, [*BEFORE, *SINCE], steps=20, replay_ratio=0.0)
    old, new = load_engine(base, threads=1), load_engine(tmp_path, threads=1)
    asked = [ScoreRequest(digest=SINCE[0].digest, titles=("tea towel",))]
    [before], [after] = old.score(asked), new.score(asked)
    assert isinstance(before, tuple)
    assert isinstance(after, tuple)
    assert after[0].logprob > before[0].logprob + 1.0
    record = read_record(tmp_path)
    assert record == refreshed.record
    assert record is not None
    assert record.parent.startswith("tiny@")
    assert (record.since_ms, record.until_ms, record.window_days, record.older_days) == (*WINDOW, 7, 10)


def test_refresh_without_a_day_in_the_window_is_refused(made: Any, base: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="0 days of Window"):
        _refresh(made, base, tmp_path, BEFORE)


def test_replay_takes_its_ratio_of_the_draws_and_nothing_where_nothing_is_older(made: Any) -> None:
    policy = made.RefreshPolicy(replay_ratio=0.25)
    rows = [Example((), ((1,),), day * DAY_MS) for day in range(17)]
    weights = made.draw_weights(rows, WINDOW, policy)
    assert sum(weights[:10]) == pytest.approx(0.25)
    assert sum(weights[10:]) == pytest.approx(0.75)
    assert sum(made.draw_weights(rows[10:], WINDOW, policy)) == pytest.approx(1.0)


@pytest.mark.parametrize(("name", "value"), [("steps", 0), ("half_life_days", -1.0), ("replay_ratio", 1.0)])
def test_a_policy_out_of_bounds_is_refused(made: Any, name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{name}: {value}, must be"):
        made.RefreshPolicy(**{name: value})
