"""What goes wrong in a world, and when: decided by its seed before it begins.

Knows nothing about how a fault is done.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal, NamedTuple

from streams.simulation.chance import Failures

FaultKind = Literal["crash", "freeze", "put out", "stop", "redis", "broker", "corrupt", "model"]

_KINDS: tuple[FaultKind, ...] = ("crash", "freeze", "put out", "stop", "redis", "broker", "corrupt")
_LOST_S = 1.0  # what an append-only file that is flushed every second may lose
_LONGEST_S = {
    "crash": 4.0,
    "freeze": 25.0,
    "put out": 12.0,
    "stop": 3.0,
    "redis": 6.0,
    "broker": 6.0,
    "corrupt": 0.0,
    "model": 20.0,
}
_AWAY_SHARE = 0.4  # of worlds in which the model goes away


class Fault(NamedTuple):
    """One thing that goes wrong.

    `lasting_s`: until it is over (a process that died is started again, a member that was put out learns of it).
    `lost_s`: of a Redis that dies, the writes that were not on disk.
    """

    at_s: float
    kind: FaultKind
    target: int
    lasting_s: float
    lost_s: float


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All that goes wrong in one world."""

    faults: list[Fault]
    failures: Failures
    profile_workers: int
    judging_workers: int
    concurrency: int  # tasks that serve in each judging worker
    answer_s: float = 0.01  # the model takes up to this long for a batch


def make_plan(dice: random.Random, *, lasting_s: float) -> Plan:
    """Some kinds of faults, some of each; one world in eight has none, so that the checker itself is checked."""
    if dice.random() < 0.125:
        return Plan(faults=[], failures=Failures(), profile_workers=2, judging_workers=1, concurrency=1)
    kinds = [kind for kind in _KINDS if dice.random() < 0.5]
    loses = dice.random() < 0.5
    faults = [_fault(dice, kind, lasting_s, loses=loses) for kind in kinds for _ in range(dice.randint(1, 3))]
    flaky = dice.choice([0.0, 0.0, 0.02, 0.1])
    slow = dice.choice([0.0, 0.05, 0.3])
    return Plan(
        faults=sorted(faults),
        failures=Failures(refused=flaky, unanswered=flaky, repeated=flaky, slow=slow),
        profile_workers=dice.randint(1, 3),
        judging_workers=dice.randint(1, 2),
        concurrency=dice.randint(1, 2),
        answer_s=dice.choice([0.01, 0.3, 3.0]),
    )


def away(dice: random.Random, *, lasting_s: float) -> list[Fault]:
    """When and how the model goes away, in some worlds; `target` says in which way."""
    if dice.random() >= _AWAY_SHARE:
        return []
    return sorted(_fault(dice, "model", lasting_s, loses=False) for _ in range(dice.randint(1, 3)))


def _fault(dice: random.Random, kind: FaultKind, lasting_s: float, *, loses: bool) -> Fault:
    # A short Redis restart is the worst one: it may fall between two commands, and nobody sees an error.
    over_s = dice.choice([0.0, dice.uniform(0.0, 0.05), dice.uniform(0.0, _LONGEST_S[kind])])
    lost_s = dice.uniform(0.0, _LOST_S) if kind == "redis" and loses else 0.0
    return Fault(dice.uniform(0.3, lasting_s + 3.0), kind, dice.randrange(8), over_s, lost_s)
