"""The catalogue: every item that can be recommended, in one order that is the same in every process.

Knows nothing about topics or stores; whoever reads the compacted item topic calls `upsert`. Row numbers are what the
retrieval indexes store, so an item keeps its row for the life of the catalogue.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from models.entities import Item, fingerprint


class Catalogue:
    """Items by id and by row.

    Rows follow the item ids' order when built; an item that is added later takes the next row, whatever its id.

    Args:
        items: any order; of two items with one id the later one holds.

    Example:
        >>> def lamp(item_id):
        ...     return Item(item_id=item_id, title="lamp", category=("home",))
        >>> catalogue = Catalogue([lamp("b"), lamp("a")])
        >>> [item.item_id for item in catalogue.items], catalogue.index("b"), catalogue.get("c")
        (['a', 'b'], 1, None)
    """

    def __init__(self, items: Iterable[Item]) -> None:
        by_id = {item.item_id: item for item in items}
        self._items = [by_id[item_id] for item_id in sorted(by_id)]
        self._rows = {item.item_id: row for row, item in enumerate(self._items)}
        self._ids_by_fingerprint = {fingerprint(item.item_id): item.item_id for item in self._items}
        self._version = 0

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[Item]:
        return iter(self._items)

    def __contains__(self, item_id: object) -> bool:
        return item_id in self._rows

    @property
    def items(self) -> list[Item]:
        """A copy of the items, by row."""
        return list(self._items)

    @property
    def version(self) -> int:
        """How many upserts changed something; an index built at another version is out of date."""
        return self._version

    def get(self, item_id: str) -> Item | None:
        """The item, or None where the catalogue never had it."""
        row = self._rows.get(item_id)
        return None if row is None else self._items[row]

    def at(self, row: int) -> Item:
        """The item in a row.

        Raises:
            IndexError: the row is not in the catalogue.
        """
        return self._items[row]

    def index(self, item_id: str) -> int:
        """The item's row.

        Raises:
            KeyError: the catalogue has no such item.
        """
        return self._rows[item_id]

    def named(self, fingerprints: Iterable[int]) -> tuple[str, ...]:
        """The ids, sorted, of the items whose ids have these fingerprints; those that the catalogue never had are left out."""
        ids = self._ids_by_fingerprint
        return tuple(sorted([ids[name] for name in fingerprints if name in ids]))

    def upsert(self, item: Item) -> bool:
        """Put in a new item or replace the one of the same id.

        Returns:
            Whether anything changed; the same record twice changes nothing.
        """
        row = self._rows.get(item.item_id)
        if row is None:
            self._items.append(item)  # before its row: whoever reads from another thread finds it there
            self._rows[item.item_id] = len(self._items) - 1
            self._ids_by_fingerprint[fingerprint(item.item_id)] = item.item_id
        elif self._items[row] == item:
            return False
        else:
            self._items[row] = item
        self._version += 1
        return True

    def withdraw(self, item_id: str) -> bool:
        """Offer an item no longer. It keeps its row, and what profiles know of it keeps its title.

        Returns:
            Whether anything changed.
        """
        item = self.get(item_id)
        return item is not None and self.upsert(msgspec.structs.replace(item, available=False))

    def follow(self, changes: Iterable[tuple[str, Item | None]]) -> None:
        """Take changes in as they come on the topic of items: an id and its item, or None for an item that is withdrawn."""
        for item_id, item in changes:
            if item is None:
                self.withdraw(item_id)
            else:
                self.upsert(item)
