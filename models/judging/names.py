"""Which titles name the same thing, and which two things of one series, by the titles alone.

Catalogues write one title in many ways: "Matrix, The (1999)" and "The Matrix", "Amélie" and "Amelie (Fabuleux destin d'Amélie
Poulain, Le)", "Gone Girl" and "Gone Girl: A Novel". Of two years that are both said and differ, the things are two. A series
is told by how titles begin: "Toy Story" and "Toy Story 2", "Harry Potter and the ..." twice. Knows no list of titles.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from models.retrieval.text import VARIANT_WORDS, words
from models.serengpt.tokens import clean

Words = tuple[str, ...]

# Behind a comma an article can be of many languages; in front only where it is hardly ever anything else.
_LEADING = frozenset("the a an le les el der das il".split())
_TRAILING = "the|a|an|le|la|les|l'|el|los|las|il|lo|gli|i|der|die|das|den|de|het|een|ein|eine|un|une|una|uno|o|os|as"
_TRAILING_ARTICLE = re.compile(rf",\s?(?:{_TRAILING})$")
_BRACKETS = re.compile(r"\(([^()]*)\)|\[([^\[\]]*)\]")
_YEAR = re.compile(r"((?:1[89]|20)\d\d)(?:\s?[-\u2013]\s?(?:\d{4})?)?")  # of a film, or the years of a show
_ALIAS = re.compile(r"^a\.?k\.?a\.? ")
_KIND = re.compile(r"\s?[:\-]\s?an? (?:novel|memoir|biography|autobiography|thriller|mystery)$")  # of a book, behind its title
_HEAD = re.compile(r":| [-\u2013] ")
_ACCENTS = re.compile("[\u0300-\u036f]")
_LINKS = frozenset(words("the a an of and in on at to for with by from or is it its my your our no not new und et de la le"))
# What a number in a series looks like, apart from digits.
_NUMBERS = frozenset("i ii iii iv v vi vii viii ix x part chapter episode season volume vol book series".split())


class Name(NamedTuple):
    """A title taken apart. `words`: without article, year and brackets; `also`: what brackets hold, other names among it.

    `head`: how many words stand before a colon or dash, where a series' name may end; 0 without one.
    """

    words: Words
    also: frozenset[Words]
    year: str
    head: int


@lru_cache(maxsize=16_384)
def name_of(title: str) -> Name:
    """A title's parts.

    Args:
        title: untrusted.

    Example:
        >>> name_of("Matrix, The (1999)")
        Name(words=('matrix',), also=frozenset(), year='1999', head=0)
    """
    text = clean(title)
    brackets = [(one or other).strip() for one, other in _BRACKETS.findall(text)]
    years = [found[1] for part in brackets if (found := _YEAR.fullmatch(part))]
    outer = " ".join(_BRACKETS.sub(" ", text).split())
    outer = _KIND.sub("", outer)
    own = _bare(outer) or _bare(text) or ((text,) if text else ())
    begins = _HEAD.split(outer, maxsplit=1)
    also = {_bare(_ALIAS.sub("", part)) for part in brackets if not _YEAR.fullmatch(part)} - {(), own}
    return Name(own, frozenset(also), years[-1] if years else "", len(_bare(begins[0])) if len(begins) > 1 else 0)


def folded(text: str) -> str:
    """A text without accents on its letters.

    >>> folded("amélie"), folded("が")
    ('amelie', 'が')
    """
    return unicodedata.normalize("NFC", _ACCENTS.sub("", unicodedata.normalize("NFD", text)))


def is_same(one: Name, other: Name) -> bool:
    """Whether two titles name one thing.

    >>> matrix = name_of("Matrix, The (1999)")
    >>> is_same(matrix, name_of("The Matrix")), is_same(matrix, name_of("The Matrix (2021)"))
    (True, False)
    """
    if not one.words or (one.year and other.year and one.year != other.year):
        return False
    if one.words == other.words:
        return not one.also or not other.also or not one.also.isdisjoint(other.also)
    return one.words in other.also or other.words in one.also


def kinship(one: Name, other: Name) -> float:
    """How much two titles begin alike, in [0, 1], where that speaks for one series; 1 where one is the other with more to it.

    >>> toy, potter = name_of("Toy Story (1995)"), name_of("Harry Potter and the Chamber of Secrets")
    >>> kinship(toy, name_of("Toy Story 2")), round(kinship(potter, name_of("Harry Potter and the Goblet of Fire")), 2)
    (1.0, 0.57)
    >>> kinship(name_of("Big"), name_of("Big Fish")), kinship(name_of("Alien"), name_of("Alien: Covenant"))
    (0.0, 1.0)
    """
    return max(
        _alike(mine, theirs, one.head, other.head)
        for mine in (one.words, *sorted(one.also))
        for theirs in (other.words, *sorted(other.also))
    )


def _alike(one: Words, other: Words, one_head: int, other_head: int) -> float:
    length = next(
        (place for place, (mine, theirs) in enumerate(zip(one, other, strict=False)) if mine != theirs),
        min(len(one), len(other)),
    )
    telling = [word for word in one[:length] if word not in _LINKS and word not in VARIANT_WORDS and not word.isdigit()]
    if not telling:
        return 0.0
    if len(telling) == 1:  # one word begins many titles: it must be a name that something follows
        ends = (_ends(one, length, one_head), _ends(other, length, other_head))
        if not (all(ends) and (len(one) > length or len(other) > length or one == other)):
            return 0.0
    return length / min(len(one), len(other))


def _ends(title: Sequence[str], length: int, head: int) -> bool:
    """Whether a series' name may end behind so many words: with the title, a colon, or before a number."""
    return len(title) == length or head == length or title[length].isdigit() or title[length] in _NUMBERS


def _bare(text: str) -> Words:
    """The words without an article at either end, accents, or the two ways to write `and`."""
    found = words(_TRAILING_ARTICLE.sub("", folded(text.strip()).replace("&", " and ")))
    return found[1:] if len(found) > 1 and found[0] in _LEADING else found
