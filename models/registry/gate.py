"""Whether a version may take the place of the one that serves: no worse in ranking, nor in novelty, nor in diversity.

All three, because preference alignment is known to buy ranking with novelty (a reproduction on MovieLens-100K: NDCG@10 up by
8.6 %, novelty from .0554 down to .0544), and a serendipity engine that only ranks better has lost what it is for. Knows
nothing about folders or models.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite

from msgspec import Struct


class Measured(Struct, frozen=True, kw_only=True):
    """A mean with its 95 % interval, and what it is the mean of."""

    name: str
    mean: float
    low: float
    high: float

    def __post_init__(self) -> None:
        if not all(isfinite(value) for value in (self.mean, self.low, self.high)):
            message = f"{self.name}: {self.mean} [{self.low}, {self.high}], must be finite numbers"
            raise ValueError(message)


class Metrics(Struct, frozen=True, kw_only=True):
    """What an evaluation found; more is better in each. `evaluation` names log, part, cases and seed: only like compares."""

    evaluation: str
    ranking: Measured
    novelty: Measured
    diversity: Measured


@dataclass(frozen=True, kw_only=True)
class Gate:
    """How much of each mean a new version may lose, as a share of the mean of the version that serves."""

    ranking_drop: float = 0.01  # less than any interval here is wide, so that a tie with another seed passes
    novelty_drop: float = 0.01  # the drop of the reproduction above was 0.018
    diversity_drop: float = 0.02  # unique titles of 30 and categories vary by about a hundredth from seed to seed


def refusals(candidate: Metrics | None, current: Metrics | None, *, gate: Gate) -> tuple[str, ...]:
    """Why a version may not be promoted; empty: it may.

    Args:
        candidate: of the version that would serve.
        current: of the version that serves; None when none does, and then having been measured is enough.
        gate: the tolerances.

    Example:
        >>> def found(ranking, novelty):
        ...     return Metrics(
        ...         evaluation="films",
        ...         ranking=Measured(name="ndcg@10", mean=ranking, low=ranking, high=ranking),
        ...         novelty=Measured(name="novelty", mean=novelty, low=novelty, high=novelty),
        ...         diversity=Measured(name="titles", mean=28.0, low=28.0, high=28.0),
        ...     )
        >>> refusals(found(0.1086, 0.0544), found(0.1, 0.0554), gate=Gate())
        ('novelty (novelty): 0.0544 is under 0.05485, 0.0554 of the one that serves less 1%',)
    """
    if candidate is None:
        return ("it was not measured: add it with --metrics",)
    if current is None:
        return ()
    if candidate.evaluation != current.evaluation:
        return (f"measured on {candidate.evaluation!r}, the version that serves on {current.evaluation!r}: not comparable",)
    compared = (
        ("ranking", candidate.ranking, current.ranking, gate.ranking_drop),
        ("novelty", candidate.novelty, current.novelty, gate.novelty_drop),
        ("diversity", candidate.diversity, current.diversity, gate.diversity_drop),
    )
    return tuple(why for what, new, old, drop in compared if (why := _refusal(what, new, old, drop)))


def _refusal(what: str, new: Measured, old: Measured, drop: float) -> str:
    if new.name != old.name:
        return f"{what}: measured as {new.name}, of the version that serves as {old.name}: not comparable"
    least = old.mean * (1.0 - drop)
    if new.mean >= least:
        return ""
    return f"{what} ({new.name}): {new.mean:.4g} is under {least:.4g}, {old.mean:.4g} of the one that serves less {drop:.0%}"
