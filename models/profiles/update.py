"""One event through every level, in the order that Definition 1 asks for: the day begins, the event is judged, then seen."""

from __future__ import annotations

from typing import Final

from models.entities import Event
from models.fingerprints import fingerprint
from models.profiles import history, inference, long_term, possessions, short_term, window
from models.profiles.features import ItemFeatures
from models.profiles.policy import ProfilePolicy, day_of
from models.profiles.state import Profile
from models.serendipity import Flags, flags

_REJECTIONS: Final = frozenset({"cancel", "hide"})


def update(
    profile: Profile,
    event: Event,
    item: ItemFeatures | None,
    query_tags: tuple[str, ...],
    *,
    offset: int,
    policy: ProfilePolicy,
    event_name: int | None = None,
) -> Flags | None:
    """Folds one event into the profile, in place.

    Args:
        profile: the user's, owned by the caller.
        event: an event of this user.
        item: features of the event's item; None when it names none, or one that the catalogue does not know.
        query_tags: tags that the event's query names.
        offset: the event's place in its partition; kept as evidence.
        policy: every threshold.
        event_name: the fingerprint of the event's id, where it is known already. An event whose fingerprint is among
            `profile.recent_ids` is a producer's retry: the caller leaves it out.

    Returns:
        The serendipity flags of an event on a known item, else None.

    Cost: about 5 us for a purchase with four tags on one EPYC core.
    """
    ts_ms, kind = event.ts_ms, event.type
    day = day_of(ts_ms)
    long_term.close_cycle(profile, ts_ms, policy.long_term, policy.short_term)
    if not profile.visit_days or day > profile.visit_days[-1]:
        window.visit(profile, event, day, policy.window)
    judged = flags(profile, event, item, day, policy.window) if item else None
    history.record(profile, event, offset, policy.history)
    tags = item.tags if item else query_tags
    weight = policy.short_term.event_weight.get(kind, 0.0)
    if tags and weight:
        short_term.learn(profile, tags, weight, ts_ms, offset, policy.short_term)
        profile.positives += weight > 0.0
    if item:
        window.see(profile, event, item, day, policy.window)
        possessions.move(profile, event, item, day, policy.possessions)
        if profile.inference is not None and kind in _REJECTIONS:
            inference.retract(profile, item.name)
    profile.recent_ids.append(fingerprint(event.event_id) if event_name is None else event_name)
    if len(profile.recent_ids) > policy.recent_event_ids:
        del profile.recent_ids[0]
    profile.events += 1
    profile.offset = offset
    profile.last_ms = max(profile.last_ms, ts_ms)
    return judged
