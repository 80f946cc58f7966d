"""Pre-rank: which candidates are worth SerenGPT's time, and what each is worth once it has spoken.

Knows nothing about where candidates come from or how many places a slate has. Step 7 of the walk, on both sides of the one
scoring call: `shortlist` before it, `prerank` after it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from models.combine import CombinePolicy, Parts, combine
from models.entities import Candidate, Filtered
from models.retrieval.filters import SCORE_LIMIT

# Scores are cut here before they are compared or drawn from: what differs between two processors is far smaller, and a 32-bit
# float of a slate keeps as much.
DIGITS = 6


@dataclass(frozen=True, kw_only=True)
class SlatePolicy(CombinePolicy):
    """The combination that ranks slates: relevance x unexpectedness x aligned.

    A strict product, so that a candidate which fails in one part cannot make up for it in another: surprising rubbish and the
    welcome but expected both end low.
    """

    novelty_weight: float = 0.0  # what the user owns or saw is filtered before (models.retrieval.filters)
    timeliness_weight: float = 0.0  # needs a season (serengpt.season); then 0.5 to 1 is what validation liked
    aligned_weight: float = 1.0
    shift: float = 0.0  # the parts are computed, not answered in steps: a 0 means no
    sharpness: float = 3.0  # the sum of the weights: the plain product, on which the temperature of the draw rests


class Promise(NamedTuple):
    """A candidate and its two scores that cost nothing."""

    candidate: Candidate
    unexpectedness: float

    @property
    def value(self) -> float:
        """What is known before SerenGPT is asked."""
        return round(self.candidate.relevance * self.unexpectedness, DIGITS)


class Judged(NamedTuple):
    """A candidate with all parts of its score, each in [0, 1]; `serendipity` is made of them by `combine`."""

    item_id: str
    relevance: float
    unexpectedness: float
    aligned: float
    serendipity: float


class Shortlist(NamedTuple):
    """The candidates that SerenGPT scores, best first, and those that it does not."""

    promises: tuple[Promise, ...]
    filtered: tuple[Filtered, ...]


def shortlist(candidates: Sequence[Candidate], unexpected: Sequence[float], *, limit: int) -> Shortlist:
    """The candidates with the most relevance x unexpectedness, best first, of equal ones by item id.

    Args:
        candidates: those that the filters let through.
        unexpected: their unexpectedness, in the same order.
        limit: how many SerenGPT scores.

    Returns:
        Every candidate once, either in the list or filtered by the rule `score_limit`.

    Raises:
        ValueError: the two do not have the same length.
    """
    promises = [Promise(candidate, round(value, DIGITS)) for candidate, value in zip(candidates, unexpected, strict=True)]
    promises.sort(key=lambda promise: (-promise.value, promise.candidate.item_id))
    return Shortlist(
        promises=tuple(promises[:limit]),
        filtered=tuple(Filtered(promise.candidate.item_id, SCORE_LIMIT) for promise in promises[limit:]),
    )


def prerank(
    promises: Sequence[Promise],
    aligned: Sequence[float],
    *,
    policy: CombinePolicy,
    timeliness: Callable[[str], float] | None = None,
) -> tuple[Judged, ...]:
    """The candidates by their serendipity, best first, of equal ones by item id.

    Args:
        promises: as `shortlist` gave them.
        aligned: SerenGPT's score of each, in [0, 1], in the same order.
        policy: how the parts become one.
        timeliness: how timely an item is, in [0, 1], by id; None: not known. It counts where the policy gives it a weight.

    Raises:
        ValueError: the two do not have the same length.

    Example:
        >>> mug = Promise(Candidate(item_id="mug", relevance=0.5, sources=()), unexpectedness=0.8)
        >>> [judged.serendipity for judged in prerank([mug], [0.5], policy=SlatePolicy())]
        [0.2]
    """
    times = [None if timeliness is None else round(timeliness(one.candidate.item_id), DIGITS) for one in promises]
    judged = [
        _judged(promise, round(value, DIGITS), time, policy)
        for promise, value, time in zip(promises, aligned, times, strict=True)
    ]
    return tuple(sorted(judged, key=lambda one: (-one.serendipity, one.item_id)))


def _judged(promise: Promise, aligned: float, timeliness: float | None, policy: CombinePolicy) -> Judged:
    relevance, unexpectedness = promise.candidate.relevance, promise.unexpectedness
    parts = Parts(relevance=relevance, unexpectedness=unexpectedness, aligned=aligned, timeliness=timeliness)
    return Judged(
        item_id=promise.candidate.item_id,
        relevance=relevance,
        unexpectedness=unexpectedness,
        aligned=aligned,
        serendipity=round(combine(parts, policy), DIGITS),
    )
