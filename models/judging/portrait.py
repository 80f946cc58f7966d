"""A person as the judge sees them: what they had, searched for and said, each with what it says for or against things like it.

Knows nothing about the items to be judged.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.judging.bags import Bag, Rarity, bag, labels_of
from models.judging.meaning import Meaning
from models.judging.names import Name, is_same, kinship, name_of
from models.judging.pairs import Past, Person, facts
from models.judging.policy import PortraitPolicy, TastePolicy
from models.judging.tastes import likes, recency
from models.retrieval.vectors import SCALE
from models.serengpt.tokens import clean

_APART_SHARE = 0.5  # of a series on another shelf: a film of the book, its music, a guide to its places


class Opinion(NamedTuple):
    """What SerenGPT says of an item: its aligned score, and how much it is at home there. Both in [0, 1]."""

    aligned: float
    at_home: float


class Trait(NamedTuple):
    """One thing that speaks for or against what is like it. `title` is cleaned; `weight` is by age and kind."""

    kind: Literal["had", "searched", "said"]
    title: str
    labels: tuple[str, ...]
    features: Bag
    like: float
    weight: float
    rating: float | None


class Related(NamedTuple):
    """A trait that an item is about the same as, and how nearly, in (0, 1]; its weight is in it."""

    trait: Trait
    nearness: float


class Kin(NamedTuple):
    """What a person has had of an item.

    `same`: the very thing, as places of traits; more than one where they had it often. `series`: how near the nearest thing of
    its series is, in [0, 1]; 1 for the thing itself.
    """

    same: frozenset[int]
    series: float


class Portrait:
    """A person; made once for all items that are judged for them.

    Args:
        person: as told.
        policy: how ratings, times, searches and facts count.
        meaning: what words mean; None where only the words themselves count.
    """

    def __init__(self, person: Person, policy: PortraitPolicy, meaning: Meaning | None = None) -> None:
        traits = [*_had(newest(person, policy.history_count), policy.tastes), *_told(person, policy)]
        self.rarity = Rarity(trait.features for trait in traits)
        self.label_rarity = Rarity(trait.labels for trait in traits if trait.labels)
        self.traits = tuple(trait._replace(features=self.rarity.weigh(trait.features)) for trait in traits)
        self.had = tuple(trait for trait in self.traits if trait.kind == "had")
        weight = math.fsum(trait.weight for trait in self.had)
        self.usual_like = math.fsum(trait.weight * trait.like for trait in self.had) / weight if weight else 0.0
        self._names = [name_of(past.title) for past in self.had]
        self._by_first = _by_first_word(self._names)
        self._meaning = meaning
        self._meant, self._places = self._meanings()

    def related(self, title: str, labels: tuple[str, ...], *, count: int) -> tuple[Related, ...]:
        """The traits that are most about the same as a thing, the nearest first; none where no word of it is known.

        Args:
            title: of the thing.
            labels: of its category.
            count: most traits.
        """
        wanted = self._meaning.vector(title, labels) if self._meaning is not None else None
        if wanted is None or not self._places:
            return ()
        nearness = (self._meant @ wanted).astype(np.float64) / SCALE**2
        weighed = nearness * np.array([self.traits[place].weight for place in self._places])
        best = np.argsort(-weighed, kind="stable")[:count]
        return tuple(Related(self.traits[self._places[row]], float(weighed[row])) for row in best if weighed[row] > 0.0)

    def kin(self, title: str, labels: tuple[str, ...]) -> Kin:
        """What of a thing the person has had already.

        Things of one name that have labels and none in common are two: a book, and a film of it.

        Args:
            title: of the thing.
            labels: of its category.
        """
        name = name_of(title)
        places = sorted({place for first in _first_words(name) for place in self._by_first.get(first, ())})
        series, same = 0.0, set()
        for place in places:
            had = self._names[place]
            is_apart = bool(labels and self.had[place].labels) and not {*labels} & {*self.had[place].labels}
            series = max(series, kinship(name, had) * (_APART_SHARE if is_apart else 1.0))
            if not is_apart and is_same(name, had):
                same.add(place)
        return Kin(frozenset(same), 1.0 if same else series)

    def _meanings(self) -> tuple[NDArray[np.float32], list[int]]:
        """The meanings that are known, a row each, and whose they are."""
        if self._meaning is None:
            return np.zeros((0, 0), dtype=np.float32), []
        found = [self._meaning.vector(trait.title, trait.labels) for trait in self.traits]
        known = [(place, one) for place, one in enumerate(found) if one is not None]
        rows = np.stack([one for _, one in known]) if known else np.zeros((0, 0), dtype=np.float32)
        return rows, [place for place, _ in known]


def _first_words(name: Name) -> frozenset[str]:
    return frozenset(one[0] for one in (name.words, *name.also) if one)


def _by_first_word(names: Sequence[Name]) -> dict[str, list[int]]:
    """Names that begin alike, by place: neither one thing nor one series begins with two words."""
    found: dict[str, list[int]] = {}
    for place, name in enumerate(names):
        for first in _first_words(name):
            found.setdefault(first, []).append(place)
    return found


def newest(person: Person, count: int) -> list[Past]:
    """The newest things that a person had, oldest first; of those with one time, or none, the last named is the newest."""
    return sorted(person.history or (), key=lambda past: past.ts_ms or 0.0)[-count:]


def _had(history: Sequence[Past], policy: TastePolicy) -> Iterator[Trait]:
    liked = likes([past.rating for past in history], policy)
    weights = recency([past.ts_ms for past in history], policy)
    for past, like, weight in zip(history, liked, weights, strict=True):
        title, labels = clean(past.title), labels_of(past.category)
        yield Trait("had", title, labels, bag(title, labels), like, weight, past.rating)


def _told(person: Person, policy: PortraitPolicy) -> Iterator[Trait]:
    like = (1.0 + policy.tastes.unrated) / 2.0
    for query in map(clean, person.queries or ()):
        yield Trait("searched", query, (), bag(query, ()), like, policy.query_count, None)
    for fact in map(clean, facts(person.static)):
        yield Trait("said", fact, (), bag(fact, ()), like, policy.fact_count, None)
