"""The vector channel: a small text tower that puts any title, tag or item into one space, and the nearest items there.

Knows nothing about users' state or about how the tower was trained. Every number is a whole one until the last step, so a
cosine is the same on every processor, with every number of threads, and whatever else is in the batch:

- a text's vector is a sum of 8-bit table rows, scaled to length `SCALE` and rounded to whole numbers;
- the product of two such vectors is at most SCALE squared, which is below 2**24, and so is every partial sum of it
  (Cauchy-Schwarz), hence exact in 32-bit floats in any order of summation.
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.entities import Item
from models.errors import CheckpointError
from models.retrieval.ranks import Hit, best
from models.retrieval.text import features, item_text

Vector = NDArray[np.float32]

# Length of every vector. 4,096 is where 24 bits end; the rest is room for the rounding of up to 256 dimensions.
SCALE = 4080
MAX_DIMENSIONS = 256
FILE = "tower.npz"


class Tower:
    """A text encoder: hashed words, word pairs and character triples, summed.

    A linear layer above the sum would only turn the space, so there is none: the table holds it already.

    Args:
        table: one row per feature bucket.
        name: which training made it; goes into traces and reports.

    Shapes: `table: (buckets, dimensions) int8`, dimensions at most 256.
    Source: papers.md 2.5 (three towers); here item and text share one, so that an imagined title can be looked up.
    """

    def __init__(self, table: NDArray[np.int8], *, name: str) -> None:
        if table.ndim != 2 or table.dtype != np.int8 or not 1 <= table.shape[1] <= MAX_DIMENSIONS:
            message = f"table: {table.dtype} of shape {table.shape} is no tower; bound: int8, (buckets, 1..{MAX_DIMENSIONS})"
            raise CheckpointError(message)
        self._table = table
        self.name = name
        self.dimensions = int(table.shape[1])
        self._encode_text = lru_cache(maxsize=16_384)(self._encode)

    @classmethod
    def load(cls, folder: Path) -> Tower:
        """The tower in a model folder.

        Raises:
            CheckpointError: the folder holds no tower, or a torn one.
        """
        path = folder / FILE
        try:
            # Opened here: numpy would leave a torn file open.
            with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                return cls(arrays["table"], name=str(arrays["name"]))
        except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile) as error:
            message = f"{path}: is no tower: {error}"
            raise CheckpointError(message) from error

    def save(self, folder: Path) -> None:
        """Write the tower into a model folder; the same tower gives the same bytes."""
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / FILE).open("wb") as file:
            np.savez_compressed(file, table=self._table, name=np.array(self.name))

    def encode(self, text: str) -> Vector:
        """The vector of a text; all zeros where the tower knows none of its features."""
        return self._encode_text(text)

    def encode_item(self, item: Item) -> Vector:
        """The vector of an item, from its title, category and tags."""
        return self._encode(item_text(item))

    def _encode(self, text: str) -> Vector:
        rows = features(text, buckets=self._table.shape[0])
        total = self._table[rows].sum(axis=0, dtype=np.int64)
        vector = to_length(total.astype(np.float64))
        vector.flags.writeable = False
        return vector


def to_length(values: NDArray[np.float64]) -> Vector:
    """The values turned into a vector of length `SCALE` in whole numbers; nothing stays nothing.

    >>> import numpy
    >>> to_length(numpy.array([3.0, -4.0])).tolist()
    [2448.0, -3264.0]
    """
    length = float(np.sqrt(np.square(values).sum()))
    if length == 0.0:
        return np.zeros(values.shape[0], dtype=np.float32)
    return np.rint(values * (SCALE / length)).astype(np.float32)


def cosines(vectors: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float64]:
    """The cosine of every one of `vectors` with every one of `others`.

    Shapes: `vectors: (n, d)`, `others: (m, d)`; the result is `(n, m)`.
    """
    return np.clip((vectors @ others.T).astype(np.float64) / SCALE**2, -1.0, 1.0)


class VectorIndex:
    """The items' vectors, searched whole: 4,000 items take about 0.3 ms a title, so nothing is approximated.

    Args:
        items: the rows of the index, in order; results name them by position.
        tower: what encodes them.
    """

    def __init__(self, items: Sequence[Item], *, tower: Tower) -> None:
        self.vectors = np.zeros((len(items), tower.dimensions), dtype=np.float32)
        for row, item in enumerate(items):
            self.vectors[row] = tower.encode_item(item)

    def search(self, queries: Sequence[Vector], *, limit: int) -> list[list[Hit]]:
        """The nearest rows for each query vector, nearest first; only those on its own side of the space (cosine above 0)."""
        if not queries or not len(self.vectors):
            return [[] for _ in queries]
        units = (np.stack(queries) @ self.vectors.T).astype(np.int64)
        return [best(row, limit=limit, unit=1.0 / SCALE**2) for row in units]
