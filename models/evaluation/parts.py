"""Items that were not retrieved, scored by the formula that ranks slates: the parts are made for any item of any case.

Relevance is the likeness to the user's recent history (a slate's is made of the ranks of retrieval, which an item that was not
retrieved does not have); aligned and timeliness are those of slates. Unexpectedness is left out: all items of a case are of
categories that are new to its user. Knows nothing about who makes the parts.
"""

from __future__ import annotations

from collections.abc import Sequence

from models.combine import CombinePolicy, Parts, combine
from models.evaluation.rankers import Scores
from models.serengpt.aligned import aligned_score
from models.serengpt.engine import Scored

FLOOR = 0.001  # of every part: a ranking goes on below, where a slate would stop at 0


def product(*, relevance: float = 0.0, aligned: float = 0.0, timeliness: float = 0.0, of: Sequence[Sequence[Parts]]) -> Scores:
    """One number per item of each case: the parts' product, each to the power of its weight.

    Args:
        relevance: weight of the part; likewise the others.
        aligned: see above.
        timeliness: see above.
        of: the parts.

    Raises:
        ValueError: no weight is above 0.
    """
    policy = CombinePolicy(
        relevance_weight=relevance,
        unexpectedness_weight=0.0,
        novelty_weight=0.0,
        timeliness_weight=timeliness,
        aligned_weight=aligned,
        shift=0.0,
    )
    return [[combine(parts, policy) for parts in case] for case in of]


def parts(relevance: Scores, timeliness: Scores, scored: Sequence[Sequence[Scored]] | None) -> list[list[Parts]]:
    """The parts of every item of each case.

    Args:
        relevance: cosines; what is below 0 is unlike, and no more than that.
        timeliness: in [0, 1].
        scored: SerenGPT's log-probabilities; None: there is no such part.
    """
    found = []
    for number, (likes, times) in enumerate(zip(relevance, timeliness, strict=True)):
        aligned = [max(FLOOR, aligned_score(one)) for one in scored[number]] if scored is not None else [None] * len(likes)
        found.append(
            [
                Parts(relevance=min(1.0, max(FLOOR, like)), timeliness=max(FLOOR, time), aligned=word)
                for like, time, word in zip(likes, times, aligned, strict=True)
            ]
        )
    return found
