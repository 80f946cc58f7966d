"""The recent history: the last deliberate behaviours, oldest first, bounded in number and in bytes.

Exposures are no behaviour and are left out (papers.md 2.2: reliable behaviours only).
"""

from __future__ import annotations

from typing import Final

from models.entities import Event
from models.profiles.features import cut
from models.profiles.policy import HistoryPolicy
from models.profiles.state import Deed, Profile, deed_bytes

_RECORDED: Final = frozenset({"click", "favourite", "cart", "purchase", "cancel", "search", "hide"})


def record(profile: Profile, event: Event, offset: int, policy: HistoryPolicy) -> None:
    """Appends the event when it is deliberate, and lets the oldest go until both bounds hold."""
    kind = event.type
    if kind not in _RECORDED:
        return
    text = event.item_id
    if text is None or kind == "search":
        text = cut(event.query or "", policy.max_query_bytes)
    deeds = profile.deeds
    deeds.append(Deed(offset, event.ts_ms, kind, text))
    profile.deeds_bytes += deed_bytes(text)
    while len(deeds) > policy.top or profile.deeds_bytes > policy.bytes:
        profile.deeds_bytes -= deed_bytes(deeds.pop(0).text)
