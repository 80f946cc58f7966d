"""Builders for the laws of the profile: one user's events, in order, on items whose features are made by the shipped code."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from models.entities import Event, Item
from models.profiles import Profile, ProfilePolicy, item_features, update
from models.profiles.features import ItemFeatures
from models.serendipity import Flags

DAY_MS = 86_400_000


class User:
    """A user's profile, and short ways to let things happen to it. Offsets count from 0."""

    def __init__(self, policy: ProfilePolicy) -> None:
        self.policy = policy
        self.profile = Profile()
        self.next_offset = 0

    def does(
        self,
        kind: Any,
        item: Item | None = None,
        *,
        day: float,
        query: str | None = None,
        query_tags: Sequence[str] = (),
    ) -> Flags | None:
        """One event at the given day since 1970 (a fraction is the time of day)."""
        features: ItemFeatures | None = (
            item_features(item, max_tag_bytes=self.policy.short_term.max_tag_bytes) if item else None
        )
        offset = self.next_offset
        self.next_offset += 1
        event = Event(
            event_id=f"e{offset}",
            user_id="u",
            type=kind,
            ts_ms=round(day * DAY_MS),
            item_id=item.item_id if item else None,
            query=query,
        )
        return update(self.profile, event, features, tuple(query_tags), offset=offset, policy=self.policy)


@pytest.fixture
def new_user() -> Callable[..., User]:
    """Makes a user under a policy with the given parts."""
    return lambda **parts: User(ProfilePolicy(**parts))


@pytest.fixture
def thing() -> Callable[..., Item]:
    """Makes an item of a leaf category."""

    def make(leaf: str = "mugs", *, item_id: str | None = None, tags: Sequence[str] = (), **fields: Any) -> Item:
        return Item(item_id=item_id or f"id-{leaf}", title=f"a {leaf}", category=("shop", leaf), tags=tuple(tags), **fields)

    return make
