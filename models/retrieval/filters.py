"""What may not be offered, and which rule says so.

Knows nothing about scores beyond their order. Every candidate that is dropped is named with the first rule that drops it, so
that the trace can answer "why not this one?".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from models.catalogue import Catalogue
from models.entities import Candidate, Exclusions, Filtered, Item
from models.retrieval.text import core
from models.retrieval.vectors import Vector, cosines

OWNED = "owned"
IN_CART = "in_cart"
REJECTED = "rejected"
UNAVAILABLE = "unavailable"
SEEN_RECENTLY = "seen_recently"
NEAR_DUPLICATE = "near_duplicate"
# The rules of the other stages stand here too, so that one list has them all.
UNREADABLE = "unreadable"  # nothing is left of the title once it is cleaned, so SerenGPT could not be asked about it
SCORE_LIMIT = "score_limit"
CATEGORY_CAP = "category_cap"
SLATE_SIZE = "slate_size"
# In the order in which they are asked.
RULES = (
    *(UNREADABLE, OWNED, IN_CART, REJECTED, UNAVAILABLE, SEEN_RECENTLY, NEAR_DUPLICATE),
    *(SCORE_LIMIT, CATEGORY_CAP, SLATE_SIZE),
)


@dataclass(frozen=True, kw_only=True)
class FilterPolicy:
    """When two candidates are one."""

    duplicate_cosine: float = 0.93  # of item vectors; above lie letters of one alphabet range, below one motif on two things


class Kept(NamedTuple):
    """What passed, in its order, and what did not, in the order in which it was met."""

    candidates: tuple[Candidate, ...]
    filtered: tuple[Filtered, ...]


def apply(
    candidates: Sequence[Candidate],
    exclusions: Exclusions,
    *,
    catalogue: Catalogue,
    vector: Callable[[Item], Vector],
    policy: FilterPolicy,
) -> Kept:
    """Drop the candidates that the user must not be offered, then those that repeat a better one.

    Args:
        candidates: most relevant first; of near-duplicates the first stays.
        exclusions: what the profile rules out.
        catalogue: as it is now; an item that it lost is unavailable.
        vector: an item's vector.
        policy: thresholds.

    Returns:
        Every candidate once, either kept or filtered.
    """
    rules = (
        (OWNED, frozenset(exclusions.owned)),
        (IN_CART, frozenset(exclusions.in_cart)),
        (REJECTED, frozenset(exclusions.rejected)),
        (UNAVAILABLE, frozenset(c.item_id for c in candidates if not _is_available(catalogue.get(c.item_id)))),
        (SEEN_RECENTLY, frozenset(exclusions.seen_recently)),
    )
    allowed: list[Candidate] = []
    filtered: list[Filtered] = []
    for candidate in candidates:
        rule = next((name for name, items in rules if candidate.item_id in items), None)
        if rule is None:
            allowed.append(candidate)
        else:
            filtered.append(Filtered(candidate.item_id, rule))
    repeated = _repeated([_known(catalogue, candidate) for candidate in allowed], vector=vector, policy=policy)
    kept = tuple(candidate for candidate, is_repeated in zip(allowed, repeated, strict=True) if not is_repeated)
    twins = (Filtered(c.item_id, NEAR_DUPLICATE) for c, is_repeated in zip(allowed, repeated, strict=True) if is_repeated)
    return Kept(kept, (*filtered, *twins))


def _is_available(item: Item | None) -> bool:
    return item is not None and item.available


def _known(catalogue: Catalogue, candidate: Candidate) -> Item:
    return catalogue.at(catalogue.index(candidate.item_id))


def _repeated(items: Sequence[Item], *, vector: Callable[[Item], Vector], policy: FilterPolicy) -> list[bool]:
    """Per item, whether an earlier item that is itself no repetition is a variant of it or lies closer than the threshold."""
    if not items:
        return []
    vectors = np.stack([vector(item) for item in items])
    close = cosines(vectors, vectors) > policy.duplicate_cosine
    near_kept = np.zeros(len(items), dtype=bool)
    cores: set[tuple[str, ...]] = set()
    repeated: list[bool] = []
    for row, item in enumerate(items):
        name = core(item.title)
        repeated.append(name in cores or bool(near_kept[row]))
        if not repeated[row]:
            cores.add(name)
            near_kept |= close[row]
    return repeated
