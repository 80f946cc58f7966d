"""What the judge is asked and what it answers, as records. Bounds are checked where bytes become these."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

MAX_CHARS = 65_536  # of a text; some shops write a page into a title, of which the first TEXT_CHARS are looked at
MAX_LABELS = 64  # of one thing's category; more are left out
_MOST_LABELS = 4096  # that may be named
MAX_FACTS = 64  # of a person
_MOST_RATING = 1e6  # of any scale, so that sums of them are numbers
_MOST_MS = 2.0**53  # 285,000 years; every whole number of it is exact

_Free = Annotated[str, Meta(max_length=MAX_CHARS)]
Category = _Free | Annotated[list[_Free], Meta(max_length=_MOST_LABELS)] | None
_Fact = _Free | float | bool
Static = _Free | list[_Free] | dict[str, _Fact | list[_Fact] | None] | None


class Past(Struct, frozen=True, kw_only=True):
    """One thing that the person had. `rating` is on a scale of their own (`models.judging.tastes`)."""

    title: _Free
    category: Category = None
    rating: Annotated[float, Meta(ge=-_MOST_RATING, le=_MOST_RATING)] | None = None
    ts_ms: Annotated[float, Meta(ge=-_MOST_MS, le=_MOST_MS)] | None = None


class Person(Struct, frozen=True, kw_only=True):
    """What is known of a person; the order of the history says nothing, its times do."""

    static: Static = None
    history: tuple[Past, ...] | None = None
    queries: tuple[_Free, ...] | None = None


class Offer(Struct, frozen=True, kw_only=True):
    """The item to be judged."""

    title: Annotated[str, Meta(min_length=1, max_length=MAX_CHARS)]
    category: Category = None


class Judgement(Struct, frozen=True, kw_only=True):
    """The judge's answer: shares in [0, 1], and the evidence in words.

    `unexpectedness` is None where there is no history to expect anything from.
    """

    serendipity: float
    relevance: float
    unexpectedness: float | None
    reason: str


def facts(static: Static) -> tuple[str, ...]:
    """What is said of the person, a line each.

    >>> facts({"age": 34.0, "likes": ["jazz", "tea"], "city": None})
    ('age: 34', 'likes: jazz, tea')
    """
    if static is None:
        return ()
    if isinstance(static, str):
        return (static,)
    if isinstance(static, dict):
        known = [(name, value) for name, value in static.items() if value is not None]
        return tuple(f"{name}: {_plain(value)}" for name, value in known[:MAX_FACTS])
    return tuple(static[:MAX_FACTS])


def _plain(value: _Fact | list[_Fact]) -> str:
    if isinstance(value, list):
        return ", ".join(map(_plain, value[:MAX_FACTS]))
    return f"{value:g}" if isinstance(value, float) else str(value)
