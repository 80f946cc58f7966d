"""The item behind a title that a model wrote, where the catalogue has one of the kind. Knows nothing about users."""

from __future__ import annotations

from collections.abc import Iterable

from models.entities import Item
from models.retrieval.keywords import KeywordIndex
from models.retrieval.text import core, words

_LOOKED_AT = 5  # best hits; the one with the most words in common is taken


class Grounding:
    """A catalogue that titles are looked up in.

    Args:
        items: what there is.
        least_shared: share of a title's and an item's telling words that both have, of all that either has; below, nothing of
            the kind is sold. At a half, two words of three agree.
    """

    def __init__(self, items: Iterable[Item], *, least_shared: float = 0.5) -> None:
        self._items = sorted(items, key=lambda item: item.item_id)
        self._least = least_shared
        self._index = KeywordIndex(self._items)
        self._exact: dict[tuple[str, ...], Item] = {}
        for item in self._items:
            self._exact.setdefault(tuple(sorted(words(item.title))), item)

    def find(self, title: str) -> Item | None:
        """The item with the same words, or else the one with the most telling words in common; None below the least share.

        Example:
            >>> shop = Grounding([Item(item_id="1", title="red tea pot", category=("pots",))])
            >>> [found and found.item_id for found in map(shop.find, ("Pot, tea, RED", "blue tea pot", "garden gnome"))]
            ['1', '1', None]
        """
        exact = self._exact.get(tuple(sorted(words(title))))
        if exact is not None:
            return exact
        wanted = set(core(title))
        hits = [self._items[hit.row] for hit in self._index.search([title], limit=_LOOKED_AT)[0]]
        shares = [(_shared(wanted, set(core(item.title))), -place) for place, item in enumerate(hits)]
        share, place = max(shares, default=(0.0, 0))
        return hits[-place] if hits and share >= self._least else None


def _shared(one: set[str], other: set[str]) -> float:
    return len(one & other) / len(one | other) if one | other else 0.0
