"""Token vectors to start from: tokens that occur on the same visit days begin near each other.

A network of two million weights that starts from noise spends most of its training on finding out which words go together;
that much can be counted. Positive pointwise mutual information, factorised: what skip-gram with negative sampling
approximates. Knows nothing about networks.

Source: Levy and Goldberg, "Neural word embedding as implicit matrix factorization", NIPS 2014.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

_MIN_DAYS = 3  # pairs that met less often tell more of chance than of meaning
# Standard deviation of the entries. Vectors are also the output layer: at transformers' own 0.02 the logits start so flat that
# the loss after 150 steps is 4.0 instead of 2.5 (0.05: 2.9, 0.2: 2.9, random vectors of 0.02: about 5).
_ENTRY_SIZE = 0.1


def token_vectors(
    documents: Iterable[Iterable[int]], *, vocabulary: int, size: int, seed: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Vectors of all tokens, and which of them are known (the others are zero).

    Args:
        documents: token ids that stood together; each id counts once a document.
        vocabulary: number of tokens.
        size: of a vector.
        seed: of the rotation that spreads the leading factors over all places.

    Returns:
        An array [vocabulary, size] whose known rows have entries of standard deviation `_ENTRY_SIZE`, and the known rows.
    """
    together = np.zeros((vocabulary, vocabulary), dtype=np.float32)
    count = 0
    for document in documents:
        ids = np.fromiter(document, dtype=np.int64)
        together[np.ix_(ids, ids)] += 1.0
        count += 1
    days = together.diagonal().copy()
    expected = np.maximum(days[:, None] * days[None, :] / max(count, 1), 1e-9)
    information = np.log(np.maximum(together, 1e-9) / expected)
    information = np.where(together >= _MIN_DAYS, np.maximum(information, 0.0), 0.0)
    values, factors = np.linalg.eigh(information)
    best = np.argsort(values)[::-1][:size]
    vectors = factors[:, best] * np.sqrt(np.maximum(values[best], 0.0))
    rotation = np.linalg.qr(np.random.default_rng(seed).normal(size=(size, size)))[0][: len(best)]
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    known = lengths[:, 0] > 0
    unit = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
    return (unit @ rotation * _ENTRY_SIZE * np.sqrt(size)).astype(np.float32), known
