"""Definition 1 of serendipity, and the weaker flag that is counted online.

Source: papers.md 1.2. The label: clicked or bought, and the leaf category unseen in the visit-day window. The flag needs no
click and looks at category, brand and seller: `strict` when none of them was seen, `loose` when any of them is new (the
paper's wording allows both; the strict reading fits its reported levels).
"""

from __future__ import annotations

from typing import Final, final

from models.compiled import mypyc_attr
from models.entities import Event
from models.profiles import window
from models.profiles.features import ItemFeatures
from models.profiles.policy import WindowPolicy
from models.profiles.state import Profile

LABEL_TYPES: Final = frozenset({"click", "purchase"})


@final
@mypyc_attr(acyclic=True)
class Flags:
    """`label` is None where it cannot be known: another type of event, or too few visit days."""

    __slots__ = ("label", "related_loose", "related_strict", "visit_days")

    def __init__(self, *, label: bool | None, related_strict: bool, related_loose: bool, visit_days: int) -> None:
        self.label = label
        self.related_strict = related_strict
        self.related_loose = related_loose
        self.visit_days = visit_days


def flags(profile: Profile, event: Event, item: ItemFeatures, day: int, policy: WindowPolicy) -> Flags:
    """What the event is, judged by the window before its own day."""
    end = window.days_until(profile, day)
    start = max(0, end - policy.visit_days)
    since = profile.visit_days[start] if start < end else day
    new_category = strict = loose = not window.was_seen(profile.seen_categories, item.category, since, day)
    if item.brand:
        new = not window.was_seen(profile.seen_brands, item.brand, since, day)
        strict, loose = strict and new, loose or new
    if item.seller:
        new = not window.was_seen(profile.seen_sellers, item.seller, since, day)
        strict, loose = strict and new, loose or new
    known = end - start >= policy.min_visit_days and event.type in LABEL_TYPES
    return Flags(label=new_category if known else None, related_strict=strict, related_loose=loose, visit_days=end - start)
