"""Which tier answers: SerenGPT while it does well, a lower one while it does not, and SerenGPT again once it has proven good.

A state machine. It steps down at once, because users wait; it steps up only after a number of good probes over a stretch of
time (hysteresis), so that a model which comes and goes does not take the slates with it. Steps down go one tier at a time;
the step up goes straight to the top, which alone is probed.

Knows nothing about clocks, engines or requests: outcomes and times come from outside. An outcome of a tier that is not the
current one says nothing: it is of a batch that began before the last switch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

from models.entities import Tier

# Why the tier changed. failed: calls of the model failed one after the other; unsound: its scores were no numbers; slow: a
# batch took too long; late: a batch took so long that it was given up; overloaded: it took no batch for so long; dead, hung:
# it is gone, or did no work; queue: somebody waits too long; recovered: the way up.
Why = Literal["failed", "unsound", "slow", "late", "overloaded", "dead", "hung", "queue", "recovered"]
AT_ONCE: frozenset[Why] = frozenset(get_args(Why)) - {"failed", "unsound", "slow"}  # of these, `failures_count` in a row


@dataclass(frozen=True, kw_only=True)
class TierPolicy:
    """How bad is too bad, and how good is good enough."""

    # Batches, or requests that were tried alone, that the tier failed in a row: one may be the request's own fault, and the
    # second that of the same one.
    failures_count: int = 3
    slow_s: float = 60.0  # a batch that took longer counts as failed: a slow model on the CPU takes half of that for eight
    late_s: float = 180.0  # a batch is not waited for longer, nor an engine that takes nothing: its users have waited enough
    # Since the oldest request in hand reached its topic. A visit lasts about a quarter of an hour; what is answered later
    # has missed the visit that it was asked for.
    queue_age_s: float = 900.0
    queue_young_s: float = 300.0  # and no step up before it is down to this: a third, so that the backlog does not swing
    probe_s: float = 10.0  # between two probes of the top tier while a lower one answers: one request's worth of work
    probes_count: int = 3  # good ones in a row: what is broken often answers one request, and fails under the next ones
    steady_s: float = 60.0  # from the first of them to the last: thus at most one way down and up a minute


class Switch(NamedTuple):
    """The tier changed."""

    before: Tier
    after: Tier
    why: Why


class Ladder:
    """The tiers of one worker. All times are in seconds of one clock that never goes back.

    Args:
        tiers: those that can answer here, best first; the first is SerenGPT.
        policy: bounds.

    Raises:
        ValueError: there are no tiers.

    Example:
        >>> ladder = Ladder(("serengpt", "category"), TierPolicy(failures_count=2, probes_count=2, steady_s=5.0))
        >>> ladder.bad("serengpt", "failed"), ladder.bad("serengpt", "failed")
        (None, Switch(before='serengpt', after='category', why='failed'))
        >>> ladder.probed(True, now_s=10.0, queue_age_s=0.0), ladder.probed(True, now_s=16.0, queue_age_s=0.0)
        (None, Switch(before='category', after='serengpt', why='recovered'))
    """

    def __init__(self, tiers: Sequence[Tier], policy: TierPolicy) -> None:
        if not tiers:
            message = "tiers: none given, must be at least one"
            raise ValueError(message)
        self.tiers = tuple(tiers)
        self.policy = policy
        self._level = 0
        self._failures = 0  # in a row, of the current tier
        self._good_probes = 0  # in a row
        self._good_since_s = 0.0  # the first of them

    @property
    def tier(self) -> Tier:
        """Who answers now."""
        return self.tiers[self._level]

    @property
    def is_down(self) -> bool:
        """Whether it is not the top."""
        return self._level > 0

    @property
    def has_below(self) -> bool:
        """Whether there is a tier below the current one."""
        return self._level + 1 < len(self.tiers)

    def good(self, tier: Tier, *, took_s: float) -> Switch | None:
        """A tier answered a batch in so many seconds."""
        if took_s > self.policy.slow_s:
            return self.bad(tier, "slow")
        if tier == self.tier:
            self._failures = 0
        return None

    def bad(self, tier: Tier, why: Why) -> Switch | None:
        """A tier failed a batch, or a request that was tried alone."""
        if tier != self.tier:
            return None
        self._failures += 1
        if why in AT_ONCE or self._failures >= self.policy.failures_count:
            return self._down(why)
        return None

    def waited(self, age_s: float) -> Switch | None:
        """For how long the oldest request has been waiting. Only the top is left for that: the others are fast."""
        if self.is_down or age_s <= self.policy.queue_age_s:
            return None
        return self._down("queue")

    def probed(self, passed: bool, *, now_s: float, queue_age_s: float) -> Switch | None:
        """The top tier was tried while a lower one answers."""
        if not self.is_down:
            return None
        if not passed:
            self._good_probes = 0
            return None
        if self._good_probes == 0:
            self._good_since_s = now_s
        self._good_probes += 1
        policy = self.policy
        is_steady = self._good_probes >= policy.probes_count and now_s - self._good_since_s >= policy.steady_s
        if not is_steady or queue_age_s > policy.queue_young_s:
            return None
        switch = Switch(self.tier, self.tiers[0], "recovered")
        self._to(0)
        return switch

    def _down(self, why: Why) -> Switch | None:
        if not self.has_below:
            return None
        switch = Switch(self.tier, self.tiers[self._level + 1], why)
        self._to(self._level + 1)
        return switch

    def _to(self, level: int) -> None:
        self._level, self._failures = level, 0
        if level == 0:
            self._good_probes = 0
