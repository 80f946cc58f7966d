"""Finds curated phrases in product names.

Knows nothing about categories or tags. A name is written small and cut into words, plurals are made singular, and known
misspellings and glued words are mended; a phrase goes through the same, so that both are compared in one form. A phrase is
words that stand side by side; `^` binds it to the start of the name; `a + b` asks for all its parts, anywhere in the name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from streams.importers.leaf_table import SPELLING

_WORD = re.compile(r"[a-z0-9']+")
# Endings that look like a plural and are none.
_NO_PLURAL = ("ss", "us", "is")

Phrase = tuple[str, ...]


def singular(word: str) -> str:
    """A word without its plural ending; both sides of a comparison go through this, so it need not be good English.

    Example:
        >>> [singular(word) for word in ("holders", "boxes", "daisies", "glass", "christmas")]
        ['holder', 'box', 'daisy', 'glass', 'christma']
    """
    if len(word) <= 3 or not word.endswith("s") or word.endswith(_NO_PLURAL):
        return word
    if word.endswith("ies"):
        return word[:-3] + "y"
    if word.endswith(("xes", "ches", "shes", "sses")):
        return word[:-2]
    return word[:-1]


def words_of(name: str) -> tuple[str, ...]:
    """The words of a product name: small, singular and mended.

    Example:
        >>> words_of("S/4 CACTI CANDLEHOLDERS")
        ('s', '4', 'cacti', 'candle', 'holder')
    """
    words: list[str] = []
    for word in _WORD.findall(name.lower()):
        small = singular(word)
        words.extend(SPELLING.get(small, small).split(" "))
    return tuple(words)


def haystack(name: str) -> str:
    """A name as phrases are looked for in it.

    Example:
        >>> haystack("Lunch Bags")
        '^ lunch bag '
    """
    return f"^ {' '.join(words_of(name))} "


def phrases(cell: str) -> tuple[Phrase, ...]:
    """The phrases of one table cell, `a | b + c`, in the form of `haystack`.

    Example:
        >>> phrases("^wrap | zinc + hearts")
        (('^ wrap ',), (' zinc ', ' heart '))
    """
    return tuple(tuple(_needle(part) for part in phrase.split(" + ")) for phrase in cell.split(" | "))


def _needle(part: str) -> str:
    if part.startswith("@"):  # a department, which is compared whole and not as words
        return f" {part} "
    text = haystack(part.removeprefix("^"))
    return text if part.startswith("^") else text[1:]


def occurs(phrase: Phrase, text: str) -> bool:
    """Whether all parts of a phrase stand in a haystack."""
    return all(part in text for part in phrase)


def table_rows(table: str) -> Iterator[tuple[str, tuple[Phrase, ...]]]:
    """The rows `name = phrase | phrase` of a table, from the top; an indented line goes on with the row above it."""
    for line in table.replace("\n    ", " ").splitlines():
        if line and not line.startswith("#"):
            name, _, cell = line.partition(" = ")
            yield name, phrases(cell)
