"""The digest: a cognition profile as SerenGPT, a person or a page reads it. Changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from models.entities import Behaviour, Digest, Item, Tag, TagFamily
from models.profiles import inference, long_term, short_term
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
    lasting = [_tag(tag, score, profile.pool[tag].evidence) for tag, score in traits]
    passing = [_tag(ranked.tag, ranked.score, ranked.evidence) for ranked in tags]
    if profile.inference is not None:
        more_lasting, more_passing = inference.ranked(profile.inference, as_of_ms, policy.inference)
        lasting = _joined(lasting, more_lasting, policy.long_term.top)
        passing = _joined(passing, more_passing, policy.short_term.top)
    return Digest(
        static=static_lines(profile),
        long_term=tuple(lasting),
        short_term=tuple(passing),
        history=tuple([_behaviour(deed, item) for deed in profile.deeds]),
    )


def _tag(tag: str, score: float, evidence: tuple[int, ...]) -> Tag:
    family, _, text = tag.partition(":")
    return Tag(text, cast("TagFamily", family), round(score, _SCORE_DIGITS), evidence)


def _joined(tags: list[Tag], inferred: list[tuple[str, float, tuple[int, ...]]], top: int) -> list[Tag]:
    """Rule-made and inferred tags of a level, best first; of a tag that is both the better one."""
    best: dict[tuple[str, str], Tag] = {(tag.family, tag.text): tag for tag in tags}
    for name, score, evidence in inferred:
        tag = _tag(name, score, evidence)
        known = best.get((tag.family, tag.text))
        if known is None or known.score < tag.score:
            best[tag.family, tag.text] = tag
    return sorted(best.values(), key=lambda tag: (-tag.score, tag.family, tag.text))[:top]


def _behaviour(deed: Deed, item: Callable[[str], Item | None]) -> Behaviour:
    if deed.type == "search":
        return Behaviour(deed.type, deed.text, deed.ts_ms, deed.offset)
    known = item(deed.text)
    if known is None:
        return Behaviour(deed.type, deed.text, deed.ts_ms, deed.offset, deed.text)
    return Behaviour(deed.type, known.title, deed.ts_ms, deed.offset, deed.text, known.category[-1])
