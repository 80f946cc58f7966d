"""Which part of a profile speaks for an item: the reason id that a slate carries.

Knows nothing about scores. The first part that speaks is named, from the most recent to the most lasting; an item for which
none does is a new corner.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from models.entities import POSITIVE_EVENTS, Digest, Item, Tag
from models.retrieval.text import item_text, words

# Keys of models.reasons.REASONS.
LOOKED_FOR = 1
LONG_LIKED = 2
GOES_WITH = 3
NEW_CORNER = 4


@dataclass(frozen=True, kw_only=True)
class EvidencePolicy:
    """When a part of the profile speaks for an item."""

    min_likeness: float = 0.4  # cosine with something wanted lately; 1 in 100 pairs of items reach it, 19 in 20 of one leaf


def reason(item: Item, digest: Digest, *, likeness: float | None, policy: EvidencePolicy) -> int:
    """The reason id for one item of a slate.

    Args:
        item: what is offered.
        digest: the profile that the request carried.
        likeness: the item's highest cosine with the recent history; None: not known.
        policy: thresholds.

    Example:
        >>> tin = Item(item_id="1", title="Cake tin, retrospot", category=("kitchen", "tins"), tags=("interest:baking",))
        >>> reason(tin, Digest(long_term=(Tag("baking", "interest", 0.7),)), likeness=None, policy=EvidencePolicy())
        2
    """
    vocabulary = frozenset(words(item_text(item))) | frozenset(words(item.brand or ""))
    if _speaks(digest.short_term, vocabulary):
        return LOOKED_FOR
    if _speaks(digest.long_term, vocabulary):
        return LONG_LIKED
    wanted = any(behaviour.type in POSITIVE_EVENTS for behaviour in digest.history)
    if wanted and likeness is not None and likeness >= policy.min_likeness:
        return GOES_WITH
    return NEW_CORNER


def _speaks(tags: Iterable[Tag], vocabulary: frozenset[str]) -> bool:
    """Whether the item has all words of one of the tags."""
    return any(frozenset(found) <= vocabulary for found in (words(tag.text) for tag in tags) if found)
