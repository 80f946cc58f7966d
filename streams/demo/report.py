"""What a walk has left behind: read from Redis and the log, as the object of `seren demo --json` and as the page's data."""

from __future__ import annotations

import platform
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from statistics import median
from typing import Any, cast

from redis.asyncio import Redis

from models.blend import BlendPolicy, PageItem, blend
from models.catalogue import Catalogue
from models.entities import Event, Tier, Trace, fingerprint
from models.errors import DecodeError
from models.profiles import Profile, ProfilePolicy, decode, digest, item_features, update
from models.retrieval import Retriever
from streams import codec
from streams.demo.servers import TENANT
from streams.demo.summary import SummaryRow
from streams.demo.walk import Walked
from streams.keys import profile_key, slate_key
from streams.observability.metrics import EVENT_TO_SLATE
from streams.observability.scrape import quantile
from streams.page import ItemCard, PlacedCard, RunSummary, SlateStamp, TimelineEvent, UserPage
from streams.production import partition_of
from streams.recorded.logs import RecordedLog
from streams.slates.record import ReadSlate
from streams.slates.store import SlateStore
from streams.state import ProfileStore

PACKAGES = ("faust-streaming", "aiokafka", "confluent-kafka", "redis", "ctranslate2", "msgspec", "numpy")
_PERSONALISED = 20  # places of the page that the walk ends with
_USER_DECAY = 0.9  # weight of a behaviour against the next newer one, in the demo's own personalised channel


@dataclass(frozen=True, kw_only=True)
class Left:
    """What is in Redis after a walk."""

    redis_bytes: int
    profile_bytes: list[int]
    slate_bytes: list[int]
    with_slate: list[str]  # users who have one, in order of their ids


async def look(redis: Redis, users: Sequence[str], surface: str) -> Left:
    """Sizes of everything that the walk wrote about these users."""
    profile_bytes = await _sizes(redis, [profile_key(TENANT, user_id) for user_id in users])
    slate_bytes = await _sizes(redis, [slate_key(TENANT, user_id, surface) for user_id in users])
    return Left(
        redis_bytes=int((await redis.info("memory"))["used_memory"]),
        profile_bytes=[size for size in profile_bytes if size],
        slate_bytes=[size for size in slate_bytes if size],
        with_slate=[user_id for user_id, size in zip(users, slate_bytes, strict=True) if size],
    )


def summarise(log: RecordedLog, walked: Walked, left: Left, *, model_id: str, workers: int, partitions: int) -> RunSummary:
    """The run in numbers; all of them measured in it."""
    about, counts = log.about, walked.counts
    slates = int(counts.get('seren_slates_total{outcome="accepted"}', 0))
    items = counts.get('seren_slate_items_total{place="slate"}', 0.0)
    return RunSummary(
        log_name=about.name,
        first_ts_ms=walked.replayed.first_ts_ms,
        last_ts_ms=walked.replayed.last_ts_ms,
        impressions=about.impressions,
        notes=tuple(_notes(about.impressions)),
        events=walked.replayed.events,
        users=len(left.profile_bytes),
        triggers=_by_label(counts, "seren_requests_total", "reason"),
        slates=slates,
        items_per_slate=round(items / slates, 2) if slates else 0.0,
        labels=int(counts.get('seren_labels_total{kind="label"}', 0)),
        serendipity_related_strict=int(counts.get('seren_labels_total{kind="related_strict"}', 0)),
        serendipity_related_loose=int(counts.get('seren_labels_total{kind="related_loose"}', 0)),
        unknown_items=int(counts.get('seren_events_total{outcome="unknown_item"}', 0)),
        dead_letters=walked.replayed.dead_letters + sum(_by_label(counts, "seren_dead_letters_total", "error").values()),
        seconds=round(walked.seconds, 2),
        events_per_second=round(walked.replayed.events / walked.ingest_s, 1),
        event_to_slate_s_median=_rounded(quantile(counts, EVENT_TO_SLATE, 0.5)),
        event_to_slate_s_p99=_rounded(quantile(counts, EVENT_TO_SLATE, 0.99)),
        redis_bytes=left.redis_bytes,
        profile_bytes_median=median(left.profile_bytes) if left.profile_bytes else None,
        slate_bytes_median=median(left.slate_bytes) if left.slate_bytes else None,
        model_id=model_id,
        workers=workers,
        partitions=partitions,
        python=platform.python_version(),
        versions={name: version(name) for name in PACKAGES},
    )


@dataclass(frozen=True, kw_only=True)
class Shelf:
    """What the page of one user is made with."""

    catalogue: Catalogue
    retriever: Retriever
    profile: ProfilePolicy
    blend: BlendPolicy


async def user_pages(
    redis: Redis, log: RecordedLog, users: Sequence[str], starts: Mapping[int, int], *, surface: str, shelf: Shelf
) -> list[UserPage]:
    """One page per user, in the order of `users`."""
    slates = SlateStore(redis, tenant=TENANT, hard_ttl_ms=1)
    profiles = ProfileStore(redis, tenant=TENANT)
    timelines = _timelines(log, users, starts, shelf)
    pages = []
    for user_id in users:
        state = await profiles.read(user_id)
        profile = decode(state.profile) if state else Profile()
        slate, trace = await slates.read(user_id, surface), await slates.why(user_id, surface)
        pages.append(_user_page(user_id, profile, timelines[user_id], slate, trace, shelf))
    return pages


def chosen(traces: Mapping[str, Trace], count: int) -> list[str]:
    """The users worth looking at first: the most serendipitous best item, then the id."""
    kept = [(user_id, trace) for user_id, trace in traces.items() if trace.kept]
    kept.sort(key=lambda entry: (-max(item.serendipity for item in entry[1].kept), entry[0]))
    return [user_id for user_id, _ in kept[:count]]


def cards(pages: Iterable[UserPage], catalogue: Catalogue) -> dict[str, ItemCard]:
    """Cards of all items that the pages name."""
    names: set[str] = set()
    for page in pages:
        names.update(event.item_id for event in page.events if event.item_id)
        names.update(placed.item_id for placed in page.page)
        if page.trace is not None:
            names.update(candidate.item_id for candidate in page.trace.candidates)
            names.update(dropped.item_id for dropped in page.trace.filtered)
    found = {name: catalogue.get(name) for name in sorted(names)}
    return {
        name: ItemCard(title=item.title, category=item.category, price=item.price, tags=item.tags)
        for name, item in found.items()
        if item is not None
    }


def rows(pages: Iterable[UserPage], items: Mapping[str, ItemCard], count: int) -> list[SummaryRow]:
    """One line each for the first users that were asked about: a trait, an imagined title, the best surprise."""
    lines = []
    for page in pages:
        trace = page.trace
        if trace is None or not trace.kept:
            continue
        best = max(trace.kept, key=lambda item: item.serendipity)
        tags = trace.digest.long_term or trace.digest.short_term
        lines.append(
            SummaryRow(
                user_id=page.user_id,
                reason=trace.reason,
                trait=tags[0].text if tags else None,
                imagined=_imagined(trace, best.item_id),
                item_title=items[best.item_id].title if best.item_id in items else best.item_id,
                serendipity=best.serendipity,
            )
        )
    return lines[:count]


def _imagined(trace: Trace, item_id: str) -> str | None:
    """The imagined title that found the item at the best rank."""
    for candidate in trace.candidates:
        if candidate.item_id == item_id:
            return trace.imagined[min(candidate.sources, key=lambda source: source.rank).imagined]
    return None


def _user_page(
    user_id: str,
    profile: Profile,
    events: tuple[TimelineEvent, ...],
    slate: ReadSlate | None,
    trace: Trace | None,
    shelf: Shelf,
) -> UserPage:
    now = digest(profile, shelf.catalogue.get, profile.last_ms, shelf.profile)
    placed = blend(
        _personalised(profile, trace, shelf),
        slate.items if slate else (),
        policy=shelf.blend,
        exposed=(),
        seed=fingerprint(user_id),
    )
    return UserPage(
        user_id=user_id,
        static=now.static,
        events=events,
        digest=now,
        trace=trace,
        slate=None if slate is None else _stamp(slate),
        page=tuple(
            PlacedCard(
                item_id=place.item_id,
                channel=place.channel,
                score=place.score_before,
                boosted_score=place.score_after,
                why=place.why,
            )
            for place in placed
        ),
    )


def _personalised(profile: Profile, trace: Trace | None, shelf: Shelf) -> list[PageItem]:
    """A stand-in for the reader's own ranker: the items nearest to the user's recent history, bought ones left out."""
    read = trace.digest if trace else digest(profile, shelf.catalogue.get, profile.last_ms, shelf.profile)
    user = shelf.retriever.user_vector(read, decay=_USER_DECAY)
    scored = [
        (round(float(shelf.retriever.item_vector(item) @ user), 6), item.item_id)
        for item in shelf.catalogue.items
        if item.available and fingerprint(item.item_id) not in profile.owned
    ]
    scored.sort(key=lambda entry: (-entry[0], entry[1]))
    return [PageItem(item_id, score) for score, item_id in scored[:_PERSONALISED]]


def _timelines(
    log: RecordedLog, users: Sequence[str], starts: Mapping[int, int], shelf: Shelf
) -> dict[str, tuple[TimelineEvent, ...]]:
    """The users' own events with the offsets that they got, each judged by Definition 1 as it was in the run."""
    wanted = set(users)
    numbers = sorted(starts)
    offsets = dict(starts)
    events: dict[str, list[tuple[int, Event]]] = defaultdict(list)
    for _, line in log.events():
        try:
            event = codec.decode_event(line)
        except DecodeError:
            continue  # it went to the dead letters and has no offset
        number = partition_of(event.user_id.encode(), numbers)
        if event.user_id in wanted:
            events[event.user_id].append((offsets[number], event))
        offsets[number] += 1
    return {user_id: tuple(_timeline(events[user_id], shelf)) for user_id in users}


def _timeline(events: Iterable[tuple[int, Event]], shelf: Shelf) -> Iterable[TimelineEvent]:
    profile = Profile()
    for offset, event in events:
        item = shelf.catalogue.get(event.item_id) if event.item_id else None
        features = item_features(item, max_tag_bytes=shelf.profile.short_term.max_tag_bytes) if item else None
        judged = update(profile, event, features, (), offset=offset, policy=shelf.profile)
        yield TimelineEvent(
            offset=offset,
            ts_ms=event.ts_ms,
            type=event.type,
            item_id=event.item_id,
            query=event.query,
            label=judged.label if judged else None,
        )


def _stamp(slate: ReadSlate) -> SlateStamp:
    return SlateStamp(
        published_ms=slate.published_ms,
        soft_expiry_ms=slate.soft_expiry_ms,
        tier=cast("Tier", slate.tier),
        model_id=slate.model_id,
        epoch=slate.epoch,
        offset=slate.offset,
    )


async def _sizes(redis: Redis, keys: Sequence[str]) -> list[int]:
    pipeline = redis.pipeline(transaction=False)
    for key in keys:
        pipeline.strlen(key)
    sizes: list[Any] = await pipeline.execute()
    return [int(size) for size in sizes]


def _notes(impressions: bool) -> Iterable[str]:
    if not impressions:
        yield "This log has no impressions: what was clicked or bought counts as seen."
    yield "Personalised items stand in for a ranker of your own: nearest to the recent history, bought ones left out."


def _by_label(counts: Mapping[str, float], name: str, label: str) -> dict[str, int]:
    prefix = f'{name}{{{label}="'
    return {key[len(prefix) : -2]: int(count) for key, count in sorted(counts.items()) if key.startswith(prefix) and count}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
