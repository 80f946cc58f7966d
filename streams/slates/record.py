"""A slate as a ranker holds it, in light records.

Knows nothing about bytes, Redis or the engine's own entities, whose names of fields are the same.
"""

from __future__ import annotations

from typing import NamedTuple


class ReadItem(NamedTuple):
    """One place of a slate. The five scores are in [0, 1]; `reason` is an id of the public reason table.

    `propensity` is the probability with which the item was drawn to its place; 0 says that nobody recorded one.
    """

    item_id: str
    serendipity: float
    relevance: float
    unexpectedness: float
    aligned: float
    propensity: float
    reason: int


class ReadSlate(NamedTuple):
    """The ordered items of one user and surface, best first, with what is needed to judge their age and origin."""

    epoch: int
    offset: int
    watermark_ms: int
    published_ms: int
    soft_expiry_ms: int
    model_id: str
    tier: str
    items: tuple[ReadItem, ...]

    @property
    def slate_id(self) -> str:
        """What an exposure of one of these items puts into its `slate_id`, unique per user and surface."""
        return f"{self.epoch}-{self.offset}"

    def is_stale(self, now_ms: int) -> bool:
        """Whether the slate has passed its soft expiry: still well-formed, but the ranker may prefer none."""
        return now_ms >= self.soft_expiry_ms

    def age_ms(self, now_ms: int) -> int:
        """Milliseconds since the newest event that this slate knows of; never negative."""
        return max(0, now_ms - self.watermark_ms)
