"""What ratings and times say: how much each past thing was liked, and how much it still counts.

Knows nothing about titles or categories.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from models.judging.policy import TastePolicy

_SCALES = (5.0, 10.0, 100.0)  # what people rate by: stars, marks, per cent
DAY_MS = 86_400_000


def likes(ratings: Sequence[float | None], policy: TastePolicy) -> list[float]:
    """How much each thing was liked, in [0, 1]: 0 disliked, 0.5 neither.

    A rating is held against the person's own average, drawn to the usual one while there are few.

    Args:
        ratings: of one person, on one scale; None: not rated.
        policy: the scale, and how it is read.

    Example:
        Five stars and one star, by someone whose average is (20 x 3 + 6) / 22 = 3 of 5:

        >>> [round(like, 3) for like in likes([5.0, 1.0, None], TastePolicy())]
        [1.0, 0.2, 0.9]
    """
    given = [rating for rating in ratings if rating is not None]
    if not given:
        return [(1.0 + policy.unrated) / 2.0] * len(ratings)
    top = policy.rating_max or _guessed_scale(max(given), is_all_rated=len(given) == len(ratings))
    usual = policy.usual_share * top
    average = (policy.usual_count * usual + math.fsum(given)) / (policy.usual_count + len(given))
    found = []
    for rating in ratings:
        like = policy.unrated if rating is None else policy.chosen + (rating - average) / (policy.spread_share * top)
        found.append((1.0 + max(-1.0, min(1.0, like))) / 2.0)
    return found


def _guessed_scale(highest: float, *, is_all_rated: bool) -> float:
    """A few low marks among things that are not rated are complaints; where all is rated up to 1, thumbs."""
    if highest <= 1.0 and is_all_rated:
        return 1.0
    return next((scale for scale in _SCALES if highest <= scale), highest)


def recency(times_ms: Sequence[float | None], policy: TastePolicy) -> list[float]:
    """What each thing counts for its age, the newest 1; what has no time counts as new.

    >>> recency([0.0, 365.0 * DAY_MS, None], TastePolicy())
    [0.5, 1.0, 1.0]
    """
    newest = max((time for time in times_ms if time is not None), default=0.0)
    half_life_ms = policy.half_life_days * DAY_MS
    return [
        1.0 if time is None else max(policy.oldest_share, math.exp2(max(-1000.0, (time - newest) / half_life_ms)))
        for time in times_ms
    ]
