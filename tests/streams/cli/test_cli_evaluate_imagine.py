"""Laws of `seren evaluate imagine`: the same cases for every way, as JSON and as a table."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from streams.cli.evaluate import evaluate_group
from streams.recorded.logs import RecordedLog

WAY = "within, new categories"


@pytest.mark.timeout(180)
def test_ways_are_compared_on_the_same_visits(small_log: RecordedLog) -> None:
    options = ["imagine", "--log", str(small_log.folder), "--limit", "3", "--way", WAY, "--json"]
    done = CliRunner().invoke(evaluate_group, options)
    assert done.exit_code == 0, done.output
    outcome = json.loads(done.stdout)
    free, other = outcome["ways"]
    assert (outcome["cases"], free["name"], other["name"]) == (3, "free", WAY)
    assert outcome["best"] in {"free", WAY}
    assert all(gain == {"mean": 0.0, "low": 0.0, "high": 0.0} for gain in free["gains"].values())
    metrics = other["metrics"]
    assert metrics["different titles"]["mean"] == metrics["titles that exist"]["mean"] == 30.0
    assert set(metrics) == set(free["metrics"])


def test_table_names_every_way_that_was_asked_for(small_log: RecordedLog) -> None:
    done = CliRunner().invoke(evaluate_group, ["imagine", "--log", str(small_log.folder), "--limit", "1", "--way", "free"])
    assert done.exit_code == 0, done.output
    assert "free" in done.stdout
    assert "1 visits of 1 users, test part, seed 0" in done.stdout


def test_unknown_way_is_refused_with_the_known_ones(small_log: RecordedLog) -> None:
    done = CliRunner().invoke(evaluate_group, ["imagine", "--log", str(small_log.folder), "--way", "telepathy"])
    assert done.exit_code == 1
    assert "--way: 'telepathy' must be one of 'free', " in done.output
