"""A cognition profile as the judge is told of a person: what they had, searched for and are said to be.

Knows nothing about how a judgement is made.
"""

from __future__ import annotations

from models.entities import POSITIVE_EVENTS, Digest
from models.judging.pairs import MAX_FACTS, Past, Person


def person_of(digest: Digest) -> Person:
    """The person behind a digest.

    What was clicked, liked, put into the cart or bought is the history; what was hidden or cancelled is left out, and so are
    tags, which were made of the same history.

    Example:
        >>> from models.entities import Behaviour
        >>> person_of(Digest(history=(Behaviour("purchase", "Tea", 5, 1, "i", "drinks"), Behaviour("search", "cup", 6, 2))))
        ... # doctest: +NORMALIZE_WHITESPACE
        Person(static=None, history=(Past(title='Tea', category='drinks', rating=None, ts_ms=5.0),), queries=('cup',))
    """
    had = tuple(
        Past(title=one.title, category=one.category, ts_ms=float(one.ts_ms))
        for one in digest.history
        if one.type in POSITIVE_EVENTS
    )
    queries = tuple(one.title for one in digest.history if one.type == "search")
    return Person(static=list(digest.static[:MAX_FACTS]) or None, history=had or None, queries=queries or None)
