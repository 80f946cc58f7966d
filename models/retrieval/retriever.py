"""From imagined titles to candidates: what the judging side asks, over one snapshot of the catalogue.

Knows nothing about how SerenGPT answers, or about filters. Steps 5 and 6 of the walk: keyword and vector search, then merge.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from models.catalogue import Catalogue
from models.entities import Candidate, Digest, Item, fingerprint
from models.retrieval.keywords import KeywordIndex
from models.retrieval.merge import MergePolicy, merge
from models.retrieval.text import words
from models.retrieval.vectors import Tower, Vector, VectorIndex, to_length
from models.serengpt.engine import CatalogueTitles

# Types of behaviour that say where the user does not want to go; they are no part of the user's vector.
UNWANTED = frozenset({"cancel", "hide"})


@dataclass(frozen=True, kw_only=True)
class RetrievalPolicy:
    """How much each channel brings."""

    per_title_count: int = 20  # hits per imagined title and channel; 30 titles x 2 x 20 hits are some 300 candidates
    user_share: float = 0.7  # of the user's vector in a query vector (papers.md 2.5's beta); recall@60 is 0.08 at 0, 0.11 here
    history_decay: float = 0.9  # weight of each older behaviour against the next newer one in the user's vector
    limit: int = 300  # candidates per request; the trace and the near-duplicate check are linear and quadratic in it
    merge: MergePolicy = field(default_factory=MergePolicy)


def distinct(titles: Iterable[str]) -> tuple[str, ...]:
    """The titles that say something, once each: the first of those whose words are the same in any order.

    >>> distinct(["Red cup", "", "cup, RED", "tea pot"])
    ('Red cup', 'tea pot')
    """
    first: dict[tuple[str, ...], str] = {}
    for title in titles:
        key = tuple(sorted(words(title)))
        if key:
            first.setdefault(key, title)
    return tuple(first.values())


class Retriever:
    """Both indexes over the same snapshot of the catalogue.

    A snapshot never changes: a catalogue whose `version` moved on needs a new one (0.2 s for 4,000 items). Items that left or
    became unavailable since are caught by the filters, which read the catalogue itself.

    Args:
        catalogue: what can be found.
        tower: the encoder of the vector channel.
    """

    def __init__(self, catalogue: Catalogue, *, tower: Tower) -> None:
        self.version = catalogue.version
        self.tower = tower
        self._items = sorted(catalogue.items, key=lambda item: item.item_id)
        self._rows = {item.item_id: row for row, item in enumerate(self._items)}
        self._keyword = KeywordIndex(self._items)
        self._vector = VectorIndex(self._items, tower=tower)

    @classmethod
    def build(cls, catalogue: Catalogue, folder: Path) -> Retriever:
        """Both indexes with the tower of a model folder.

        Raises:
            CheckpointError: the folder holds no tower.
        """
        return cls(catalogue, tower=Tower.load(folder))

    @property
    def items_count(self) -> int:
        """Of the snapshot."""
        return len(self._items)

    @cached_property
    def titles(self) -> CatalogueTitles:
        """The titles of the items that can be had, each in the group of its leaf category: what may be imagined within."""
        return CatalogueTitles.of((item.title, fingerprint(item.leaf)) for item in self._items if item.available)

    def vector(self, item_id: str | None, text: str) -> Vector:
        """The vector of an item, or of the text where the snapshot has no such item."""
        row = None if item_id is None else self._rows.get(item_id)
        return self.tower.encode(text) if row is None else self._vector.vectors[row]

    def item_vector(self, item: Item) -> Vector:
        """The vector of an item, which need not be in the snapshot."""
        row = self._rows.get(item.item_id)
        return self.tower.encode_item(item) if row is None else self._vector.vectors[row]

    def history(self, digest: Digest) -> list[Vector]:
        """The vectors of the user's recent behaviours, oldest first.

        What was given back or hidden is left out, and so is what the tower cannot read.
        """
        wanted = (behaviour for behaviour in digest.history if behaviour.type not in UNWANTED)
        every = (self.vector(behaviour.item_id, behaviour.title) for behaviour in wanted)
        return [vector for vector in every if vector.any()]

    def user_vector(self, digest: Digest, *, decay: float) -> Vector:
        """Where the user's recent history is, newer behaviours weighing more; zeros where there is none."""
        total = np.zeros(self.tower.dimensions, dtype=np.float64)
        for vector in self.history(digest):
            total = total * decay + vector
        return to_length(total)

    def search(self, titles: Sequence[str], digest: Digest, *, policy: RetrievalPolicy) -> tuple[Candidate, ...]:
        """The candidates for one user's imagined titles; see `retrieve`."""
        share = policy.user_share
        user = self.user_vector(digest, decay=policy.history_decay).astype(np.float64) * share
        queries = [to_length(self.tower.encode(title).astype(np.float64) * (1.0 - share) + user) for title in titles]
        keyword = self._keyword.search(titles, limit=policy.per_title_count)
        vector = self._vector.search(queries, limit=policy.per_title_count)
        return merge(keyword, vector, items=self._items, limit=policy.limit, policy=policy.merge)


def retrieve(titles: Sequence[str], digest: Digest, *, retriever: Retriever, policy: RetrievalPolicy) -> tuple[Candidate, ...]:
    """What the catalogue has for the titles that SerenGPT imagined, most relevant first.

    Args:
        titles: distinct ones (`distinct`); a source's `imagined` is a position in them.
        digest: whose titles they are: the user's recent history pulls the vector channel a little towards it.
        retriever: the indexes.
        policy: counts and weights.

    Returns:
        Candidates with relevance in (0, 1]; none where no title is known.

    Cost: about 10 ms for 30 titles over 4,000 items on one core.
    """
    return retriever.search(titles, digest, policy=policy)
