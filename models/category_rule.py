"""The category rule: how much of a user's past is in an item's leaf category and in its department. It needs no model.

Knows nothing about candidates, titles or vectors. Two of its readers: the evaluation, which compares SerenGPT with it, and the
tier that answers when SerenGPT cannot.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from models.entities import Digest, Item
from models.retrieval.retriever import UNWANTED

LEAF_SHARE = 0.5  # of an item's affinity; the rest is its department's. Both matter: the leaf is new only to the last visits
# What everybody gets of a judgement: so no candidate is impossible, and one of a department that the user never saw can be the
# most unexpected thing of a slate.
_EVERYBODY_SHARE = 0.1


def departments_of(items: Iterable[Item]) -> dict[str, str]:
    """The department, the first level of the path, by leaf category."""
    return {item.leaf: item.category[0] for item in items}


def leaf_weights(digest: Digest) -> defaultdict[str, float]:
    """Leaf categories by their share of the history, and by the scores of the profile's category tags."""
    weights: defaultdict[str, float] = defaultdict(float)
    for behaviour in digest.history:
        if behaviour.category is not None and behaviour.type not in UNWANTED:
            weights[behaviour.category] += 1.0 / len(digest.history)
    for tag in (*digest.short_term, *digest.long_term):
        if tag.family == "category":
            weights[tag.text] += tag.score
    return weights


def department_weights(leaves: Mapping[str, float], departments: Mapping[str, str]) -> defaultdict[str, float]:
    """Departments by the weight of their leaves; a leaf that the catalogue does not know is a department of its own."""
    whole: defaultdict[str, float] = defaultdict(float)
    for leaf, weight in leaves.items():
        whole[departments.get(leaf, leaf)] += weight
    return whole


def affinities(digest: Digest, items: Sequence[Item], *, departments: Mapping[str, str]) -> list[float]:
    """One number per item, higher is better; 0 where the user's past has nothing of its kind.

    Args:
        digest: whose past.
        items: any.
        departments: by leaf category, see `departments_of`.
    """
    leaves = leaf_weights(digest)
    whole = department_weights(leaves, departments)
    return [LEAF_SHARE * leaves[item.leaf] + (1 - LEAF_SHARE) * whole[item.category[0]] for item in items]


def aligned(digest: Digest, items: Sequence[Item], *, departments: Mapping[str, str]) -> list[float]:
    """The rule's word on each item in SerenGPT's terms (`models.serengpt.aligned`): in [0, 1], one half is everybody's.

        p / (p + r),  p = the item's share of the user's past, r = a department's share if all were alike

    Args:
        digest: whose past; of a user without one every item gets one half.
        items: any.
        departments: by leaf category; not empty where there are items.

    Example:
        All of the past is plates, in one of two departments: r = 0.5. A mug has p = 0.9 x 0.5 + 0.1 x 0.5, a spade 0.1 x 0.5:

        >>> from models.entities import Tag
        >>> past = Digest(long_term=(Tag("plates", "category", 0.7),))
        >>> mug = Item(item_id="1", title="mug", category=("kitchen", "mugs"))
        >>> spade = Item(item_id="2", title="spade", category=("garden", "spades"))
        >>> departments = {"mugs": "kitchen", "plates": "kitchen", "spades": "garden"}
        >>> [round(one, 3) for one in aligned(past, [mug, spade], departments=departments)]
        [0.5, 0.091]
    """
    everybody = 1.0 / max(1, len(set(departments.values())))
    total = sum(leaf_weights(digest).values())
    if total <= 0.0:
        return [0.5] * len(items)
    shares = [
        (1 - _EVERYBODY_SHARE) * value / total + _EVERYBODY_SHARE * everybody
        for value in affinities(digest, items, departments=departments)
    ]
    return [share / (share + everybody) for share in shares]
