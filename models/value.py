"""What an answer to a request is worth, so that a model which cannot answer everybody answers the right users first.

Four things make an answer worth its tokens, each in [0, 1]: the user is there now (a visit or a search asked, not a drift);
the user is likely to return soon; the profile has moved since it was last asked about; the slate that it replaces is old. The
value is their weighted mean. How long a request has waited is no part of it: whoever orders requests by value bounds the wait
(`ValuePolicy.patience_s`).

Knows nothing about queues, clocks or models.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, inf

from models.entities import PackedRequest, TriggerReason
from models.errors import ConfigError
from models.profiles import decode
from models.profiles.policy import DAY_MS, day_of

_THERE: frozenset[TriggerReason] = frozenset({"visit", "search"})


@dataclass(frozen=True, kw_only=True)
class ValuePolicy:
    """Weights, which are held against their sum, and what the parts are measured by."""

    there_weight: float = 0.3  # a slate that comes while its user looks is used at once
    return_weight: float = 0.3
    drift_weight: float = 0.2
    age_weight: float = 0.2
    horizon_days: float = 1.0  # "soon": a slate is fresh for a day, so who comes later gets another one
    # Before anything is known a user returns on one day in fourteen; a week of what is known weighs as much as that.
    prior_visits: float = 0.5
    prior_days: float = 7.0
    full_age_days: float = 3.0  # a slate is gone after three days: older than that is as good as none
    # A request that has waited longer goes first, the oldest before the others: half of the 15 minutes that a visit lasts.
    patience_s: float = 450.0

    def __post_init__(self) -> None:
        """Refuses weights without a sum, and measures that divide by nothing."""
        for name in ("there_weight", "return_weight", "drift_weight", "age_weight"):
            if not 0 <= getattr(self, name) < inf:
                message = f"{name} = {getattr(self, name)} must be a finite number of at least 0"
                raise ConfigError(message)
        total = self.there_weight + self.return_weight + self.drift_weight + self.age_weight
        if not total > 0:
            message = f"the weights of a request's value add up to {total}; must be more than 0"
            raise ConfigError(message)
        for name in ("horizon_days", "prior_days", "full_age_days"):
            if not getattr(self, name) > 0:
                message = f"{name} = {getattr(self, name)} must be more than 0"
                raise ConfigError(message)


def value_of(request: PackedRequest, policy: ValuePolicy) -> float:
    """What an answer is worth, in [0, 1].

    Raises:
        UnknownVersion: the profile was written by a release that this one cannot read.
        DecodeError: its bytes are no profile.
    """
    visit_days = decode(request.profile).visit_days
    age_ms = request.as_of_ms - request.last_asked_ms if request.last_asked_ms >= 0 else None
    parts = (
        (policy.there_weight, float(request.reason in _THERE)),
        (policy.return_weight, return_chance(visit_days, day_of(request.as_of_ms), policy)),
        (policy.drift_weight, request.drift),
        (policy.age_weight, slate_age(age_ms, policy)),
    )
    return sum(weight * part for weight, part in parts) / sum(weight for weight, _ in parts)


def return_chance(visit_days: Sequence[int], day: int, policy: ValuePolicy) -> float:
    """How likely the user returns within the horizon.

    Visits are taken for a Poisson process whose rate has a gamma prior: (visits after the first + prior) / (days since the
    first + prior).

    Args:
        visit_days: the days of the last visits, oldest first.
        day: today.
        policy: prior and horizon.

    Example:
        Daily for the last ten days; once, ten days ago.

        >>> policy = ValuePolicy()
        >>> round(return_chance(range(90, 101), 100, policy), 2), round(return_chance([90], 100, policy), 2)
        (0.46, 0.03)
    """
    since_days = max(0, day - visit_days[0]) if visit_days else 0
    rate = (max(0, len(visit_days) - 1) + policy.prior_visits) / (since_days + policy.prior_days)
    return 1.0 - exp(-rate * policy.horizon_days)


def slate_age(age_ms: int | None, policy: ValuePolicy) -> float:
    """How old the slate is that would be replaced, as a share of the age at which it is as good as none; 1 without one.

    Example:
        >>> slate_age(None, ValuePolicy()), slate_age(DAY_MS, ValuePolicy(full_age_days=4.0))
        (1.0, 0.25)
    """
    if age_ms is None:
        return 1.0
    return min(1.0, max(0, age_ms) / (policy.full_age_days * DAY_MS))
