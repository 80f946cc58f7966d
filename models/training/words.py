"""Word vectors from a dictionary: words that explain each other, or that the same words explain, lie close together.

Made from WordNet's four data files: each sense is a bag of its words, its explanation, and the words of the senses that it is
linked to (kinds, parts, domains). Words are compared by how much more often they share a bag than chance would have it
(positive pointwise mutual information), and the space is the largest directions of that table. Needs the `train` extra.

Source: Levy and Goldberg 2014 (word vectors as a factorised PMI table); Princeton University, WordNet 3.0.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from models.errors import LogError
from models.judging.meaning import Meaning
from models.retrieval.text import words

_PARTS = ("noun", "verb", "adj", "adv")
# What a word of a linked sense counts, by the kind of link (wndb(5WN)); kinds above most, lists of kinds below least.
_LINKS: Mapping[str, float] = {
    "@": 1.0, "@i": 0.7, "~": 0.3, "#p": 0.7, "%p": 0.7, "#m": 0.5, "%m": 0.5, "#s": 0.7, "%s": 0.7, "+": 0.7, "&": 0.7,
    ";c": 1.0, "-c": 0.2, "=": 0.5, "\\": 0.7, ">": 0.5, "*": 0.5,
}  # fmt: skip
_EXPLAINS = frozenset({"@", ";c"})  # links whose explanation is taken in, too
# Words of explanations that say nothing.
_EMPTY = frozenset(
    words(
        "the a an of and in on at to for with by from or is it its as that this my your our no not new be are was "
        "were which who whom whose where when one two used use using having has have had been being can may into "
        "than some any other such also more most very usually especially often etc something someone person their "
        "they them his he her she him you we us but if so up out about over under between through during without "
        "within after before because while all each both only own same many much made make making"
    )
)


@dataclass(frozen=True, kw_only=True)
class WordPlan:
    """How the table is made."""

    words: int = 30_000  # most; the most usual of explanations. 64 dimensions of one byte each: 1.9 MB
    least_senses: int = 4  # in whose bags a word must be: fewer place it by chance
    dimensions: int = 64  # 32 and 100 told wanted groceries apart as well (AUC .56 to .57)
    own_weight: float = 2.0  # of a sense's own words against those of its explanation
    explained_weight: float = 0.3  # of a linked sense's explanation
    most_weight: float = 4.0  # of a word in one bag
    smoothing: float = 0.75  # exponent of chances: rare words are no better company for being rare
    seed: int = 7


def word_vectors(folder: Path, plan: WordPlan) -> Meaning:
    """The table of a WordNet folder (`data.noun` and its three sisters).

    Raises:
        LogError: a file is missing or is none of WordNet's.
    """
    bags = list(_bags(folder, plan))
    senses = Counter(word for bag in bags for word in bag)
    usual = sorted((word for word, count in senses.items() if count >= plan.least_senses), key=lambda one: (-senses[one], one))
    kept = usual[: plan.words]
    torch.manual_seed(plan.seed)
    with torch.sparse.check_sparse_tensor_invariants(enable=True):
        table = _similarity(bags, {word: row for row, word in enumerate(kept)}, plan)
        left, sizes, _ = torch.svd_lowrank(table, q=min(plan.dimensions + 16, len(kept)), niter=6)
    vectors = (left * sizes.sqrt())[:, : plan.dimensions].numpy().astype(np.float64)
    return Meaning(kept, _eight_bits(vectors))


def _eight_bits(vectors: NDArray[np.float64]) -> NDArray[np.int8]:
    """Around their mean, each of the same length, in whole numbers of a byte."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    even = vectors / np.maximum(length, 1e-12)
    even -= even.mean(axis=0)
    even /= np.maximum(np.abs(even).max(axis=1, keepdims=True), 1e-12)
    whole: NDArray[np.int8] = np.rint(even * 127.0).astype(np.int8)
    return whole


def _similarity(bags: list[Counter[str]], rows: Mapping[str, int], plan: WordPlan) -> torch.Tensor:
    """How much more often than by chance two words share a bag, in nats; a sparse table without its diagonal."""
    where: list[tuple[int, int]] = []
    weights: list[float] = []
    for place, bag in enumerate(bags):
        known = [(rows[word], min(weight, plan.most_weight)) for word, weight in bag.items() if word in rows]
        total = math.fsum(weight for _, weight in known)
        where += [(row, place) for row, _ in known]
        weights += [weight / math.sqrt(total) for _, weight in known]
    index = torch.tensor(where).T
    shares = torch.sparse_coo_tensor(index, torch.tensor(weights, dtype=torch.float32), (len(rows), len(bags))).coalesce()
    shared = torch.sparse.mm(shares, shares.t()).coalesce()
    (one, other), found = shared.indices(), shared.values()
    sums = torch.zeros(len(rows)).index_add_(0, one, found)
    chances = sums**plan.smoothing
    chances /= chances.sum()
    gain = torch.log(found / (sums[one] * chances[other]))
    kept = (gain > 0) & (one != other)
    return torch.sparse_coo_tensor(shared.indices()[:, kept], gain[kept], (len(rows), len(rows))).coalesce()


def _bags(folder: Path, plan: WordPlan) -> Iterator[Counter[str]]:
    senses = {key: sense for part in _PARTS for key, sense in _senses(folder / f"data.{part}")}
    for own, explanation, links in senses.values():
        bag: Counter[str] = Counter()
        for word in own:
            bag[word] += plan.own_weight  # type: ignore[assignment]
        bag.update(explanation)
        for kind, key in links:
            linked = senses.get(key)
            if linked is None or kind not in _LINKS:
                continue
            for word in linked[0]:
                bag[word] += _LINKS[kind]  # type: ignore[assignment]
            if kind in _EXPLAINS:
                for word in linked[1]:
                    bag[word] += plan.explained_weight  # type: ignore[assignment]
        yield bag


_Sense = tuple[list[str], list[str], list[tuple[str, tuple[str, str]]]]


def _senses(path: Path) -> Iterator[tuple[tuple[str, str], _Sense]]:
    """The senses of a data file: `offset file type count word id ... links kind offset type pair ... | explanation`."""
    try:
        lines = path.read_text(encoding="latin-1").splitlines()
        for line in lines:
            if line.startswith(" "):  # the licence
                continue
            head, _, explanation = line.partition("|")
            fields = head.split()
            count = int(fields[3], 16)
            names = [fields[4 + 2 * place].partition("(")[0].replace("_", " ") for place in range(count)]
            start = 5 + 2 * count
            ends = start + 4 * int(fields[start - 1])
            links = [(fields[at], (_part(fields[at + 2]), fields[at + 1])) for at in range(start, ends, 4)]
            yield (_part(fields[2]), fields[0]), (_telling(" ".join(names)), _telling(explanation), links)
    except (OSError, ValueError, IndexError) as error:
        message = f"{path}: is no data file of WordNet: {error}"
        raise LogError(message) from error


def _part(letter: str) -> str:
    return "a" if letter == "s" else letter


def _telling(text: str) -> list[str]:
    return [word for word in words(text) if len(word) > 1 and not word.isdigit() and word not in _EMPTY]
