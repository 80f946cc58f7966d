"""The digest: a cognition profile as SerenGPT, a person or a page reads it. Changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from models.entities import Behaviour, Digest, Item, Tag, TagFamily
from models.profiles import long_term, short_term
from models.profiles.policy import ProfilePolicy
from models.profiles.state import Deed, Profile
from models.profiles.static import static_lines

_SCORE_DIGITS = 4  # scores are for reading; rounding keeps prompts the same when a score moves in the sixth digit


def digest(profile: Profile, item: Callable[[str], Item | None], as_of_ms: int, policy: ProfilePolicy) -> Digest:
    """The three levels and the recent history at `as_of_ms`.

    Args:
        profile: the user's.
        item: looks an item up by id; a line of history whose item is unknown shows the id.
        as_of_ms: event time that the tags are decayed to.
        policy: how many of each.
    """
    traits = long_term.admitted(profile, policy.long_term)
    tags = short_term.rank(profile, as_of_ms, policy.short_term)
    return Digest(
        static=static_lines(profile),
        long_term=tuple([_tag(tag, score, profile.pool[tag].evidence) for tag, score in traits]),
        short_term=tuple([_tag(ranked.tag, ranked.score, ranked.evidence) for ranked in tags]),
        history=tuple([_behaviour(deed, item) for deed in profile.deeds]),
    )


def _tag(tag: str, score: float, evidence: tuple[int, ...]) -> Tag:
    family, _, text = tag.partition(":")
    return Tag(text, cast("TagFamily", family), round(score, _SCORE_DIGITS), evidence)


def _behaviour(deed: Deed, item: Callable[[str], Item | None]) -> Behaviour:
    if deed.type == "search":
        return Behaviour(deed.type, deed.text, deed.ts_ms, deed.offset)
    known = item(deed.text)
    if known is None:
        return Behaviour(deed.type, deed.text, deed.ts_ms, deed.offset, deed.text)
    return Behaviour(deed.type, known.title, deed.ts_ms, deed.offset, deed.text, known.category[-1])
