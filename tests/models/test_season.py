"""Laws of the season."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.entities import Candidate
from models.errors import CheckpointError
from models.prerank import Promise, SlatePolicy, prerank
from models.season import DAY_MS, Season, SeasonPolicy, season_of

POLICY = SeasonPolicy(half_life_days=2.0, typical=1.0)
# As of day 4: two a's of day 2 count 1/2 each, b of day 0 counts 1/4; over five items that is a mean of 1/4.
WANTS = [(2 * DAY_MS, "a"), (0, "b"), (2 * DAY_MS, "a"), (4 * DAY_MS, "c")]
SEASON = season_of(WANTS, as_of_ms=4 * DAY_MS, items=5, policy=POLICY)


def test_season_counts_recent_wants_most_and_nothing_of_the_evening_itself() -> None:
    assert SEASON.wants == {"a": 1.0, "b": 0.25}
    assert SEASON.mean == 0.25


def test_timeliness_of_the_mean_is_one_half_at_a_typical_of_one() -> None:
    assert [SEASON.timeliness(name) for name in "abc"] == [0.8, 0.5, 0.0]


def test_season_that_was_saved_is_read_back(tmp_path: Path) -> None:
    SEASON.save(tmp_path / "deep" / "season.json")
    assert Season.load(tmp_path / "deep" / "season.json") == SEASON
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["season.json"]


@pytest.mark.parametrize("content", [None, b"", b"{}", b'{"as_of_ms": "x"}'])
def test_season_of_a_file_that_holds_none_names_it(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "season.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"season\.json: is no season"):
        Season.load(path)


def test_season_of_an_empty_catalogue_raises() -> None:
    with pytest.raises(ValueError, match="items: 0"):
        season_of([], as_of_ms=1, items=0, policy=POLICY)


def _order(weight: float, *, known: bool) -> list[str]:
    promises = [Promise(Candidate(item_id=name, relevance=0.5, sources=()), unexpectedness=1.0) for name in "cba"]
    policy = SlatePolicy(timeliness_weight=weight)
    return [
        one.item_id
        for one in prerank(promises, [0.6, 0.5, 0.4], policy=policy, timeliness=SEASON.timeliness if known else None)
    ]


def test_prerank_puts_timely_items_first_where_timeliness_has_a_weight() -> None:
    """c 0.6 x 0, b 0.5 x 0.5, a 0.4 x 0.8: a 0.32, b 0.25, c 0."""
    assert _order(1.0, known=True) == ["a", "b", "c"]
    assert _order(0.0, known=True) == ["c", "b", "a"]


def test_prerank_without_a_season_keeps_its_order_whatever_the_weight() -> None:
    assert _order(1.0, known=False) == ["c", "b", "a"]
