"""Definition-1 samples: what SerenGPT would have been asked before a visit, and what turned out to be serendipitous on it.

A log is replayed through the same profile code that serves, so a training prompt is what the engine would have read. The
digest is taken before the first event of a visit day: what else went into the same basket is no evidence, as it would not
have been when the slate was made. Knows nothing about prompts, tokens or files.

Source: papers.md 1.2 (definition), 1.4 (records).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from msgspec import Struct

from models.entities import POSITIVE_EVENTS, Digest, Event, Item, Seen, UserAttributes
from models.profiles import ItemFeatures, Profile, ProfilePolicy, QueryTags, digest, item_features, update, update_attributes
from models.profiles.policy import DAY_MS
from models.profiles.window import seen

LED_MS = 30 * 60 * 1000  # a query's click is looked for this long after it, and only until the next query


class Sample(Struct, frozen=True, kw_only=True):
    """One visit day of one user.

    `serendipitous`: items that became Definition-1 positives on the day. `others`: items wanted on the day that did not, or of
    which it cannot be known (too few visit days). Both in the order of the log, each item once. `searches`: the queries of the
    day; `led`: those of them after which, within `LED_MS`, an item became a positive: both in the order of the log, each once.
    """

    user_id: str
    as_of_ms: int
    digest: Digest
    seen: Seen
    serendipitous: tuple[str, ...]
    others: tuple[str, ...]
    searches: tuple[str, ...] = ()
    led: tuple[str, ...] = ()


class _Day:
    """A visit day while it lasts."""

    def __init__(self, day: int, as_of_ms: int, before: Digest, window: Seen) -> None:
        self.day = day
        self.as_of_ms = as_of_ms
        self.before = before
        self.window = window
        self.wanted: dict[str, bool] = {}
        self.searches: dict[str, bool] = {}
        self._asked: tuple[str, int] | None = None

    def search(self, query: str, ts_ms: int) -> None:
        self.searches.setdefault(query, False)
        self._asked = (query, ts_ms)

    def want(self, item_id: str, ts_ms: int, *, is_positive: bool) -> None:
        self.wanted[item_id] = self.wanted.get(item_id, False) or is_positive
        if is_positive and self._asked is not None and ts_ms - self._asked[1] <= LED_MS:
            self.searches[self._asked[0]] = True

    def sample(self, user_id: str) -> Sample:
        return Sample(
            user_id=user_id,
            as_of_ms=self.as_of_ms,
            digest=self.before,
            seen=self.window,
            serendipitous=tuple(item_id for item_id, label in self.wanted.items() if label),
            others=tuple(item_id for item_id, label in self.wanted.items() if not label),
            searches=tuple(self.searches),
            led=tuple(query for query, has_led in self.searches.items() if has_led),
        )


def samples(
    events: Iterable[Event],
    item: Callable[[str], Item | None],
    attributes: Iterable[UserAttributes],
    policy: ProfilePolicy,
) -> Iterator[Sample]:
    """Replays a log and gives one sample for each user and visit day on which something was wanted.

    Args:
        events: in the order of the log, each user's in time order.
        item: looks an item up by id.
        attributes: slow facts, known from the start.
        policy: the profile's thresholds; the visit-day window of Definition 1 is in it.

    Yields:
        Samples in the order in which their days end; days that are open when the log ends come last, by user id.
    """
    replay = _Replay(item, attributes, policy)
    for offset, event in enumerate(events):
        ended = replay.apply(event, offset)
        if ended is not None:
            yield ended
    yield from replay.close()


class _Replay:
    def __init__(
        self, item: Callable[[str], Item | None], attributes: Iterable[UserAttributes], policy: ProfilePolicy
    ) -> None:
        self._item = item
        self._policy = policy
        self._profiles: dict[str, Profile] = {}
        self._days: dict[str, _Day] = {}
        self._features: dict[str, ItemFeatures | None] = {}
        self._queries = QueryTags()
        for change in attributes:
            update_attributes(self._profile(change.user_id), change, max_bytes=policy.attribute_bytes)

    def apply(self, event: Event, offset: int) -> Sample | None:
        profile = self._profile(event.user_id)
        ended = self._turn_day(event, profile)
        features = self._feature(event.item_id) if event.item_id else None
        query_tags = self._queries.find(event.query) if event.query else ()
        flags = update(profile, event, features, query_tags, offset=offset, policy=self._policy)
        day = self._days[event.user_id]
        if event.type == "search" and event.query:
            day.search(event.query, event.ts_ms)
        if features and event.item_id and event.type in POSITIVE_EVENTS:
            day.want(event.item_id, event.ts_ms, is_positive=bool(flags and flags.label))
        return ended

    def close(self) -> Iterator[Sample]:
        for user_id in sorted(self._days):
            if self._days[user_id].wanted:
                yield self._days[user_id].sample(user_id)

    def _turn_day(self, event: Event, profile: Profile) -> Sample | None:
        day = event.ts_ms // DAY_MS
        open_day = self._days.get(event.user_id)
        if open_day is not None and day <= open_day.day:
            return None
        before = digest(profile, self._item, event.ts_ms, self._policy)
        self._days[event.user_id] = _Day(day, event.ts_ms, before, seen(profile, self._policy.window))
        return open_day.sample(event.user_id) if open_day is not None and open_day.wanted else None

    def _profile(self, user_id: str) -> Profile:
        return self._profiles.setdefault(user_id, Profile())

    def _feature(self, item_id: str) -> ItemFeatures | None:
        if item_id not in self._features:
            found = self._item(item_id)
            features = item_features(found, max_tag_bytes=self._policy.short_term.max_tag_bytes) if found else None
            if features:
                self._queries.learn(features)
            self._features[item_id] = features
        return self._features[item_id]
