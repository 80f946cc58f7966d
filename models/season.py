"""The season: how much each item is wanted these days, by everybody, as the part of serendipity that is called timeliness.

Serendipity has four parts in Chen et al. 2019; timeliness is the one that no profile tells. A season is a table of decayed
counts as of one evening, made anew each night, so that an answer stays a function of what it was given. Knows nothing about
users, logs or the clock.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class SeasonPolicy:
    """How wants become a part in [0, 1]."""

    half_life_days: float = 4.0  # chosen on the validation part of Online Retail among 2 to 56; groceries choose longer
    typical: float = 4.0  # in means over the catalogue: an item that is wanted so often has a timeliness of one half


def timeliness(want: float, mean: float, policy: SeasonPolicy) -> float:
    """How timely an item is, in [0, 1): wants against wants and a typical item's.

    Args:
        want: decayed count of the item.
        mean: of the decayed counts of all items.
        policy: what is typical.

    Raises:
        ValueError: a count is negative.

    Example:
        Four times the mean is one half, and what nobody wants is 0, also where nothing is wanted:

        >>> timeliness(8.0, 2.0, SeasonPolicy()), timeliness(0.0, 2.0, SeasonPolicy()), timeliness(0.0, 0.0, SeasonPolicy())
        (0.5, 0.0, 0.0)
    """
    if want < 0.0 or mean < 0.0:
        message = f"want {want}, mean {mean}: must be at least 0"
        raise ValueError(message)
    return want / (want + policy.typical * mean) if want else 0.0
