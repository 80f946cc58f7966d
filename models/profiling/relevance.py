"""How much a tag says of a piece of evidence, and how alike two tags are: by words, and by a text tower where there is one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from models.profiling.pieces import Piece
from models.profiling.policy import RelevancePolicy
from models.retrieval.text import tag_text, words
from models.retrieval.vectors import cosines

Encode = Callable[[str], NDArray[np.float32]]


class Relevance:
    """Relevance in [0, 1].

    Args:
        policy: the thresholds.
        encode: the vector of a text, all of one length; None: words alone.
    """

    def __init__(self, policy: RelevancePolicy, encode: Encode | None = None) -> None:
        self._policy = policy
        self._encode = encode

    def of(self, tag: str, piece: Piece) -> float:
        """How much a tag's text (without its family) says of a piece: 1 where the catalogue gives it this very tag.

        Words may be in the title or in any of the catalogue's tags; or a whole tag of the catalogue's may be like this one.
        """
        wanted = frozenset(words(tag))
        if not wanted:
            return 0.0
        tags = [frozenset(words(tag_text(name))) for name in piece.tags]
        coverage = len(wanted.intersection(words(piece.title)).union(*(wanted & other for other in tags))) / len(wanted)
        best = max([coverage, *(_shared(wanted, other) for other in tags)])
        if best >= self._policy.min_coverage:
            return best
        return self._cosine(tag, " ".join((piece.title, *map(tag_text, piece.tags))))

    def between(self, tag: str, other: str) -> float:
        """How alike two tags' texts are: 1 for the same words."""
        shared = _shared(frozenset(words(tag)), frozenset(words(other)))
        return shared if shared >= self._policy.min_coverage else self._cosine(tag, other)

    def _cosine(self, text: str, other: str) -> float:
        if self._encode is None:
            return 0.0
        found = float(cosines(self._encode(text)[None, :], self._encode(other)[None, :])[0, 0])
        return found if found >= self._policy.min_cosine else 0.0


def _shared(one: frozenset[str], two: frozenset[str]) -> float:
    """Twice the words in common by all words of both."""
    return 2 * len(one & two) / (len(one) + len(two)) if one and two else 0.0
