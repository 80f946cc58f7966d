"""Both channels' finds for all imagined titles of one request, made one list of candidates.

Knows nothing about how the channels search; works on ranks, which two channels with different scales have in common.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from models.entities import Candidate, Item, Source
from models.retrieval.ranks import Hit

RELEVANCE_DIGITS = 6
KEYWORD, VECTOR = 0, 1
_CHANNELS: tuple[Literal["keyword", "vector"], ...] = ("keyword", "vector")
# The vote (negative, so that the strongest sorts first), and where it comes from: channel, imagined title, rank, score.
_Vote = tuple[float, int, int, int, float]


@dataclass(frozen=True, kw_only=True)
class MergePolicy:
    """Reciprocal rank fusion (Cormack et al. 2009), weighted by channel."""

    rank_offset: float = 10.0  # ranks; the original's 60 suits lists of thousands, here a first place should outweigh a tenth
    keyword_weight: float = 1.0
    vector_weight: float = 1.0
    sources_count: int = 4  # kept per candidate, strongest first: enough to say why, while a trace stays small


def merge(
    keyword: Sequence[Sequence[Hit]],
    vector: Sequence[Sequence[Hit]],
    *,
    items: Sequence[Item],
    limit: int,
    policy: MergePolicy,
) -> tuple[Candidate, ...]:
    """The candidates that the hits vote for, most relevant first.

    Every hit gives its item `weight / (rank_offset + rank)`; relevance is an item's sum over that of the best item, so the
    best candidate of a request that found anything has relevance 1. An item that many imagined titles find outranks one that
    a single title finds: agreement between samples of the model is the evidence here.

    Args:
        keyword: per imagined title, its hits, best first.
        vector: the same titles' hits of the other channel.
        items: by the hits' rows.
        limit: most candidates; the least relevant go.
        policy: weights.

    Returns:
        In order of relevance, of equal ones by item id.
    """
    votes: dict[int, list[_Vote]] = defaultdict(list)
    totals: dict[int, float] = defaultdict(float)
    for channel, weight, found in (
        (KEYWORD, policy.keyword_weight, keyword),
        (VECTOR, policy.vector_weight, vector),
    ):
        for imagined, hits in enumerate(found):
            for rank, hit in enumerate(hits, start=1):
                vote = weight / (policy.rank_offset + rank)
                totals[hit.row] += vote
                votes[hit.row].append((-vote, channel, imagined, rank, hit.score))
    full = max(totals.values(), default=1.0)
    relevance = {row: round(total / full, RELEVANCE_DIGITS) for row, total in totals.items()}
    order = sorted(relevance, key=lambda row: (-relevance[row], items[row].item_id))[:limit]
    return tuple(
        Candidate(
            item_id=items[row].item_id,
            relevance=relevance[row],
            sources=tuple(_source(*vote) for vote in sorted(votes[row])[: policy.sources_count]),
        )
        for row in order
    )


def _source(_vote: float, channel: int, imagined: int, rank: int, score: float) -> Source:
    return Source(_CHANNELS[channel], imagined, rank, score)
