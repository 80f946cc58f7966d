"""Titles and categories as weighted bags of words and character triples, and how alike two are among the rest.

Knows nothing about persons or likes. Weights are by rarity within one history: no list of common words of a domain is needed.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import lru_cache

from models.judging.names import folded
from models.judging.pairs import MAX_LABELS, Category
from models.retrieval.text import VARIANT_WORDS, words
from models.serengpt.tokens import clean

Bag = Mapping[str, float]

# Words that are in titles of everything.
_COMMON = frozenset(words("the a an of and in on at to for with by from or is it its as that this my your our no not new s t"))
_DETAILS = VARIANT_WORDS | set(words("oz lb ct pk fl gal qt pt g kg mg ltr litre liter load dz bulk"))
_CATEGORY_SHARE = 0.7  # of a title's word: the category's words say what a thing is, but less exactly
_DETAIL_SHARE = 0.25  # years, colours, sizes, counts and units: alike in unlike things
_TRIPLE_SHARE = 0.3  # some six triples a word carry a misspelt or bent word about half of the way
_NO_LABELS = frozenset(("(no genres listed)", "no genres listed", "unknown", "none", "null", "nan", "n/a", "na", "-"))
_SPLIT = re.compile(r"\s*(?:[|>;,/]|\s-\s)\s*")


@lru_cache(maxsize=16_384)
def bag(title: str, labels: tuple[str, ...]) -> Bag:
    """The features of a thing with their own weights, before rarity.

    Args:
        title: untrusted.
        labels: of its category, as `labels_of` gives them.

    >>> sorted(bag("Tin", ("tea",)))
    ['#^te', '#^ti', '#ea$', '#in$', '#tea', '#tin', 'tea', 'tin']
    """
    found: dict[str, float] = {}
    for text, share in ((title, 1.0), (" ".join(labels), _CATEGORY_SHARE)):
        for word in words(folded(clean(text))):
            if word not in _COMMON:
                weight = share * (_DETAIL_SHARE if word.isdigit() or word in _DETAILS else 1.0)
                found[word] = max(weight, found.get(word, 0.0))
    for word, weight in list(found.items()):
        padded = f"^{word}$"
        for start in range(len(padded) - 2):
            triple = f"#{padded[start : start + 3]}"
            found[triple] = max(weight * _TRIPLE_SHARE, found.get(triple, 0.0))
    return found


def labels_of(category: Category) -> tuple[str, ...]:
    """The distinct labels of a category: a path's levels, or several genres in one text.

    >>> labels_of("Action|Sci-Fi"), labels_of("Food > Dairy > Cheese"), labels_of(["Kitchen", "kitchen "]), labels_of(None)
    (('action', 'sci-fi'), ('food', 'dairy', 'cheese'), ('kitchen',), ())
    """
    texts = [] if category is None else [category] if isinstance(category, str) else category
    told = (text for text in map(clean, texts) if text not in _NO_LABELS)
    parts = (part.strip() for text in told for part in _SPLIT.split(text))
    return tuple(dict.fromkeys(part for part in parts if part and part not in _NO_LABELS))[:MAX_LABELS]


def telling_labels(category: Category) -> tuple[str, ...]:
    """The labels by which a category can be new: the leaf of a path (Definition 1), all of several genres.

    >>> telling_labels("Food > Dairy > Cheese"), telling_labels("Action|Comedy")
    (('cheese',), ('action', 'comedy'))
    """
    labels = labels_of(category)
    return labels[-1:] if isinstance(category, str) and ">" in category else labels


class Rarity:
    """What features and labels are worth among the things of one history: 1, and more the fewer have them.

    >>> rarity = Rarity([{"tea": 1.0}, {"tea": 1.0, "tin": 1.0}])
    >>> rarity.of("tea"), round(rarity.of("tin"), 3), round(rarity.of("cup"), 3)
    (1.0, 1.405, 2.099)
    """

    def __init__(self, things: Iterable[Iterable[str]]) -> None:
        self._counts: Counter[str] = Counter()
        self._things = 0
        for thing in things:
            self._counts.update(iter(thing))
            self._things += 1

    def of(self, feature: str) -> float:
        """1 + ln((things + 1) / (things that have it + 1))."""
        return 1.0 + math.log((self._things + 1) / (self._counts[feature] + 1))

    def weigh(self, features: Bag) -> dict[str, float]:
        """The bag of one thing, each weight times its rarity, of length 1; empty for an empty one."""
        weighed = {feature: weight * self.of(feature) for feature, weight in features.items()}
        length = math.sqrt(math.fsum(weight * weight for weight in weighed.values()))
        return {feature: weight / length for feature, weight in weighed.items()} if length else {}


def cosine(one: Bag, other: Bag) -> float:
    """How alike two weighed bags are, in [0, 1]."""
    if len(one) > len(other):
        one, other = other, one
    return min(1.0, math.fsum(weight * other[feature] for feature, weight in one.items() if feature in other))


def shared(one: Iterable[str], other: Iterable[str], rarity: Rarity) -> float:
    """The share of labels that two things have in common, rare ones counting more; 0 where either has none.

    >>> shared(("a", "b"), ("b", "c"), Rarity([]))
    0.3333333333333333
    """
    left, right = set(one), set(other)
    if not left or not right:
        return 0.0
    total = math.fsum(rarity.of(label) for label in sorted(left | right))
    return math.fsum(rarity.of(label) for label in sorted(left & right)) / total
