"""Laws of health: live means that work moves, outages excuse for a while, ready means having what one needs."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.observability.health import HealthPolicy, Vitals, liveness, overlap_s, readiness

POLICY = HealthPolicy(
    beat_s=30.0, stall_s=100.0, unsaved_s=110.0, request_s=120.0, away_s=15.0, assign_s=130.0, excused_s=900.0
)
STABLE = settings(max_examples=100, deadline=None, derandomize=True)


def vitals(**known: Any) -> Vitals:
    usual: dict[str, Any] = {"kind": "profiles", "assigned": frozenset({0}), "owned": frozenset({0}), "beat_age_s": 0.1}
    return Vitals(**(usual | known))


def failing(report: Any) -> list[str]:
    return [check.name for check in report.checks if not check.passed]


def test_worker_without_work_is_live_and_ready() -> None:
    assert liveness(vitals(), POLICY).passed
    assert readiness(vitals(), POLICY).passed


@pytest.mark.parametrize(
    ("known", "name"),
    [
        ({"beat_age_s": 30.1}, "event loop"),
        ({"standing_s": {"behaviour-events/0": 100.1, "behaviour-events/1": 3.0}}, "partitions"),
        ({"unsaved_s": {"partition 0": 110.1}}, "checkpoints"),
        ({"oldest_request_s": 120.1}, "requests"),
        ({"unsettled_s": 130.1}, "assignment"),
    ],
)
def test_standstill_past_its_bound_is_not_live_and_says_which(known: dict[str, Any], name: str) -> None:
    report = liveness(vitals(**known), POLICY)
    assert failing(report) == [name]
    just_before = {
        key: {place: seconds - 0.2 for place, seconds in value.items()} if isinstance(value, dict) else value - 0.2
        for key, value in known.items()
    }
    assert liveness(vitals(**just_before), POLICY).passed


def test_body_is_json_with_reasons_and_numbers() -> None:
    report = liveness(vitals(standing_s={"behaviour-events/0": 101.0}, lags={"behaviour-events/0": 7}), POLICY)
    body = json.loads(json.dumps(report.body()))
    assert body["ok"] is False
    assert body["reasons"] == ["partitions: behaviour-events/0 stands still while records wait"]
    assert (body["partitions"], body["lag_records"], body["state"]) == (
        [0],
        {"behaviour-events/0": 7},
        "profiles: owns 1 of 1 assigned partitions",
    )
    [check] = [check for check in body["checks"] if check["name"] == "partitions"]
    assert (check["measured_s"], check["bound_s"]) == (101.0, 100.0)


def test_outage_excuses_a_standstill_while_it_lasts_and_the_time_that_it_took() -> None:
    """Redis away from 700 s to 50 s ago: of a standstill of 720 s, 70 count; of one of 760 s, 110 do."""
    after = {"outages_s": [(700.0, 50.0)]}
    assert liveness(vitals(standing_s={"p": 720.0}, **after), POLICY).passed
    assert failing(liveness(vitals(standing_s={"p": 760.0}, **after), POLICY)) == ["partitions"]
    during = {"away_s": {"redis": 700.0}, "outages_s": [(700.0, 0.0)]}
    assert liveness(vitals(standing_s={"p": 720.0}, unsaved_s={"p": 720.0}, oldest_request_s=720.0, **during), POLICY).passed


def test_outage_past_its_bound_excuses_nothing() -> None:
    known = {"away_s": {"redis": 901.0}, "outages_s": [(901.0, 0.0)]}
    assert failing(liveness(vitals(standing_s={"p": 950.0}, **known), POLICY)) == ["partitions"]


def test_outage_never_excuses_a_stuck_event_loop() -> None:
    report = liveness(vitals(beat_age_s=31.0, away_s={"redis": 31.0}, outages_s=[(31.0, 0.0)]), POLICY)
    assert failing(report) == ["event loop"]


@pytest.mark.parametrize(
    ("known", "names", "state"),
    [
        ({"assigned": None, "owned": frozenset()}, ["partitions"], "waiting for an assignment"),
        ({"assigned": frozenset({0, 1})}, ["partitions"], "profiles: owns 1 of 2 assigned partitions"),
        ({"assigned": frozenset(), "owned": frozenset()}, [], "standby: no partition is assigned"),
        ({"away_s": {"redis": 15.1, "kafka": 2.0}}, ["redis"], "profiles: owns 1 of 1 assigned partitions"),
        ({"away_s": {"redis": 15.0}}, [], "profiles: owns 1 of 1 assigned partitions"),
        ({"beat_age_s": 31.0}, ["event loop"], "profiles: owns 1 of 1 assigned partitions"),
    ],
)
def test_ready_is_who_has_partitions_or_waits_for_some_with_everything_there(
    known: dict[str, Any], names: list[str], state: str
) -> None:
    report = readiness(vitals(**known), POLICY)
    assert (failing(report), report.body()["state"]) == (names, state)


@given(
    spans=st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)).map(lambda pair: (max(pair), min(pair)))),
    within=st.integers(0, 60),
)
@STABLE
def test_overlap_counts_every_second_once(spans: list[tuple[int, int]], within: int) -> None:
    expected = sum(any(until <= second < since for since, until in spans) for second in range(within))
    assert overlap_s([(float(since), float(until)) for since, until in spans], float(within)) == expected
