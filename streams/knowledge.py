"""What all partitions of a worker know of items. Knows nothing about users."""

from __future__ import annotations

from collections.abc import Iterable

from models.catalogue import Catalogue
from models.entities import Item
from models.profiles import ItemFeatures, QueryTags, item_features


class Knowledge:
    """What all partitions of a worker share: the catalogue, and the features and tags made from it."""

    def __init__(self, items: Iterable[Item], *, max_tag_bytes: int) -> None:
        self.catalogue = Catalogue(items)
        self.features: dict[str, ItemFeatures] = {}
        self.query_tags = QueryTags()
        self._max_tag_bytes = max_tag_bytes
        for item in self.catalogue.items:
            self._index(item)

    def learn(self, changes: Iterable[tuple[str, Item | None]]) -> None:
        """Takes new, changed and withdrawn (None) items in; what was already folded into profiles stays."""
        for item_id, item in changes:
            if item is None:
                self.catalogue.withdraw(item_id)
            elif self.catalogue.upsert(item):
                self._index(item)

    def _index(self, item: Item) -> None:
        known = item_features(item, max_tag_bytes=self._max_tag_bytes)
        self.features[item.item_id] = known
        self.query_tags.learn(known)
