"""What the profile needs to know of an item or a query: fingerprints and tags, made once per item and shared by all users.

Knows nothing about users. Tags are `family:text`; an item's leaf category and brand are tags of their families, its own tags
carry their family in front or are attributes.
"""

from __future__ import annotations

import re
from sys import intern
from typing import Final, final, get_args

from models.compiled import mypyc_attr
from models.entities import Item, TagFamily
from models.fingerprints import fingerprint

FAMILIES: Final[tuple[TagFamily, ...]] = get_args(TagFamily)
_WORD = re.compile(r"\w[\w'-]*")
_QUERY_WORDS = 3  # longest tag that is looked for in a query
_QUERY_LIMIT = 8  # tags that one query may give


@final
@mypyc_attr(acyclic=True)
class ItemFeatures:
    """Fingerprints of the leaf category, brand and seller (0: none), and the tags that an event on the item speaks for."""

    __slots__ = ("brand", "category", "name", "seller", "tags")

    def __init__(self, *, name: int, category: int, brand: int, seller: int, tags: tuple[str, ...]) -> None:
        self.name = name
        self.category = category
        self.brand = brand
        self.seller = seller
        self.tags = tags


def item_features(item: Item, *, max_tag_bytes: int) -> ItemFeatures:
    """The features of one item.

    Example:
        >>> mug = Item(item_id="1", title="red mug", category=("kitchen", "mug"), tags=("attribute:red", "scenario:picnic"))
        >>> item_features(mug, max_tag_bytes=48).tags
        ('category:mug', 'attribute:red', 'scenario:picnic')
    """
    tags = [f"category:{item.leaf}"]
    if item.brand:
        tags.append(f"brand:{item.brand}")
    tags.extend(with_family for tag in item.tags if (with_family := _with_family(tag)))
    return ItemFeatures(
        name=fingerprint(item.item_id),
        category=fingerprint(item.leaf),
        brand=fingerprint(item.brand) if item.brand else 0,
        seller=fingerprint(item.seller) if item.seller else 0,
        tags=tuple(dict.fromkeys(intern(cut(tag, max_tag_bytes)) for tag in tags)),
    )


def cut(text: str, max_bytes: int) -> str:
    """`text`, or its longest beginning that takes at most `max_bytes` in UTF-8.

    Example:
        >>> cut("crème", 4)
        'crè'
    """
    if len(text) * 4 <= max_bytes:
        return text
    return text.encode()[:max_bytes].decode(errors="ignore")


class QueryTags:
    """Finds the catalogue's tags in a search query, by rule: the longest known phrases of up to three words, in any case."""

    def __init__(self) -> None:
        self._tags_by_phrase: dict[str, tuple[str, ...]] = {}

    def learn(self, item: ItemFeatures) -> None:
        """Makes an item's tags known."""
        for tag in item.tags:
            phrase = _phrase(tag.partition(":")[2])
            known = self._tags_by_phrase.get(phrase, ())
            if tag not in known:
                self._tags_by_phrase[phrase] = (*known, tag)

    def find(self, query: str) -> tuple[str, ...]:
        """The tags that the query names, in its order."""
        words = _phrase(query).split()
        found: dict[str, None] = {}
        start = 0
        while start < len(words) and len(found) < _QUERY_LIMIT:
            for length in range(min(_QUERY_WORDS, len(words) - start), 0, -1):
                tags = self._tags_by_phrase.get(" ".join(words[start : start + length]))
                if tags:
                    found.update(dict.fromkeys(tags))
                    start += length - 1
                    break
            start += 1
        return tuple(found)[:_QUERY_LIMIT]


def _with_family(tag: str) -> str | None:
    """`family:text`; None for a tag without text, which says nothing."""
    family, colon, text = tag.partition(":")
    if not colon or family not in FAMILIES:
        family, text = "attribute", tag
    return f"{family}:{text}" if text.strip() else None


def _phrase(text: str) -> str:
    """The words of a text as queries are searched for them: lower case, single spaces, no punctuation between them."""
    return " ".join(_WORD.findall(text.lower()))
