"""How unexpected an item would be to one user: what of it they did not see lately, and how far it is from what they did.

Knows nothing about relevance or about SerenGPT; works on fingerprints and vectors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.entities import Item, Seen, fingerprint
from models.retrieval.vectors import Vector, cosines


@dataclass(frozen=True, kw_only=True)
class UnexpectednessPolicy:
    """What each part counts for; parts that an item or a user does not have give their weight to the others."""

    category_weight: float = 0.6  # Definition 1 (papers.md 1.2) rests on the leaf category alone
    brand_weight: float = 0.1  # the online metric adds brand and seller
    seller_weight: float = 0.1
    distance_weight: float = 0.2  # a new category can still hold the same thing under another name


def unexpectedness(item: Item, seen: Seen, *, likeness: float | None, policy: UnexpectednessPolicy) -> float:
    """The weighted share of the parts that are new, in [0, 1].

    The parts: leaf category, brand and seller unseen in the visit-day window (1 or 0), and the distance to the nearest item of
    the recent history (1 minus the likeness).

    Args:
        item: without a brand or seller, that part does not count.
        seen: the visit-day window.
        likeness: how near the nearest item of the recent history is, in [0, 1]; None: not known, then distance does not count.
        policy: weights, not all 0.

    Example:
        A new kind of thing that is half like one that the user knows, (0.6 x 1 + 0.2 x 0.5) / 0.8:

        >>> mug = Item(item_id="1", title="red mug", category=("kitchen", "mug"))
        >>> window = Seen(categories=(fingerprint("plate"),), visit_days=3)
        >>> round(unexpectedness(mug, window, likeness=0.5, policy=UnexpectednessPolicy()), 6)
        0.875
    """
    parts = [(policy.category_weight, float(fingerprint(item.leaf) not in seen.categories))]
    if item.brand is not None:
        parts.append((policy.brand_weight, float(fingerprint(item.brand) not in seen.brands)))
    if item.seller is not None:
        parts.append((policy.seller_weight, float(fingerprint(item.seller) not in seen.sellers)))
    if likeness is not None:
        parts.append((policy.distance_weight, 1.0 - likeness))
    total = sum(weight for weight, _ in parts)
    return sum(weight * value for weight, value in parts) / total if total else 1.0


def likenesses(vectors: Sequence[Vector], history: Sequence[Vector]) -> list[float | None]:
    """For each vector the highest cosine with those of the history, at least 0.

    Returns:
        One per vector, in order; None for a vector of zeros, and for all where there is no history.
    """
    if not vectors or not history:
        return [None] * len(vectors)
    highest = cosines(np.stack(list(vectors)), np.stack(list(history))).max(axis=1)
    return [max(0.0, float(value)) if vector.any() else None for vector, value in zip(vectors, highest, strict=True)]
