"""What a seed decides while a world runs: how long things take, and which of them fail.

Knows nothing about what the things are.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

_SHORTEST_S = 0.0002
_USUAL_S = 0.02
_SLOW_S = 2.5  # longer than the time between two checkpoints


@dataclass(frozen=True, kw_only=True)
class Failures:
    """How often things go wrong, as shares of all operations. After the world has healed, all are 0."""

    refused: float = 0.0  # nothing was done, and the caller is told so
    unanswered: float = 0.0  # it was done, and the caller is told that it failed
    repeated: float = 0.0  # it was done twice
    slow: float = 0.0


class Chance:
    """The seed's dice.

    Args:
        seed: of the world.
        failures: while it is not healed.
    """

    def __init__(self, seed: int, failures: Failures) -> None:
        self.dice = random.Random(seed)  # noqa: S311 - a simulation must be repeatable
        self.failures = failures

    def heal(self) -> None:
        """From now on nothing fails."""
        self.failures = Failures()

    def latency_s(self) -> float:
        """How long one leg of an exchange takes: some milliseconds, now and then seconds."""
        if self.dice.random() < self.failures.slow:
            return self.dice.uniform(0.1, _SLOW_S)
        return _SHORTEST_S + _USUAL_S * self.dice.random() ** 3

    def happens(self, share: float) -> bool:
        """Whether something with this share happens now."""
        return share > 0 and self.dice.random() < share
