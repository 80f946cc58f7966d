"""What live and ready mean: progress, not presence. Pure: the numbers come from outside, and so does the time in them.

Live: whatever there is to do moves on. What Redis, Kafka or the model holds up by being away is excused for a while, because
a restart brings none of them back. Ready: the worker has what it needs to work, or waits for partitions as a standby.

Knows nothing about HTTP, workers or clocks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple


@dataclass(frozen=True, kw_only=True)
class HealthPolicy:
    """How long is too long, in seconds."""

    beat_s: float = 30.0  # the event loop runs; its longest step, a chunk of 5,000 events, takes well under a second
    stall_s: float = 180.0  # records wait and the partition does not move; a slow model's batch takes a minute at most
    unsaved_s: float = 180.0  # changes wait for a checkpoint, which is due after one second and may wait 60 in a rebalance
    request_s: float = 600.0  # a request that was taken waits for its slate: a full queue of 1,000 behind a slow model
    away_s: float = 15.0  # ready: Redis, Kafka or the model is away; a failover takes less
    assign_s: float = 300.0  # partitions come: session timeout (60), last checkpoint (60), takeover (75), and room
    excused_s: float = 900.0  # live: an outage explains a standstill for this long; then a new process may fare better


class Check(NamedTuple):
    """One condition: what was measured, in seconds, and its bound."""

    name: str
    passed: bool
    measured_s: float
    bound_s: float
    detail: str


@dataclass(frozen=True, kw_only=True)
class Vitals:
    """A worker at one moment. Durations are in seconds; `standing_s`, `unsaved_s` name partitions.

    `assigned` is None before the first assignment and during a rebalance. `outages_s` tells from when to when something was
    away, in seconds ago: no standstill counts meanwhile.
    """

    kind: str
    assigned: frozenset[int] | None
    owned: frozenset[int]
    beat_age_s: float
    unsettled_s: float = 0.0
    outages_s: Sequence[tuple[float, float]] = ()
    away_s: Mapping[str, float] = field(default_factory=dict)
    standing_s: Mapping[str, float] = field(default_factory=dict)
    unsaved_s: Mapping[str, float] = field(default_factory=dict)
    lags: Mapping[str, int] = field(default_factory=dict)
    oldest_request_s: float = 0.0
    model: Mapping[str, Any] = field(default_factory=dict)  # of a judging worker: what serves, and its last changes


class Report(NamedTuple):
    """Whether all is well, and every check."""

    vitals: Vitals
    checks: Sequence[Check]

    @property
    def passed(self) -> bool:
        """Whether every check was."""
        return all(check.passed for check in self.checks)

    def body(self) -> dict[str, Any]:
        """As JSON values: the reasons first, then the numbers."""
        return {
            "ok": self.passed,
            "state": _state(self.vitals),
            "reasons": [f"{check.name}: {check.detail}" for check in self.checks if not check.passed],
            "checks": [
                check._asdict() | {"measured_s": round(check.measured_s, 3), "bound_s": check.bound_s} for check in self.checks
            ],
            "partitions": sorted(self.vitals.owned),
            "lag_records": dict(sorted(self.vitals.lags.items())),
            "away_s": {cause: round(seconds, 3) for cause, seconds in sorted(self.vitals.away_s.items())},
            **({"model": dict(self.vitals.model)} if self.vitals.model else {}),
        }


def liveness(vitals: Vitals, policy: HealthPolicy) -> Report:
    """Whether the worker moves what there is to move. A failing one is best started again."""
    away = max(vitals.away_s.values(), default=0.0)
    spans = vitals.outages_s if away <= policy.excused_s else ()

    def work(name: str, measured_s: float, bound_s: float, detail: str) -> Check:
        counted_s = measured_s - overlap_s(spans, measured_s)
        note = f"{detail}; {_names(vitals.away_s)}" if vitals.away_s else detail
        return Check(name, counted_s <= bound_s, counted_s, bound_s, note)

    standing, unsaved = _worst(vitals.standing_s), _worst(vitals.unsaved_s)
    checks = [
        Check("event loop", vitals.beat_age_s <= policy.beat_s, vitals.beat_age_s, policy.beat_s, "time since it last ran"),
        work("partitions", standing[1], policy.stall_s, f"{standing[0]} stands still while records wait"),
        work("checkpoints", unsaved[1], policy.unsaved_s, f"{unsaved[0]} has changes that are not durable"),
        work("assignment", vitals.unsettled_s, policy.assign_s, "time without the partitions that are ours"),
        work("requests", vitals.oldest_request_s, policy.request_s, "age of the oldest undone request, since it was taken"),
    ]
    return Report(vitals, checks)


def readiness(vitals: Vitals, policy: HealthPolicy) -> Report:
    """Whether the worker has its partitions, and everything that it leans on; a standby without any is ready."""
    missing = sorted((vitals.assigned or frozenset()) - vitals.owned)
    taken = vitals.assigned is not None and not missing
    what = f"not taken over: {missing}" if missing else "no assignment yet" if vitals.assigned is None else "all taken over"
    checks = [Check("partitions", taken, 0.0, 0.0, what)]
    checks += [
        Check(cause, seconds <= policy.away_s, seconds, policy.away_s, f"away for {seconds:.0f} s")
        for cause, seconds in sorted(vitals.away_s.items())
    ]
    checks.append(
        Check("event loop", vitals.beat_age_s <= policy.beat_s, vitals.beat_age_s, policy.beat_s, "time since it last ran")
    )
    return Report(vitals, checks)


def overlap_s(spans_s: Iterable[tuple[float, float]], within_s: float) -> float:
    """How much of the last `within_s` seconds the spans cover together; spans are given in seconds ago.

    Example:
        >>> overlap_s([(50.0, 30.0), (40.0, 20.0), (5.0, 0.0)], 45.0)
        30.0
    """
    covered, reached = 0.0, within_s
    for since, until in sorted(spans_s, reverse=True):
        begun = min(since, reached)
        if begun > until:
            covered += begun - until
            reached = until
    return covered


def _state(vitals: Vitals) -> str:
    if vitals.assigned is None:
        return "waiting for an assignment"
    if not vitals.assigned:
        return "standby: no partition is assigned"
    return f"{vitals.kind}: owns {len(vitals.owned & vitals.assigned)} of {len(vitals.assigned)} assigned partitions"


def _worst(seconds: Mapping[str, float]) -> tuple[str, float]:
    return max(seconds.items(), key=lambda item: item[1], default=("none", 0.0))


def _names(away_s: Mapping[str, float]) -> str:
    return "away: " + ", ".join(f"{cause} {seconds:.0f} s" for cause, seconds in sorted(away_s.items()))
