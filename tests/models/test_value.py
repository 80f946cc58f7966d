"""What an answer is worth: each reason to hurry counts, by its weight, and none counts twice."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from models.entities import PackedRequest
from models.errors import ConfigError, DecodeError
from models.profiles import Profile, encode
from models.profiles.policy import DAY_MS
from models.value import ValuePolicy, return_chance, slate_age, value_of

TODAY = 20_000
POLICY = ValuePolicy()


def packed(*, visit_days: list[int] | None = None, **fields: Any) -> PackedRequest:
    profile = Profile()
    profile.visit_days = [TODAY] if visit_days is None else visit_days
    made = PackedRequest(
        user_id="u",
        surface="home",
        reason="drift",
        as_of_ms=TODAY * DAY_MS,
        epoch=1,
        partition=0,
        offset=5,
        drift=0.5,
        last_asked_ms=TODAY * DAY_MS - DAY_MS,
        profile=encode(profile),
    )
    return structs.replace(made, **fields)


def test_value_is_the_weighted_mean_of_its_four_parts() -> None:
    """There 1; returns: 10 visits and a half in 17 days, 1 - e^(-10.5/17); drift 0.25; age 1.5 of 3 days."""
    found = value_of(
        packed(
            reason="search",
            drift=0.25,
            last_asked_ms=TODAY * DAY_MS - 3 * DAY_MS // 2,
            visit_days=list(range(TODAY - 10, TODAY + 1)),
        ),
        POLICY,
    )
    assert found == pytest.approx(0.3 * 1 + 0.3 * (1 - math.exp(-10.5 / 17)) + 0.2 * 0.25 + 0.2 * 0.5)


@pytest.mark.parametrize(
    "urgent",
    [
        {"reason": "visit"},
        {"reason": "search"},
        {"visit_days": [TODAY - 1, TODAY]},
        {"drift": 0.6},
        {"last_asked_ms": -1},
        {"last_asked_ms": TODAY * DAY_MS - 2 * DAY_MS},
    ],
)
def test_each_reason_to_hurry_adds_to_the_value(urgent: dict[str, Any]) -> None:
    assert value_of(packed(**urgent), POLICY) > value_of(packed(), POLICY)


def test_user_who_has_not_been_here_for_long_is_less_likely_to_return() -> None:
    chances = [return_chance([TODAY], TODAY + days, POLICY) for days in (0, 1, 10, 100)]
    assert chances == sorted(chances, reverse=True)
    assert return_chance([], TODAY, POLICY) == pytest.approx(1 - math.exp(-0.5 / 7))


@given(
    st.sampled_from(["visit", "search", "drift"]),
    st.lists(st.integers(1, 65_535), max_size=11, unique=True).map(sorted),
    st.integers(0, 2**53 - 1),
    st.integers(-1, 2**53 - 1),
    st.floats(0, 1),
)
def test_value_is_a_share_whatever_the_times_are(
    reason: str, visit_days: list[int], as_of_ms: int, last_asked_ms: int, drift: float
) -> None:
    asked = packed(reason=reason, visit_days=visit_days, as_of_ms=as_of_ms, last_asked_ms=last_asked_ms, drift=drift)
    assert 0.0 <= value_of(asked, POLICY) <= 1.0


def test_slate_is_as_good_as_none_after_its_full_age() -> None:
    assert [slate_age(days * DAY_MS, POLICY) for days in (-1, 0, 3, 30)] == [0.0, 0.0, 1.0, 1.0]


def test_value_of_a_request_without_a_profile_is_refused() -> None:
    with pytest.raises(DecodeError, match="0 bytes are no profile"):
        value_of(packed(profile=b""), POLICY)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"there_weight": 0.0, "return_weight": 0.0, "drift_weight": 0.0, "age_weight": 0.0}, "weights .* add up to 0.0"),
        ({"age_weight": -0.1}, "age_weight = -0.1"),
        ({"horizon_days": 0.0}, "horizon_days = 0.0"),
        ({"prior_days": 0.0}, "prior_days = 0.0"),
        ({"full_age_days": 0.0}, "full_age_days = 0.0"),
    ],
)
def test_policy_that_divides_by_nothing_is_refused(wrong: dict[str, float], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        ValuePolicy(**wrong)
