"""The work that every peer does with an event: seren's own decoding and seren's own profile update."""

from __future__ import annotations

from models.profiles import Profile, update
from streams import codec
from streams.knowledge import Knowledge
from streams.offline.route import Refusals, read_items
from streams.partition import Rules
from streams.recorded.logs import shipped_log


class Fold:
    """Folds events into profiles, with the catalogue of the shipped log. No triggers, labels, requests or dead letters."""

    def __init__(self) -> None:
        self._policy = Rules().profile
        items = read_items(shipped_log("online-retail"), Refusals())
        self._knowledge = Knowledge(items, max_tag_bytes=self._policy.short_term.max_tag_bytes)

    def __call__(self, profile: Profile, value: bytes, offset: int) -> Profile:
        """The profile with one event more."""
        event = codec.decode_event(value)
        item = self._knowledge.features.get(event.item_id or "")
        tags = self._knowledge.query_tags.find(event.query) if event.query else ()
        update(profile, event, item, tags, offset=offset, policy=self._policy)
        return profile
