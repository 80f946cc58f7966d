"""The draw: which of the judged candidates take the places of a slate, and how probable each one's draw was.

Knows nothing about how candidates were scored. A little chance keeps a slate from being the same rule for ever: only items
that could have been drawn elsewhere tell later what another policy would have earned (off-policy evaluation needs exact
propensities, papers.md 1.9 leaves that open).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from models.entities import Filtered
from models.prerank import DIGITS, Judged
from models.retrieval.filters import CATEGORY_CAP, SLATE_SIZE


@dataclass(frozen=True, kw_only=True)
class SelectionPolicy:
    """How many places, and how they are given."""

    slate_size: int = 50  # places; papers.md 1.6 leaves the cache's size open: a few pages' worth at one or two places each
    category_cap: int = 5  # places per leaf category: a tenth of a slate. One would bar a second good thing of a new corner
    temperature: float = 0.02  # in points of serendipity: items 0.02 apart swap in a quarter of draws; 0: none ever do


class Drawn(NamedTuple):
    """One place: the item, and the probability with which it was drawn for it, given the places before."""

    judged: Judged
    propensity: float


class Selection(NamedTuple):
    """The places, best first, and the candidates that got none."""

    drawn: tuple[Drawn, ...]
    filtered: tuple[Filtered, ...]


def select(judged: Sequence[Judged], *, seed: int, category: Callable[[str], str], policy: SelectionPolicy) -> Selection:
    """Draw the places one after the other, each among all candidates whose category still has room.

    Every draw takes an item with probability proportional to exp(serendipity / temperature). It is done by adding one Gumbel
    number per item and sorting once, which is the same distribution (Gumbel-top-k, Kool et al. 2019), also under caps: an
    item that is passed over leaves the chances of the others as they are. An item's Gumbel number depends on the seed and its
    own id alone, so another candidate that comes or goes does not shuffle the rest.

    Args:
        judged: any order; item ids are distinct.
        seed: the request's own.
        category: an item's leaf category, by item id.
        policy: places, cap, temperature.

    Returns:
        Every candidate once: drawn, or filtered by the rule `category_cap` or `slate_size`. At temperature 0 the best come
        first, and every propensity is 1.

    Source: papers.md 1.6 names no exploration; see Kool et al. 2019, "Stochastic beams and where to find them".
    """
    order = sorted(judged, key=lambda one: (-_key(one, seed, policy.temperature), one.item_id))
    names = {one.item_id: category(one.item_id) for one in order}
    room = dict.fromkeys(names.values(), policy.category_cap)
    left = {one.item_id: one for one in order}
    drawn: list[Drawn] = []
    filtered: list[Filtered] = []
    for one in order:
        name = names[one.item_id]
        if len(drawn) == policy.slate_size or not room[name]:
            filtered.append(Filtered(one.item_id, CATEGORY_CAP if not room[name] else SLATE_SIZE))
            continue
        drawn.append(Drawn(one, _share(one, left.values(), policy.temperature)))
        room[name] -= 1
        del left[one.item_id]
        if not room[name]:
            left = {other: that for other, that in left.items() if names[other] != name}
    return Selection(tuple(drawn), tuple(filtered))


def gumbel(seed: int, item_id: str) -> float:
    """A Gumbel-distributed number that is always the same for one seed and item.

    >>> gumbel(1, "mug") == gumbel(1, "mug") != gumbel(2, "mug")
    True
    """
    digest = hashlib.blake2b(f"{seed}|{item_id}".encode(), digest_size=8).digest()
    uniform = (int.from_bytes(digest, "big") + 0.5) / 2**64
    return -math.log(-math.log(min(uniform, 1.0 - 2**-53)))


def _key(one: Judged, seed: int, temperature: float) -> float:
    if temperature == 0.0:
        return one.serendipity
    return round(one.serendipity / temperature + gumbel(seed, one.item_id), 9)


def _share(one: Judged, left: Collection[Judged], temperature: float) -> float:
    """The probability with which `one` is drawn from those that are left, itself among them."""
    if temperature == 0.0:
        return 1.0
    top = max(other.serendipity for other in left)
    total = math.fsum(math.exp((other.serendipity - top) / temperature) for other in left)
    # Cut to significant digits, not to decimals: a rare draw must not be written down as an impossible one.
    return float(f"{math.exp((one.serendipity - top) / temperature) / total:.{DIGITS}g}")
