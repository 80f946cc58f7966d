"""What the distilled scorer compares: tags by family and level, texts in the tower's space, words, categories, the history.

Everything of an item alone is made once (`item_side`), everything of a person once a digest (`person_side`); what is left for
a pair of them is sums over a few tags and products of small matrices. Knows nothing about weights.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from models.entities import Behaviour, Digest, Item, Tag, TagFamily
from models.profiles.features import item_features
from models.retrieval.retriever import UNWANTED
from models.retrieval.text import features as text_features
from models.retrieval.text import words
from models.retrieval.vectors import SCALE, Tower

Matrix = NDArray[np.float64]
Row = NDArray[np.float64]

FAMILIES: tuple[str, ...] = get_args(TagFamily)
LEVELS = ("short-term", "long-term")
TITLE_BUCKETS = 4096  # hashed features of a title that have a weight of their own; 3,676 titles have some 9,000 features
_DECAY = 0.9  # weight of each older behaviour against the next newer one, as in `models.retrieval.RetrievalPolicy`
_NEAREST = 3  # of the history; the mean of so many is steadier than the nearest alone
_TAG_BYTES = 512  # as long as a tag may be: a digest's tags were cut by the profile's own bound

# Columns of a pair's features, in order. The card names them too, and a folder with others is refused.
PAIR_FEATURES: tuple[str, ...] = (
    *(f"{level} {family} tags" for level in LEVELS for family in FAMILIES),
    "cosine: history, newer more",
    "cosine: nearest of the history",
    "cosine: nearest three of the history",
    "cosine: newest of the history",
    "cosine: short-term tags",
    "cosine: long-term tags",
    "words in the history",
    "rarest word in the history",
    "title in the history",
    "category in the history",
    "category unseen",
)


class ItemSide(NamedTuple):
    """An item, prepared: its place in the tower's space (length 1, or 0), tags, words, and hashed title features."""

    vector: Row
    tags: tuple[str, ...]
    words: tuple[str, ...]
    title: str
    leaf: str
    buckets: tuple[int, ...]


class PersonSide(NamedTuple):
    """A digest, prepared. `level_tags` is by `family:text`; `word_weights` and the counts are of the history."""

    level_tags: tuple[Mapping[str, float], Mapping[str, float]]
    vectors: Matrix  # history (newer more), newest, short-term tags, long-term tags
    history: Matrix  # one row each, oldest first
    word_weights: Mapping[str, float]
    titles: Mapping[str, int]
    leaves: Mapping[str, float]


def item_side(item: Item, tower: Tower) -> ItemSide:
    """Everything of an item that does not depend on who is asked about."""
    return ItemSide(
        vector=_unit(tower.encode_item(item)),
        tags=item_features(item, max_tag_bytes=_TAG_BYTES).tags,
        words=words(item.title),
        title=" ".join(words(item.title)),
        leaf=item.leaf,
        buckets=title_buckets(item.title),
    )


def title_buckets(title: str) -> tuple[int, ...]:
    """The hashed features of a title, each once."""
    return tuple(sorted(set(text_features(title, buckets=TITLE_BUCKETS))))


def person_side(digest: Digest, tower: Tower) -> PersonSide:
    """Everything of a digest that does not depend on the item. What was given back or hidden counts for nothing."""
    wanted = [one for one in digest.history if one.type not in UNWANTED]
    history = np.array([_unit(tower.encode(one.title)) for one in wanted]).reshape(len(wanted), tower.dimensions)
    weights: Row = np.power(_DECAY, np.arange(len(wanted) - 1, -1, -1, dtype=np.float64))
    return PersonSide(
        level_tags=(_by_tag(digest.short_term), _by_tag(digest.long_term)),
        vectors=np.stack(
            [
                _unit(weights @ history),
                history[-1] if wanted else np.zeros(tower.dimensions),
                _of_tags(digest.short_term, tower),
                _of_tags(digest.long_term, tower),
            ]
        ),
        history=history,
        word_weights=_word_weights(wanted, weights),
        titles=Counter(" ".join(words(one.title)) for one in wanted),
        leaves=_leaf_shares(wanted),
    )


def pair_features(person: PersonSide, items: Sequence[ItemSide]) -> Matrix:
    """The columns of `PAIR_FEATURES`, one row an item. Shape: `(items, features)`."""
    vectors = np.stack([item.vector for item in items])
    sums = np.array([_tag_sums(person, item.tags) for item in items])
    single = np.array([_of_words(person, item) for item in items])
    cosines = vectors @ person.vectors.T
    nearest = _nearest(vectors @ person.history.T)
    return np.column_stack([sums, cosines[:, :1], nearest, cosines[:, 1:], single])


def _nearest(cosines: Matrix) -> Matrix:
    """The highest cosine, and the mean of the highest few; zeros without a history."""
    if not cosines.shape[1]:
        return np.zeros((len(cosines), 2))
    few = min(_NEAREST, cosines.shape[1])
    highest = np.partition(cosines, -few, axis=1)[:, -few:]
    return np.column_stack([highest.max(axis=1), highest.mean(axis=1)])


def _tag_sums(person: PersonSide, tags: Iterable[str]) -> list[float]:
    sums = [0.0] * (len(LEVELS) * len(FAMILIES))
    for level, scores in enumerate(person.level_tags):
        for tag in tags:
            score = scores.get(tag)
            if score is not None:
                sums[level * len(FAMILIES) + FAMILIES.index(tag.partition(":")[0])] += score
    return sums


def _of_words(person: PersonSide, item: ItemSide) -> tuple[float, ...]:
    weights = [person.word_weights.get(word, 0.0) for word in item.words] or [0.0]
    leaf = person.leaves.get(item.leaf, 0.0)
    is_tagged = any(f"category:{item.leaf}" in level for level in person.level_tags)
    return (
        sum(weights) / len(weights),
        min(weights),
        float(min(person.titles.get(item.title, 0), 1)),
        leaf,
        float(not leaf and not is_tagged),
    )


def _word_weights(wanted: Sequence[Behaviour], weights: Row) -> Mapping[str, float]:
    """By word how much of the history has it, at most 1; the newest behaviour alone makes half."""
    sums: defaultdict[str, float] = defaultdict(float)
    for one, weight in zip(wanted, weights.tolist(), strict=True):
        for word in set(words(one.title)):
            sums[word] += weight
    return {word: value / (1.0 + value) for word, value in sums.items()}


def _leaf_shares(wanted: Sequence[Behaviour]) -> Mapping[str, float]:
    counts = Counter(one.category for one in wanted if one.category is not None)
    return {leaf: count / len(wanted) for leaf, count in counts.items()}


def _by_tag(tags: Iterable[Tag]) -> Mapping[str, float]:
    return {f"{tag.family}:{tag.text}": tag.score for tag in tags}


def _of_tags(tags: Sequence[Tag], tower: Tower) -> Row:
    total = np.zeros(tower.dimensions)
    for tag in tags:
        total += tag.score * tower.encode(tag.text)
    return _unit(total)


def _unit(vector: NDArray[np.floating]) -> Row:
    values = vector.astype(np.float64) / SCALE
    length = float(np.sqrt(values @ values))
    return values / length if length else values
