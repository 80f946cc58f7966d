"""A recorded log that a test makes up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from models.entities import Event, Item, UserAttributes
from models.profiles.policy import DAY_MS
from streams.recorded.logs import About, write_log

FIRST_MS = 1_700_000_000_000 // DAY_MS * DAY_MS  # 14 November 2023


def make_log(
    folder: Path,
    *,
    events: Sequence[Event],
    items: Sequence[Item],
    users: Sequence[UserAttributes] = (),
    name: str = "Brass",
    last_ts_ms: int | None = None,
) -> Path:
    """Writes the log; what it says about itself is counted, its end the last event's if none is given."""
    about = About(
        name=name,
        licence="CC0-1.0",
        source="made for a test",
        first_ts_ms=events[0].ts_ms,
        last_ts_ms=events[-1].ts_ms if last_ts_ms is None else last_ts_ms,
        events=len(events),
        users=len(users),
        items=len(items),
        events_by_type=dict(Counter(event.type for event in events)),
        impressions=False,
        notes="",
        importer_version=1,
    )
    write_log(folder, about, events=events, items=items, users=users)
    return folder


def brass_log(folder: Path, *, user_count: int, days: int, users: Sequence[UserAttributes] = ()) -> Path:
    """Users who visit and buy on each day, of thirty brass things in nine leaf categories."""
    items = [Item(item_id=f"i{n}", title=f"brass thing {n}", category=("shop", f"leaf {n % 9}")) for n in range(30)]
    events = [
        Event(
            event_id=f"{kind}-{day}-{user}",
            user_id=f"user {user}",
            type="visit" if kind == "v" else "purchase",
            ts_ms=FIRST_MS + day * DAY_MS + user * 1_000 + (kind == "p"),
            item_id=None if kind == "v" else f"i{(day * 7 + user) % 30}",
        )
        for day in range(days)
        for user in range(user_count)
        for kind in "vp"
    ]
    return make_log(folder, events=events, items=items, users=users)


WALK_DAYS, WALK_USERS, _WALK_LEAVES = 20, 4, 40


def walk_log(folder: Path) -> Path:
    """Users who walk through the leaf categories, one a day, each buying its first item; the train part ends with day 16."""
    items = [
        Item(item_id=f"{leaf:02}-{n}", title=f"thing {leaf} number {n}", category=("shop", f"leaf {leaf}"))
        for leaf in range(_WALK_LEAVES)
        for n in range(4)
    ]
    events = [
        Event(
            event_id=f"{day}-{user}",
            user_id=f"user {user}",
            type="purchase",
            ts_ms=FIRST_MS + day * DAY_MS + user,
            item_id=f"{(day + user) % _WALK_LEAVES:02}-0",
        )
        for day in range(WALK_DAYS)
        for user in range(WALK_USERS)
    ]
    return make_log(folder, events=events, items=items, name="Walk", last_ts_ms=FIRST_MS + WALK_DAYS * DAY_MS)
