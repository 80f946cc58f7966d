"""What the page is made from: the run in numbers, and a few users with everything between their events and their page.

Knows nothing about HTML, and nothing about how any of it was found out. `RunSummary` is public: `seren demo --json` prints it.
A number that was not measured is None, never 0.
"""

from __future__ import annotations

from msgspec import Struct

from models.entities import Channel, Digest, EventType, Tier, Trace


class RunSummary(Struct, frozen=True, kw_only=True):
    """One run in numbers.

    Times of events (`first_ts_ms`, `last_ts_ms`) are event time, which a replay takes from its log; durations (`..._s`) are
    those of the machine that ran it. Sizes are those of the values, without Redis's own overhead, except `redis_bytes`.
    """

    log_name: str
    first_ts_ms: int
    last_ts_ms: int
    impressions: bool  # the log says what was shown; without, what was clicked or bought counts as seen
    notes: tuple[str, ...] = ()  # whole sentences that a reader must know to read the numbers

    events: int
    users: int
    triggers: dict[str, int]  # requests by reason: visit, search, drift
    slates: int
    items_per_slate: float  # mean
    labels: int  # Definition-1 samples: wanted, and of a kind not seen in the visit-day window
    serendipity_related_strict: int  # events whose category, brand and seller were all new
    serendipity_related_loose: int  # events of which any of the three was new
    unknown_items: int  # events that name an item which the catalogue lacks
    dead_letters: int

    seconds: float
    events_per_second: float
    event_to_slate_s_median: float | None = None
    event_to_slate_s_p99: float | None = None
    redis_bytes: int | None = None
    profile_bytes_median: float | None = None
    slate_bytes_median: float | None = None

    model_id: str
    workers: int
    partitions: int
    python: str
    versions: dict[str, str]  # package name -> version
    html_path: str | None = None


class TimelineEvent(Struct, frozen=True, kw_only=True):
    """One event of a user. `label`: whether it was serendipitous by Definition 1; None where that cannot be known."""

    offset: int
    ts_ms: int
    type: EventType
    item_id: str | None = None
    query: str | None = None
    label: bool | None = None


class SlateStamp(Struct, frozen=True, kw_only=True):
    """What a ranker reads beside a slate's items. `published_ms` is the wall clock's, also in a replay of an old log."""

    published_ms: int
    soft_expiry_ms: int
    tier: Tier
    model_id: str
    epoch: int
    offset: int


class PlacedCard(Struct, frozen=True, kw_only=True):
    """One place of the blended page, in its order: its channel, its score before and after, and why it is there."""

    item_id: str
    channel: Channel
    score: float
    boosted_score: float
    why: str


class ItemCard(Struct, frozen=True, kw_only=True):
    """What a person is shown of an item; `category` is the path from the root to the leaf."""

    title: str
    category: tuple[str, ...]
    price: float | None = None
    tags: tuple[str, ...] = ()


class UserPage(Struct, frozen=True, kw_only=True):
    """One user, from what happened to what would be shown.

    `digest` is the profile at the end of the run; the one that the slate was made from is in the trace. The offsets
    of `events` and of the evidence are of one partition. A user about whom SerenGPT was never asked has no trace and no slate.
    """

    user_id: str
    static: tuple[str, ...] = ()
    events: tuple[TimelineEvent, ...] = ()
    digest: Digest
    trace: Trace | None = None
    slate: SlateStamp | None = None
    page: tuple[PlacedCard, ...] = ()


class PageReport(Struct, frozen=True, kw_only=True):
    """Everything that the page shows. `items` holds the items that events, traces and pages name; others show their id."""

    run: RunSummary
    users: tuple[UserPage, ...]
    items: dict[str, ItemCard]
