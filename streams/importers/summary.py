"""Writes what an importer made as a log folder, and says what it was.

Knows nothing about where the records came from.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from models.entities import Event, Item, UserAttributes
from models.errors import LogError
from streams.importers.tables import DroppedReason
from streams.recorded.logs import About, write_log


class ImportSummary(Struct, frozen=True, kw_only=True):
    """What an import wrote, and what it left out and why."""

    folder: str
    about: About
    departments: int
    leaves: int
    dropped: tuple[DroppedReason, ...]


def write_import(  # noqa: PLR0913 - one plain value per fact of a log
    out: Path,
    *,
    name: str,
    licence: str,
    source: str,
    notes: str,
    version: int,
    impressions: bool,
    events: Sequence[Event],
    items: Sequence[Item],
    users: Sequence[UserAttributes],
    dropped: tuple[DroppedReason, ...],
) -> ImportSummary:
    """Writes the log folder `out`.

    Args:
        out: the folder, made if it is not there.
        name: of the data set.
        licence: its SPDX name.
        source: whom to cite.
        notes: what a reader must know.
        version: of the importer.
        impressions: whether the log says what was shown.
        events: in order of time.
        items: in order of their ids.
        users: in order of their ids.
        dropped: what was left out.

    Raises:
        LogError: there is no event, or the folder cannot be written.
    """
    if not events:
        msg = f"{name}: no row could be used, so no log was written to {out}; dropped: {[d.reason for d in dropped]}"
        raise LogError(msg)
    by_type = Counter(event.type for event in events)
    about = About(
        name=name,
        licence=licence,
        source=source,
        first_ts_ms=events[0].ts_ms,
        last_ts_ms=events[-1].ts_ms,
        events=len(events),
        users=len(users),
        items=len(items),
        events_by_type={str(kind): count for kind, count in sorted(by_type.items())},
        impressions=impressions,
        notes=notes,
        importer_version=version,
    )
    write_log(out, about, events=events, items=items, users=users)
    return ImportSummary(
        folder=str(out),
        about=about,
        departments=len({item.category[0] for item in items}),
        leaves=len({item.category for item in items}),
        dropped=dropped,
    )
