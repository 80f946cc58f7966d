"""Definition 1 of serendipity, and the weaker flag that is counted online.

Source: papers.md 1.2. The label: clicked or bought, and the leaf category unseen in the visit-day window. The flag needs no
click and looks at category, brand and seller: `strict` when none of them was seen, `loose` when any of them is new (the
paper's wording allows both; the strict reading fits its reported levels).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from models.entities import Event
from models.profiles import window
from models.profiles.features import ItemFeatures
from models.profiles.policy import WindowPolicy
from models.profiles.state import Profile

LABEL_TYPES = frozenset({"click", "purchase"})


class Flags(NamedTuple):
    """`label` is None where it cannot be known: another type of event, or too few visit days."""

    label: bool | None
    related_strict: bool
    related_loose: bool
    visit_days: int


_flags: Callable[[tuple[bool | None, bool, bool, int]], Flags] = partial(tuple.__new__, Flags)  # half the time of Flags(...)


def flags(profile: Profile, event: Event, item: ItemFeatures, day: int, policy: WindowPolicy) -> Flags:
    """What the event is, judged by the window before its own day."""
    days = window.days_before(profile, day, policy)
    since = days[0] if days else day
    new_category = strict = loose = not window.was_seen(profile.seen_categories, item.category, since, day)
    for name, seen in ((item.brand, profile.seen_brands), (item.seller, profile.seen_sellers)):
        if name:
            new = not window.was_seen(seen, name, since, day)
            strict, loose = strict and new, loose or new
    known = event.type in LABEL_TYPES and len(days) >= policy.min_visit_days
    return _flags((new_category if known else None, strict, loose, len(days)))
