"""The visit-day window: which categories, brands and sellers a user saw on the last N days on which they visited.

Source: papers.md 1.2. The window of an event ends on the visit day before its own: what was seen today does not make today's
items familiar. A late event is judged by the window as it is when the event arrives; of each name the last two days are kept,
and where these cannot tell whether it was seen before the late event's day, it counts as seen.
"""

from __future__ import annotations

from typing import Final

from models.entities import Event, Seen
from models.profiles.features import ItemFeatures
from models.profiles.policy import WindowPolicy
from models.profiles.state import Profile

_SEEN_TYPES: Final = frozenset({"expose"})
_SEEN_TYPES_WITHOUT_IMPRESSIONS: Final = frozenset({"expose", "click", "favourite", "cart", "purchase"})
# What others do to an order or to a screen is no visit of the user.
NO_VISIT: Final = frozenset({"cancel"})


def visit(profile: Profile, event: Event, day: int, policy: WindowPolicy) -> None:
    """Records that the user visited on `day`; a new newest day moves the window on and forgets what left it."""
    days = profile.visit_days
    if (days and day <= days[-1]) or event.type in NO_VISIT:
        return
    days.append(day)
    if len(days) <= policy.visit_days + 1:
        return
    del days[0]
    oldest = days[0]
    profile.seen_categories = _kept(profile.seen_categories, oldest)
    profile.seen_brands = _kept(profile.seen_brands, oldest)
    profile.seen_sellers = _kept(profile.seen_sellers, oldest)


def see(profile: Profile, event: Event, item: ItemFeatures, day: int, policy: WindowPolicy) -> None:
    """Records what the event put before the user's eyes, when its type counts as seen."""
    types = _SEEN_TYPES if policy.impressions else _SEEN_TYPES_WITHOUT_IMPRESSIONS
    if event.type not in types or not _visited(profile.visit_days, day):
        return
    _mark(profile.seen_categories, item.category, day, policy.max_categories)
    if item.brand:
        _mark(profile.seen_brands, item.brand, day, policy.max_brands)
    if item.seller:
        _mark(profile.seen_sellers, item.seller, day, policy.max_sellers)


def was_seen(seen: dict[int, int], name: int, since: int, day: int) -> bool:
    """Whether `name` was seen on a visit day from `since` up to the one before `day`."""
    value = seen.get(name)
    return value is not None and (since <= value >> 16 < day or (value & 0xFFFF) >= since)


def days_before(profile: Profile, day: int, policy: WindowPolicy) -> list[int]:
    """The visit days that the window of an event on `day` covers, oldest first."""
    end = days_until(profile, day)
    return profile.visit_days[max(0, end - policy.visit_days) : end]


def days_until(profile: Profile, day: int) -> int:
    """How many of the visit days lie before `day`. Looked for from the end: it is nearly always the last one."""
    days = profile.visit_days
    end = len(days)
    while end and days[end - 1] >= day:
        end -= 1
    return end


def _visited(days: list[int], day: int) -> bool:
    return bool(days) and (days[-1] == day or day in days)


def seen(profile: Profile, policy: WindowPolicy) -> Seen:
    """All that the window holds now, the newest visit day included: what a slate made now should not repeat."""
    days = profile.visit_days[-policy.visit_days :]
    oldest = days[0] if days else 0
    return Seen(
        categories=_since(profile.seen_categories, oldest),
        brands=_since(profile.seen_brands, oldest),
        sellers=_since(profile.seen_sellers, oldest),
        visit_days=len(days),
    )


def _mark(seen: dict[int, int], name: int, day: int, limit: int) -> None:
    value = seen.get(name)
    if value is None:
        seen[name] = day << 16
        if len(seen) > limit:
            _forget_oldest(seen)
        return
    last = value >> 16
    if day > last:
        seen[name] = day << 16 | last
    elif (value & 0xFFFF) < day < last:
        seen[name] = last << 16 | day


def _forget_oldest(seen: dict[int, int]) -> None:
    """Lets the name go that was seen longest ago; of several the one of the lowest number."""
    oldest = least = -1
    for name, value in seen.items():
        if least < 0 or value < least or (value == least and name < oldest):
            oldest, least = name, value
    del seen[oldest]


def _kept(seen: dict[int, int], oldest: int) -> dict[int, int]:
    kept = {}
    for name, value in seen.items():
        if value >> 16 >= oldest:
            kept[name] = value if (value & 0xFFFF) >= oldest else value & ~0xFFFF
    return kept


def _since(seen: dict[int, int], oldest: int) -> tuple[int, ...]:
    return tuple(sorted([name for name, value in seen.items() if value >> 16 >= oldest]))
