"""When to ask SerenGPT about a user: after a visit without a fresh slate, after a search, or when the profile drifted.

A reason starts a pending trigger; it fires when the user has been quiet for a while, or has kept us waiting for too long, but
never within the cool-down of the last one. All of it is event time, so a replay fires at the same instants as the live run
did. The state lives in the profile and survives a restart with it.

Knows nothing about clocks or timers: who holds the profile asks `due_ms` and calls `fire`.
"""

from __future__ import annotations

from dataclasses import dataclass

from models.entities import Event, TriggerReason
from models.profiles.state import Profile


@dataclass(frozen=True, kw_only=True)
class TriggerPolicy:
    """Thresholds of the trigger; the papers name the visit, the search and 24 h, the rest is ours."""

    start_ms: int = 0  # event time before which events are history: they shape profiles and ask nothing (backfill)
    slate_age_s: float = 86_400.0  # an older slate is asked for again (papers.md 1.6: the cache lives for 24 h)
    quiet_s: float = 30.0  # a burst of events is one question; half of it asks twice for one page view
    max_wait_s: float = 300.0  # a user who never pauses is served after five minutes at the latest
    cool_down_s: float = 600.0  # minimal gap between two questions about one user
    drift_ratio: float = 0.5  # share of the decayed behaviour that is newer than the last question


def consider(profile: Profile, event: Event, policy: TriggerPolicy) -> bool:
    """Starts a pending trigger when the event, already folded into the profile, gives a reason; False where none starts."""
    if profile.pending is not None:
        return False
    reason = _reason(profile, event, policy)
    if reason is None:
        return False
    profile.pending = reason
    profile.pending_since_ms = profile.last_ms
    return True


def due_ms(profile: Profile, policy: TriggerPolicy) -> int | None:
    """The event time at which the pending trigger fires if nothing else happens; None without one."""
    if profile.pending is None:
        return None
    quiet = profile.last_ms + int(policy.quiet_s * 1000)
    longest = profile.pending_since_ms + int(policy.max_wait_s * 1000)
    due = min(quiet, longest)
    if profile.asked_ms >= 0:
        due = max(due, profile.asked_ms + int(policy.cool_down_s * 1000))
    return due


def drift(profile: Profile) -> float:
    """The share of the decayed behaviour that is newer than the last question, in [0, 1]; 1 where nothing was asked."""
    if profile.asked_ms < 0:
        return 1.0
    return max(0.0, 1.0 - profile.asked_mass / profile.mass) if profile.mass > 0.0 else 0.0


def fire(profile: Profile, as_of_ms: int) -> TriggerReason:
    """Ends the pending trigger at its due time and remembers what had been known by then.

    Raises:
        ValueError: nothing is pending.
    """
    reason = profile.pending
    if reason is None:
        message = "fire: no trigger is pending"
        raise ValueError(message)
    profile.pending = None
    profile.asked_ms = as_of_ms
    profile.asked_mass = profile.mass
    return reason


def _reason(profile: Profile, event: Event, policy: TriggerPolicy) -> TriggerReason | None:
    ts_ms, kind = event.ts_ms, event.type
    if ts_ms < policy.start_ms:
        return None
    if kind == "search":
        return "search"
    if kind == "visit":
        fresh = profile.asked_ms >= 0 and ts_ms - profile.asked_ms < policy.slate_age_s * 1000
        return None if fresh else "visit"
    if profile.asked_ms >= 0 and profile.mass > 0.0 and drift(profile) >= policy.drift_ratio:
        return "drift"
    return None
