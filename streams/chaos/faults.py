"""What goes wrong in a run, and when: decided by its seed before it begins. Knows nothing about how a fault is done."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import NamedTuple

# Kills, by what is killed: most of them workers, because a broker and a Redis are away for seconds and stop everybody else.
KILLS = {"kill profiles": 0.56, "kill judging": 0.2, "kill redis": 0.08, "cut redis power": 0.08, "kill broker": 0.08}
# What is no kill, one for every two kills.
OTHERS = {
    "freeze briefly": 0.25,  # shorter than the session: its group does not notice
    "freeze for long": 0.25,  # a zombie: it wakes up when others have its partitions
    "stop": 0.2,  # SIGTERM
    "scale out": 0.1,
    "scale in": 0.1,
    "restart redis": 0.05,
    "restart broker": 0.05,
}
_OTHERS_PER_KILL = 0.5
_BEYOND_S = 6.0  # a zombie sleeps up to this much longer than the session timeout


class Fault(NamedTuple):
    """One thing that goes wrong.

    `share`, within 0 to 1, chooses the process, and how much a power cut takes. `lasting_s`: until it is over.
    """

    at_s: float
    kind: str
    share: float
    lasting_s: float


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All that goes wrong in one run."""

    faults: list[Fault]

    @property
    def kills(self) -> int:
        """Processes that die without a word."""
        return sum(fault.kind in KILLS for fault in self.faults)


def make_plan(dice: random.Random, *, lasting_s: float, kills: int, session_s: float) -> Plan:
    """A plan for a run of `lasting_s`, with exactly as many kills, each kind as often as its share says.

    Args:
        dice: decides.
        lasting_s: of the run; every fault begins within it.
        kills: how many processes die.
        session_s: the workers' session timeout.
    """
    kinds = spread(KILLS, kills) + spread(OTHERS, round(kills * _OTHERS_PER_KILL))
    dice.shuffle(kinds)
    gap_s = lasting_s / max(1, len(kinds))
    faults = [
        Fault((place + dice.random()) * gap_s, kind, dice.random(), _lasting_s(dice, kind, session_s))
        for place, kind in enumerate(kinds)
    ]
    return Plan(faults=sorted(faults))


def spread(weights: dict[str, float], count: int) -> list[str]:
    """As many of each kind as its share says, the rest to those that came closest to one more.

    >>> spread({"a": 0.5, "b": 0.3, "c": 0.2}, 4)
    ['a', 'a', 'b', 'c']
    """
    whole = {kind: int(weight * count) for kind, weight in weights.items()}
    left = sorted(weights, key=lambda kind: whole[kind] - weights[kind] * count)
    for kind in left[: count - sum(whole.values())]:
        whole[kind] += 1
    return [kind for kind, times in whole.items() for _ in range(times)]


def _lasting_s(dice: random.Random, kind: str, session_s: float) -> float:
    if kind == "freeze for long":
        return session_s + dice.uniform(0.5, _BEYOND_S)
    if kind == "freeze briefly":
        return dice.uniform(0.1, session_s * 0.6)
    return dice.choice([0.0, dice.uniform(0.0, 1.0), dice.uniform(0.0, 4.0)])  # until it is started again
