"""A recorded log as histories: each user's reliable behaviours with the items' titles, as prompts tell them.

Knows nothing about profiles. Bad lines of a log are counted and skipped.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from models.entities import Event
from models.errors import DecodeError
from models.profiling.compression import CompressionPolicy, Deed, is_reliable
from streams.codec import decode_event, decode_item
from streams.recorded.logs import RecordedLog


@dataclass(frozen=True, kw_only=True)
class Histories:
    """Of every user who did something reliable, in the order of the log."""

    by_user: dict[str, list[Deed]]
    refused: int  # lines that could not be decoded
    unreliable: int  # events that are no intentional feedback and no search


def read_histories(log: RecordedLog, policy: CompressionPolicy) -> Histories:
    """Every user's whole history; an item that the log does not describe stands as its id.

    Raises:
        LogError: a file is missing or corrupt.
    """
    titles: dict[str, str] = {}
    refused = unreliable = 0
    for _, line in log.items():
        try:
            item = decode_item(line)
        except DecodeError:
            refused += 1
        else:
            titles[item.item_id] = item.title
    by_user: defaultdict[str, list[Deed]] = defaultdict(list)
    for _, line in log.events():
        try:
            event = decode_event(line)
        except DecodeError:
            refused += 1
            continue
        if is_reliable(event.type, event.dwell_ms, policy):
            by_user[event.user_id].append(Deed(event.ts_ms, event.type, _brief(event, titles)))
        else:
            unreliable += 1
    return Histories(by_user=dict(by_user), refused=refused, unreliable=unreliable)


def _brief(event: Event, titles: dict[str, str]) -> str:
    if event.type == "search" or event.item_id is None:
        return event.query or ""
    return titles.get(event.item_id, event.item_id)
