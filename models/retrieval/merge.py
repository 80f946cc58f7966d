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
    votes: dict[int, list[tuple[float, Source]]] = defaultdict(list)
    channels: tuple[tuple[Literal["keyword", "vector"], float, Sequence[Sequence[Hit]]], ...] = (
        ("keyword", policy.keyword_weight, keyword),
        ("vector", policy.vector_weight, vector),
    )
    for channel, weight, found in channels:
        for imagined, hits in enumerate(found):
            for rank, hit in enumerate(hits, start=1):
                vote = weight / (policy.rank_offset + rank)
                votes[hit.row].append((vote, Source(channel, imagined, rank, hit.score)))
    totals = {row: sum(vote for vote, _ in given) for row, given in votes.items()}
    order = sorted(totals, key=lambda row: (-round(totals[row], RELEVANCE_DIGITS + 3), items[row].item_id))[:limit]
    full = max(totals.values(), default=1.0)
    return tuple(
        Candidate(
            item_id=items[row].item_id,
            relevance=round(totals[row] / full, RELEVANCE_DIGITS),
            sources=_strongest(votes[row], policy.sources_count),
        )
        for row in order
    )


def _strongest(given: list[tuple[float, Source]], count: int) -> tuple[Source, ...]:
    ranked = sorted(given, key=lambda pair: (-pair[0], pair[1].channel, pair[1].imagined))
    return tuple(source for _, source in ranked[:count])
