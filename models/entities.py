"""The nouns: what moves between the stages, as frozen records.

Knows nothing about bytes, topics or Redis; `streams` encodes and decodes these. Two kinds of code are kept apart here:
what a user did (`Event`), and what was made of it (`Request`, `Candidate`, `ScoredItem`, `Slate`, `Trace`).
"""

from __future__ import annotations

from typing import Annotated, Final, Literal, NewType

from msgspec import Meta, Struct

from models.fingerprints import fingerprint as fingerprint  # noqa: PLC0414  # a word of these nouns

UserId = NewType("UserId", str)
ItemId = NewType("ItemId", str)

ID_BYTES = 128
TEXT_CHARS = 512
CATEGORY_LEVELS = 16
REQUEST_VERSION = 2

# Lengths here count characters, which msgspec checks while it decodes; the codec re-checks the bytes of other than ASCII ids.
Id = Annotated[str, Meta(min_length=1, max_length=ID_BYTES)]
Text = Annotated[str, Meta(max_length=TEXT_CHARS)]
Label = Annotated[str, Meta(min_length=1, max_length=TEXT_CHARS)]
Millis = Annotated[int, Meta(ge=0, lt=2**53)]

EventType = Literal["visit", "expose", "click", "favourite", "cart", "purchase", "cancel", "search", "hide"]
Channel = Literal["personalised", "serendipity"]
TriggerReason = Literal["visit", "search", "drift"]
Tier = Literal["serengpt", "distilled", "category", "last_good", "nothing"]
TagFamily = Literal["category", "brand", "attribute", "interest", "scenario"]

# Types that name an item, and those of them that say that the user wanted it (papers.md 2.2: intentional feedback).
ITEM_EVENTS: Final = frozenset({"expose", "click", "favourite", "cart", "purchase", "cancel", "hide"})
POSITIVE_EVENTS = frozenset({"click", "favourite", "cart", "purchase"})


class Event(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One thing that a user did, at event time `ts_ms`."""

    event_id: Id
    user_id: Id
    type: EventType
    ts_ms: Millis
    item_id: Id | None = None
    query: Text | None = None
    surface: Id | None = None
    slot: Annotated[int, Meta(ge=0, le=10_000)] | None = None
    dwell_ms: Millis | None = None
    quantity: Annotated[int, Meta(ge=1, le=10_000_000)] | None = None
    channel: Channel | None = None
    slate_id: Id | None = None


class Item(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that can be recommended. A tag may carry its family: `scenario:christmas`; without one it is an attribute."""

    item_id: Id
    title: Annotated[str, Meta(min_length=1, max_length=TEXT_CHARS)]
    category: Annotated[tuple[Label, ...], Meta(min_length=1, max_length=CATEGORY_LEVELS)]
    brand: Label | None = None
    seller: Label | None = None
    price: Annotated[float, Meta(ge=0, le=1e12)] | None = None
    available: bool = True
    tags: Annotated[tuple[Label, ...], Meta(max_length=64)] = ()

    @property
    def leaf(self) -> str:
        """The atomic category: the last level of the path."""
        return self.category[-1]


class UserAttributes(Struct, frozen=True, kw_only=True):
    """Slow facts about a user; a null value forgets the attribute."""

    user_id: Id
    attributes: Annotated[dict[Label, Text | None], Meta(max_length=64)]


class AttributesForgotten(Struct, frozen=True):
    """All attributes of a user are to be forgotten: what a null value on `user-attributes` says.

    `is_user` tells that the user is forgotten with them: no state is kept that would hold nothing.
    """

    user_id: Id
    is_user: bool = False


AttributeChange = UserAttributes | AttributesForgotten


class Tag(Struct, frozen=True):
    """One belief about a user, with the source offsets of the events that it rests on (newest last)."""

    text: str
    family: TagFamily
    score: float
    evidence: tuple[int, ...] = ()


class Behaviour(Struct, frozen=True):
    """One line of the recent history. `title` is the item's title, or the query of a search."""

    type: EventType
    title: str
    ts_ms: int
    offset: int
    item_id: str | None = None
    category: str | None = None


class Digest(Struct, frozen=True, kw_only=True):
    """A cognition profile as SerenGPT reads it: the three levels, then the recent history (oldest first)."""

    static: tuple[str, ...] = ()
    long_term: tuple[Tag, ...] = ()
    short_term: tuple[Tag, ...] = ()
    history: tuple[Behaviour, ...] = ()


class Seen(Struct, frozen=True, kw_only=True):
    """What the visit-day window holds, as fingerprints, and how many visit days it covers."""

    categories: tuple[int, ...] = ()
    brands: tuple[int, ...] = ()
    sellers: tuple[int, ...] = ()
    visit_days: int = 0


class Exclusions(Struct, frozen=True, kw_only=True):
    """Ids of items that must not be offered, by rule."""

    owned: tuple[str, ...] = ()
    in_cart: tuple[str, ...] = ()
    rejected: tuple[str, ...] = ()
    seen_recently: tuple[str, ...] = ()


class PackedRequest(Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """The seam between the profile workers and the judging workers: one question about one user, as plain data.

    `(epoch, offset)` is the fence of the slate that answers it. `profile` is the user's, as its owner writes it
    (`models.profiles.encode`): packing costs the profile worker next to nothing, and whoever answers reads of it what it needs
    (`models.profiles.request.unpack`).

    `drift` in [0, 1] is the share of the decayed behaviour that is newer than the last question, which was asked at
    `last_asked_ms` (-1: never; then all of it is new).
    """

    version: int = REQUEST_VERSION
    user_id: Id
    surface: Id
    reason: TriggerReason
    as_of_ms: Millis
    epoch: Annotated[int, Meta(ge=0, lt=2**32)]
    partition: Annotated[int, Meta(ge=0, lt=2**32)]
    offset: Annotated[int, Meta(ge=-1, le=2**63 - 1)]
    drift: Annotated[float, Meta(ge=0, le=1)]
    last_asked_ms: Annotated[int, Meta(ge=-1, lt=2**53)]
    profile: bytes


class Request(Struct, frozen=True, kw_only=True):
    """A request as it is answered: everything that the answer depends on beside the catalogue and the model.

    The same request always has the same answer. `epoch` and `offset` are those of its `PackedRequest`.
    """

    user_id: Id
    surface: str
    reason: TriggerReason
    as_of_ms: Millis
    epoch: int
    partition: int
    offset: int
    digest: Digest
    seen: Seen
    exclusions: Exclusions


class Source(Struct, frozen=True):
    """How one imagined title found an item."""

    channel: Literal["keyword", "vector"]
    imagined: int
    rank: int
    score: float


class Candidate(Struct, frozen=True, kw_only=True):
    """An item worth judging; `relevance` in [0, 1] is what retrieval says of it, `sources` why it was found."""

    item_id: str
    relevance: float
    sources: tuple[Source, ...]


class ScoredItem(Struct, frozen=True, kw_only=True):
    """One place of a slate. `serendipity` = relevance x unexpectedness x aligned, each in [0, 1].

    `propensity` is the probability with which the item was drawn to its place; `reason` indexes `models.reasons.REASONS`.
    """

    item_id: str
    serendipity: float
    relevance: float
    unexpectedness: float
    aligned: float
    propensity: float
    reason: int


class Slate(Struct, frozen=True, kw_only=True):
    """The ordered items of one user and surface, best first, with what a reader needs to judge their age and origin."""

    user_id: str
    surface: str
    epoch: int
    offset: int
    watermark_ms: int
    published_ms: int
    soft_expiry_ms: int
    model_id: str
    tier: Tier
    items: tuple[ScoredItem, ...]


class Filtered(Struct, frozen=True):
    """A candidate that was dropped, and the rule that dropped it."""

    item_id: str
    rule: str


class Trace(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why a slate is what it is: everything between the request and the places, for `seren why` and the page.

    `trace_id` is that of the distributed trace behind it (W3C: 32 hexadecimal digits), where the events carried one. In a tier
    below SerenGPT nothing is imagined: then `imagined` holds what was looked for in its place (`models.fallback`).
    `malformed`: what the model wrote where a title was asked for and is none, each cut to 200 characters.
    """

    user_id: str
    surface: str
    reason: TriggerReason
    as_of_ms: int
    offset: int
    digest: Digest
    imagined: tuple[str, ...]
    candidates: tuple[Candidate, ...]
    filtered: tuple[Filtered, ...]
    kept: tuple[ScoredItem, ...]
    trace_id: str = ""
    tier: Tier = "serengpt"
    malformed: tuple[str, ...] = ()


class SerendipityLabel(Struct, frozen=True, kw_only=True):
    """One Definition-1 sample (papers.md 1.2), as it became true at `ts_ms`."""

    event_id: str
    user_id: str
    item_id: str
    title: str
    category: str
    ts_ms: int
    partition: int
    offset: int
    channel: Channel | None
    related_strict: bool
    related_loose: bool
    visit_days: int
    digest: Digest | None
