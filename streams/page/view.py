"""The report as the page's script reads it: rows instead of objects, every title, category and tag written once.

Written plainly, a dozen users of a busy shop are some 4 MB, most of it field names and repeated ids. Rows refer to `items`,
`categories`, `tags` and `types` by position; -1 is none. The script reads the columns by position as well: change both.

Knows nothing about HTML. The same report gives the same view, in whatever order its dictionaries were filled.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import get_args

from msgspec import Struct
from msgspec.structs import replace

from models.entities import Candidate, Digest, EventType, Filtered, ScoredItem, Tag, Trace
from models.profiles.policy import DAY_MS
from models.reasons import REASONS
from models.retrieval import filters
from models.retrieval.text import tag_text, words
from streams.page.report import ItemCard, PageReport, PlacedCard, RunSummary, SlateStamp, TimelineEvent, UserPage

NONE = -1
TYPES: tuple[EventType, ...] = get_args(EventType)
DIGITS = 4  # of scores: the third is the last that is shown

# What a reader is told of each rule: a short name, and what it means.
RULE_WORDS: dict[str, tuple[str, str]] = {
    filters.UNREADABLE: ("unreadable", "nothing is left of its title once it is cleaned"),
    filters.OWNED: ("owned", "the user bought it before"),
    filters.IN_CART: ("in the cart", "it lies in the user's cart"),
    filters.REJECTED: ("rejected", "the user gave it back or hid it"),
    filters.UNAVAILABLE: ("unavailable", "the catalogue no longer offers it"),
    filters.SEEN_RECENTLY: ("seen lately", "it is in the user's recent history"),
    filters.NEAR_DUPLICATE: ("near duplicate", "it is a variant of a better candidate"),
    filters.SCORE_LIMIT: (
        "not worth scoring",
        "by relevance x unexpectedness, others promised more",
    ),
    filters.CATEGORY_CAP: ("category full", "its category has all the places that one may have"),
    filters.SLATE_SIZE: ("no place left", "the slate was full"),
}
# The stage that a rule belongs to: before SerenGPT scores, instead of it, or after. Other rules count as filters.
STAGE_BY_RULE: dict[str, str] = {
    filters.SCORE_LIMIT: "scored",
    filters.CATEGORY_CAP: "kept",
    filters.SLATE_SIZE: "kept",
}


@dataclass(frozen=True, kw_only=True)
class ViewPolicy:
    """What bounds the page, so that one busy user cannot make it unreadable."""

    events_per_user: int = 600  # newest ones with their items, 30 bytes each; older ones only count in their day's bar


class ItemRow(Struct, frozen=True, array_like=True):
    """An item; `category` and `tags` are positions."""

    item_id: str
    title: str
    category: int
    price: float | None
    tags: tuple[int, ...]


class DayRow(Struct, frozen=True, array_like=True):
    """One day of a user, over all events: `wanted` are clicks, favourites, carts, purchases; `refused` cancels, hides."""

    day: int
    visits: int
    wanted: int
    refused: int
    searches: int
    exposed: int
    labels: int


class EventRow(Struct, frozen=True, array_like=True):
    """One event; `label` is 1, 0 or -1 for unknown."""

    offset: int
    ts_ms: int
    type: int
    item: int
    query: str | None
    label: int


class BehaviourRow(Struct, frozen=True, array_like=True):
    """One line of the recent history, as SerenGPT reads it."""

    type: int
    title: str
    ts_ms: int
    offset: int


class DigestView(Struct, frozen=True, kw_only=True):
    """The levels and the recent history."""

    long_term: tuple[Tag, ...]
    short_term: tuple[Tag, ...]
    history: tuple[BehaviourRow, ...]


class SourceRow(Struct, frozen=True, array_like=True):
    """How an imagined title found a candidate; `vector` is 1 for the vector channel, 0 for the keyword one."""

    vector: int
    imagined: int
    rank: int
    score: float


class CandidateRow(Struct, frozen=True, array_like=True):
    """One candidate, most relevant first."""

    item: int
    relevance: float
    sources: tuple[SourceRow, ...]


class FilteredRow(Struct, frozen=True, array_like=True):
    """One rule and the candidates that it dropped."""

    rule: str
    items: tuple[int, ...]


class KeptRow(Struct, frozen=True, array_like=True):
    """One place of the slate; `spoken` are positions in the trace's `spoken`: the tags all of whose words the item has."""

    item: int
    serendipity: float
    relevance: float
    unexpectedness: float
    aligned: float
    propensity: float
    reason: int
    spoken: tuple[int, ...]


class TraceView(Struct, frozen=True, kw_only=True):
    """Why the slate is what it is. The first `spoken_short_count` of `spoken` are short-term tags, the others long-term."""

    reason: str
    as_of_ms: int
    offset: int
    imagined: tuple[str, ...]
    candidates: tuple[CandidateRow, ...]
    filtered: tuple[FilteredRow, ...]
    kept: tuple[KeptRow, ...]
    spoken: tuple[Tag, ...]
    spoken_short_count: int
    digest_differs: bool


class PlacedRow(Struct, frozen=True, array_like=True):
    """One place of the blended page; `serendipity` is 1 for that channel."""

    item: int
    serendipity: int
    score: float
    boosted_score: float
    why: str


class UserView(Struct, frozen=True, kw_only=True):
    """One user. `events` are the newest and those that a tag rests on, by offset; `days` counts all of them."""

    user_id: str
    static: tuple[str, ...]
    events_count: int
    days: tuple[DayRow, ...]
    events: tuple[EventRow, ...]
    digest: DigestView
    trace: TraceView | None
    slate: SlateStamp | None
    page: tuple[PlacedRow, ...]


class View(Struct, frozen=True, kw_only=True):
    """Everything that the script reads, and all words that are decided in Python."""

    run: RunSummary
    types: tuple[str, ...]
    reasons: dict[str, str]
    rules: dict[str, tuple[str, str]]
    stages: dict[str, str]
    categories: tuple[tuple[str, ...], ...]
    tags: tuple[str, ...]
    items: tuple[ItemRow, ...]
    users: tuple[UserView, ...]


def view(report: PageReport, *, policy: ViewPolicy) -> View:
    """The report in rows.

    Args:
        report: users in the order in which they are to be offered.
        policy: bounds.
    """
    item_ids = sorted({item_id for user in report.users for item_id in _named(user, policy)})
    place = {item_id: number for number, item_id in enumerate(item_ids)}
    cards = [report.items.get(item_id) or ItemCard(title=item_id, category=()) for item_id in item_ids]
    categories = sorted({card.category for card in cards})
    tags = sorted({tag for card in cards for tag in card.tags})
    return View(
        run=_ordered(report.run),
        types=TYPES,
        reasons={str(number): sentence for number, sentence in sorted(REASONS.items())},
        rules=RULE_WORDS,
        stages=STAGE_BY_RULE,
        categories=tuple(categories),
        tags=tuple(tags),
        items=_item_rows(item_ids, cards, categories, tags),
        users=tuple(_user(user, place, report.items, policy) for user in report.users),
    )


def _ordered(run: RunSummary) -> RunSummary:
    return replace(run, triggers=dict(sorted(run.triggers.items())), versions=dict(sorted(run.versions.items())))


def _item_rows(
    item_ids: list[str], cards: list[ItemCard], categories: list[tuple[str, ...]], tags: list[str]
) -> tuple[ItemRow, ...]:
    category_place = {category: number for number, category in enumerate(categories)}
    tag_place = {tag: number for number, tag in enumerate(tags)}
    return tuple(
        ItemRow(item_id, card.title, category_place[card.category], card.price, tuple(tag_place[tag] for tag in card.tags))
        for item_id, card in zip(item_ids, cards, strict=True)
    )


def _named(user: UserPage, policy: ViewPolicy) -> Iterable[str]:
    """The ids of all items that the user's view refers to."""
    yield from (event.item_id for event in _shown(user, policy) if event.item_id is not None)
    yield from (placed.item_id for placed in user.page)
    if user.trace is not None:
        yield from (candidate.item_id for candidate in user.trace.candidates)
        yield from (filtered.item_id for filtered in user.trace.filtered)
        yield from (kept.item_id for kept in user.trace.kept)


def _shown(user: UserPage, policy: ViewPolicy) -> list[TimelineEvent]:
    """The newest events, and the older ones that something rests on, by offset."""
    events = sorted(user.events, key=lambda event: event.offset)
    digests = [user.digest] if user.trace is None else [user.digest, user.trace.digest]
    evidence = {offset for digest in digests for tag in (*digest.long_term, *digest.short_term) for offset in tag.evidence}
    first = max(len(events) - policy.events_per_user, 0)
    return [event for number, event in enumerate(events) if number >= first or event.offset in evidence]


def _user(user: UserPage, place: Mapping[str, int], cards: Mapping[str, ItemCard], policy: ViewPolicy) -> UserView:
    return UserView(
        user_id=user.user_id,
        static=user.static,
        events_count=len(user.events),
        days=_days(user.events),
        events=tuple(_event(event, place) for event in _shown(user, policy)),
        digest=_digest(user.digest),
        trace=None if user.trace is None else _trace(user.trace, user.digest, place, cards),
        slate=user.slate,
        page=tuple(_placed(placed, place) for placed in user.page),
    )


def _days(events: Iterable[TimelineEvent]) -> tuple[DayRow, ...]:
    counts: dict[int, Counter[str]] = {}
    for event in events:
        day = counts.setdefault(event.ts_ms // DAY_MS, Counter())
        day[event.type] += 1
        day["label"] += event.label is True
    return tuple(
        DayRow(
            day=day,
            visits=count["visit"],
            wanted=count["click"] + count["favourite"] + count["cart"] + count["purchase"],
            refused=count["cancel"] + count["hide"],
            searches=count["search"],
            exposed=count["expose"],
            labels=count["label"],
        )
        for day, count in sorted(counts.items())
    )


def _event(event: TimelineEvent, place: Mapping[str, int]) -> EventRow:
    item = NONE if event.item_id is None else place[event.item_id]
    label = NONE if event.label is None else int(event.label)
    return EventRow(event.offset, event.ts_ms, TYPES.index(event.type), item, event.query, label)


def _digest(digest: Digest) -> DigestView:
    return DigestView(
        long_term=tuple(map(_tag, digest.long_term)),
        short_term=tuple(map(_tag, digest.short_term)),
        history=tuple(BehaviourRow(TYPES.index(one.type), one.title, one.ts_ms, one.offset) for one in digest.history),
    )


def _tag(tag: Tag) -> Tag:
    return Tag(tag.text, tag.family, round(tag.score, DIGITS), tag.evidence)


def _trace(trace: Trace, digest: Digest, place: Mapping[str, int], cards: Mapping[str, ItemCard]) -> TraceView:
    beliefs = (*trace.digest.short_term, *trace.digest.long_term)
    speaking = {kept.item_id: _speaking(beliefs, cards.get(kept.item_id)) for kept in trace.kept}
    spoken = sorted({number for numbers in speaking.values() for number in numbers})
    return TraceView(
        reason=trace.reason,
        as_of_ms=trace.as_of_ms,
        offset=trace.offset,
        imagined=trace.imagined,
        candidates=tuple(_candidate(candidate, place) for candidate in trace.candidates),
        filtered=_filtered(trace.filtered, place),
        kept=tuple(_kept(kept, place, tuple(map(spoken.index, speaking[kept.item_id]))) for kept in trace.kept),
        spoken=tuple(_tag(beliefs[number]) for number in spoken),
        spoken_short_count=sum(number < len(trace.digest.short_term) for number in spoken),
        digest_differs=trace.digest != digest,
    )


def _speaking(beliefs: tuple[Tag, ...], card: ItemCard | None) -> tuple[int, ...]:
    """The beliefs all of whose words are in what the item says of itself (as in models.evidence)."""
    if card is None:
        return ()
    text = " ".join((card.title, *(card.category[1:] or card.category), *map(tag_text, card.tags)))
    vocabulary = frozenset(words(text))
    found = (frozenset(words(tag.text)) for tag in beliefs)
    return tuple(number for number, said in enumerate(found) if said and said <= vocabulary)


def _candidate(candidate: Candidate, place: Mapping[str, int]) -> CandidateRow:
    sources = (
        SourceRow(int(one.channel == "vector"), one.imagined, one.rank, round(one.score, DIGITS - 1))
        for one in candidate.sources
    )
    return CandidateRow(place[candidate.item_id], round(candidate.relevance, DIGITS), tuple(sources))


def _filtered(filtered: tuple[Filtered, ...], place: Mapping[str, int]) -> tuple[FilteredRow, ...]:
    """By rule, in the order in which rules are asked; rules that are not ours come last, by name."""
    items: dict[str, list[int]] = {}
    for one in filtered:
        items.setdefault(one.rule, []).append(place[one.item_id])
    order = [rule for rule in filters.RULES if rule in items] + sorted(items.keys() - set(filters.RULES))
    return tuple(FilteredRow(rule, tuple(items[rule])) for rule in order)


def _kept(kept: ScoredItem, place: Mapping[str, int], spoken: tuple[int, ...]) -> KeptRow:
    return KeptRow(
        item=place[kept.item_id],
        serendipity=round(kept.serendipity, DIGITS),
        relevance=round(kept.relevance, DIGITS),
        unexpectedness=round(kept.unexpectedness, DIGITS),
        aligned=round(kept.aligned, DIGITS),
        propensity=float(f"{kept.propensity:.3g}"),
        reason=kept.reason,
        spoken=spoken,
    )


def _placed(placed: PlacedCard, place: Mapping[str, int]) -> PlacedRow:
    score, boosted = (float(f"{value:.5g}") for value in (placed.score, placed.boosted_score))
    return PlacedRow(place[placed.item_id], int(placed.channel == "serendipity"), score, boosted, placed.why)
