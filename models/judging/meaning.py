"""What words mean, as far as a small table knows: how near the thing that a title names is to another.

Two titles may have no word in common and be about the same: flour and bread, a trumpet and jazz. Every number is a whole one
up to the last step, so that an answer is the same on every machine (see `models.retrieval.vectors`). English; a title of which
the table knows no word has no meaning here, and nothing is made of that.

Knows nothing about persons, or about how the table was made.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.errors import CheckpointError
from models.retrieval.text import VARIANT_WORDS, words
from models.retrieval.vectors import SCALE, Vector, to_length
from models.serengpt.tokens import clean

FILE = "words.npz"

_LENGTH = 1024.0  # of a word's row: two digits more than its bytes have
_USUAL_WEIGHT = 10  # of the most usual word; the rarest of 30,000 weighs twice as much: ln 30,000 is 10.3


class Meaning:
    """A table of word vectors.

    Args:
        known: the words, the most usual first, cut as `models.retrieval.text.words` cuts titles.
        vectors: one row each.

    Shapes: `vectors: (words, dimensions) int8`.

    Raises:
        CheckpointError: the two do not fit.
    """

    def __init__(self, known: Sequence[str], vectors: NDArray[np.int8]) -> None:
        if vectors.ndim != 2 or vectors.dtype != np.int8 or len(known) != len(vectors):
            message = f"vectors: {vectors.dtype} of shape {vectors.shape} for {len(known)} words; must be int8, a row each"
            raise CheckpointError(message)
        self.words = tuple(known)
        self._rows = {word: row for row, word in enumerate(known)}
        self._vectors = vectors
        self._even = _even(vectors)
        self._cached = lru_cache(maxsize=16_384)(self._vector)

    @classmethod
    def load(cls, folder: Path) -> Meaning:
        """The table in a folder. Raises `CheckpointError` when there is none, or a torn one."""
        path = folder / FILE
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                return cls(str(arrays["words"]).split("\n"), arrays["vectors"])
        except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile) as error:
            message = f"{path}: is no table of words: {error}"
            raise CheckpointError(message) from error

    def save(self, folder: Path) -> None:
        """Writes the table into a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(folder / FILE, words=np.array("\n".join(self.words)), vectors=self._vectors)

    def vector(self, title: str, labels: tuple[str, ...]) -> Vector | None:
        """A thing's place in the space, of length `SCALE`; None where no word of it is known.

        Args:
            title: untrusted.
            labels: of its category.

        Example:
            >>> table = Meaning(["tea", "cup"], np.array([[127, 0], [0, 127]], dtype=np.int8))
            >>> a, b = (table.vector(title, ()) for title in ("tea cup", "Cup"))
            >>> round(alikeness(a, b), 2), table.vector("Unknown 12", ())
            (0.74, None)
        """
        return self._cached(title, labels)

    def _vector(self, title: str, labels: tuple[str, ...]) -> Vector | None:
        found = [self._rows[word] for word in words(f"{clean(title)} {' '.join(labels)}") if self._is_telling(word)]
        if not found:
            return None
        weights = np.array([_USUAL_WEIGHT + round(math.log1p(row)) for row in found], dtype=np.int64)
        sums = weights @ self._even[found].astype(np.int64)
        return to_length(sums.astype(np.float64)) if sums.any() else None

    def _is_telling(self, word: str) -> bool:
        return word in self._rows and word not in VARIANT_WORDS


def _even(vectors: NDArray[np.int8]) -> NDArray[np.int16]:
    """The rows at one length, in whole numbers."""
    lengths = np.sqrt(np.square(vectors.astype(np.float64)).sum(axis=1, keepdims=True))
    even: NDArray[np.int16] = np.rint(vectors * (_LENGTH / np.maximum(lengths, 1.0))).astype(np.int16)
    return even


def alikeness(one: Vector, other: Vector) -> float:
    """The cosine of two meanings, in -1..1."""
    return float(one @ other) / SCALE**2
