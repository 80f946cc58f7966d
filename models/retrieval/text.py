"""Words of a title: the one way in which titles, queries and tags are cut up, for both retrieval channels.

Knows nothing about indexes or vectors. Everything here is the same in every process and for every catalogue.
"""

from __future__ import annotations

import re
import unicodedata
import zlib
from functools import lru_cache
from itertools import pairwise

from models.entities import Item

_WORD = re.compile(r"\w+")
# The first code point of the scripts that write words without spaces between them (CJK radicals and all above).
_UNSPACED = "\u2e80"

# Words that tell variants of one thing apart, not one thing from another. Only for near-duplicates: a colour is a wish too.
VARIANT_WORDS = frozenset(
    "red blue green pink white black yellow orange purple brown grey gray ivory cream silver gold golden lilac turquoise "
    "mint beige navy violet clear multicolour multicolor colour color amber aqua coral charcoal chocolate burgundy lavender "
    "fuschia small medium large big giant mini tiny huge tall short long wide narrow jumbo xl xxl s m l "
    "set of pack pair piece pc box x cm mm in inch ml asstd assorted each dozen".split()
)


def _stem(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


@lru_cache(maxsize=65_536)
def words(text: str) -> tuple[str, ...]:
    """The words of a text: folded case, no punctuation, a plural's `s` taken off; scripts without spaces as character pairs.

    >>> words("RED Candles, GLASS t-lights")
    ('red', 'candle', 'glass', 't', 'light')
    >>> words("茶壶架")
    ('茶壶', '壶架')
    """
    found: list[str] = []
    for run in _WORD.findall(unicodedata.normalize("NFKC", text).casefold()):
        if max(run) >= _UNSPACED and len(run) > 2:
            found.extend(run[i : i + 2] for i in range(len(run) - 1))
        else:
            found.append(_stem(run))
    return tuple(found)


@lru_cache(maxsize=65_536)
def core(title: str) -> tuple[str, ...]:
    """The words that say what a thing is, without colour, size and count, in a fixed order.

    Two items with the same core are variants of each other. A title made of nothing else keeps all its words.

    >>> core("Set of 3 RED cake tins") == core("cake tins, large, pink")
    True
    >>> core("small red")
    ('red', 'small')
    """
    every = words(title)
    telling = [word for word in every if word not in VARIANT_WORDS and not word.isdigit()]
    return tuple(sorted(set(telling or every)))


def tag_text(tag: str) -> str:
    """A tag without its family.

    >>> tag_text("scenario:christmas"), tag_text("red")
    ('christmas', 'red')
    """
    family, found, text = tag.partition(":")
    return text if found else family


def item_text(item: Item) -> str:
    """What an item says of itself, as one text: title, category below the root, tags."""
    levels = item.category[1:] or item.category
    return " ".join((item.title, *levels, *(tag_text(tag) for tag in item.tags)))


def features(text: str, *, buckets: int) -> list[int]:
    """The hashed features of a text: words, neighbouring word pairs and character triples, in order of appearance.

    A triple of characters carries a misspelt or unseen word part of the way; two texts with the same words share all of them.

    Args:
        text: any title, query or tag.
        buckets: how many rows the embedding table has; every feature is one of them.

    >>> len(features("tea cup", buckets=2**15))  # 2 words, 1 pair, ^te tea ea$ ^cu cup up$
    9
    """
    found = words(text)
    names = list(found)
    names.extend(f"{left} {right}" for left, right in pairwise(found))
    for word in found:
        padded = f"^{word}$"
        names.extend(f"#{padded[i : i + 3]}" for i in range(len(padded) - 2))
    return [zlib.crc32(name.encode()) % buckets for name in names]
