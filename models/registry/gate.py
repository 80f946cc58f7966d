"""Whether a version may take the place of the one that serves: surely no worse in ranking, nor in novelty, nor in diversity.

All three, because preference alignment is known to buy ranking with novelty (a reproduction on MovieLens-100K: NDCG@10 up by
8.6 %, novelty from .0554 down to .0544), and a serendipity engine that only ranks better has lost what it is for. Surely:
both are compared case by case on the same cases, users are resampled, and a loss beyond the tolerance that the interval does
not rule out is refused. A mean alone promotes chance: of some hundred cases a gain may be gone on the next ones.

Knows nothing about folders or models.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from models.metrics import bootstrap
from models.registry.measured import Measured, Metrics

_SEED = 0  # of the resampling: who asks twice is told the same


@dataclass(frozen=True, kw_only=True)
class Gate:
    """How much of each mean a new version may lose, as a share of the mean of the version that serves, and how surely.

    The less may be lost, the more cases it takes to know: four times as many for half the tolerance.
    """

    # Of one shop's 394 cases the paired interval is 0.033 to either side: two versions that rank alike take 1,100 to tell so.
    ranking_drop: float = 0.02
    novelty_drop: float = 0.01  # the drop of the reproduction above was 0.018
    diversity_drop: float = 0.02  # unique titles of 30 and categories vary by about a hundredth from seed to seed
    confidence: float = 0.95  # of the interval over users, both sides
    users_count: int = 30  # fewest that are resampled: of few, an interval claims a certainty that is not there


def refusals(candidate: Metrics | None, current: Metrics | None, *, gate: Gate) -> tuple[str, ...]:
    """Why a version may not be promoted; empty: it may.

    Args:
        candidate: of the version that would serve.
        current: of the version that serves; None when none does, and then having been measured is enough.
        gate: the tolerances.

    Example:
        Of forty users, each one case; half of them are shown less that is new than before, which is 2 % in all:

        >>> from models.registry.measured import Evaluation
        >>> def found(ranking, novelty):
        ...     def measured(name, values):
        ...         mean = sum(values) / 40
        ...         return Measured(name=name, mean=mean, low=mean, high=mean, values=tuple(values))
        ...     shop = Evaluation(
        ...         name="shop", log="a" * 64, part="validation", seed=0, negatives=99, cases=40, slates=40, asked="b" * 64,
        ...         tower="c" * 64, engine="torch", prompt_version=1,
        ...     )  # fmt: skip
        ...     return Metrics(
        ...         evaluation=shop, checkpoint="d" * 64, model_id="m", users=tuple(range(40)),
        ...         ranking=measured("NDCG@10", ranking), novelty=measured("new", novelty),
        ...         diversity=measured("titles", [28.0] * 40),
        ...     )  # fmt: skip
        >>> better, same = found([0.109] * 40, [50.0, 48.0] * 20), found([0.1] * 40, [50.0] * 40)
        >>> refusals(better, same, gate=Gate())
        ('novelty (new): -2.0% [-2.6% -1.4%] of 50, a loss of 1% or more',)
    """
    if candidate is None:
        return ("it was not measured: add it with --metrics",)
    if current is None:
        return ()
    if differences := candidate.evaluation.differences(current.evaluation):
        return (f"not comparable with the version that serves: measured with {'; '.join(differences)}",)
    if candidate.users != current.users:
        return ("not comparable with the version that serves: the same cases are said to be of other users",)
    everyone, shown = candidate.users, candidate.slate_users
    compared = (
        _refusal("ranking", candidate.ranking, current.ranking, gate.ranking_drop, everyone, gate),
        _refusal("novelty", candidate.novelty, current.novelty, gate.novelty_drop, shown, gate),
        _refusal("diversity", candidate.diversity, current.diversity, gate.diversity_drop, shown, gate),
    )
    return tuple(why for why in compared if why)


def _refusal(what: str, new: Measured, old: Measured, drop: float, users: Sequence[int], gate: Gate) -> str:
    if new.name != old.name:
        return f"{what}: measured as {new.name}, of the version that serves as {old.name}: not comparable"
    people = len(set(users))
    if people < gate.users_count:
        return f"{what} ({new.name}): measured on {people} users, must be at least {gate.users_count}"
    # What is left of the tolerance, case by case: a ratio of means has no value in a case, this difference has.
    room = [one - (1.0 - drop) * other for one, other in zip(new.values, old.values, strict=True)]
    left = bootstrap(room, list(map(str, users)), seed=_SEED, confidence=gate.confidence)
    if left.low >= 0.0:
        return ""
    mean, low, high = (f"{bound / (old.mean or 1.0) - drop:+.1%}" for bound in left)
    change = f"{what} ({new.name}): {mean} [{low} {high}] of {old.mean:.4g}"
    if left.mean <= 0.0:
        return f"{change}, a loss of {drop:.0%} or more"
    more = ceil(len(room) * (1.0 - left.low / left.mean) ** 2) - len(room)  # an interval narrows with the square root
    return f"{change}: not enough cases to rule out a loss of {drop:.0%}; needs about {more:,} more than these {len(room):,}"
