"""What a question may rest on, numbered from 1: items and queries of the last weeks, or the tags that a summary is made of."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from msgspec import Struct

from models.catalogue import Catalogue
from models.entities import Item
from models.profiles import Profile, ProfilePolicy, QueryTags, item_features
from models.profiles.exchange import Shown
from models.profiles.inference import pieces_of, window
from models.profiles.inferred import Inference
from models.profiles.long_term import admitted, gap_variation
from models.profiles.policy import LongTermPolicy
from models.profiling.compression import Deed


class Piece(Struct, frozen=True, kw_only=True):
    """One piece of evidence. `tags` are what the catalogue says of it; `weight` is its share of all pieces' weight.

    `shown` is where it lies in the log (None for a tag), `deeds` are its behaviours as compression takes them.
    """

    number: int
    title: str
    tags: tuple[str, ...]
    weight: float
    shown: Shown | None = None
    deeds: tuple[Deed, ...] = ()


def touched(profile: Profile, catalogue: Catalogue, queries: QueryTags, as_of_ms: int, policy: ProfilePolicy) -> list[Piece]:
    """What the user touched or searched for in the window, in the order in which the question's owner summed it up.

    Args:
        profile: as it was packed for the question.
        catalogue: titles and tags; an item that it never had stands as its id.
        queries: finds the catalogue's tags in queries.
        as_of_ms: the question's time.
        policy: that of the profile workers; the order depends on it.
    """
    weights = policy.short_term.event_weight
    found = []
    for number, (piece, deeds) in enumerate(pieces_of(window(profile, as_of_ms, policy), policy.inference), start=1):
        text = deeds[-1].text
        item = None if deeds[-1].type == "search" else catalogue.get(text)
        tags = _tags(item, policy) if item else queries.find(text) if deeds[-1].type == "search" else ()
        weight = sum(
            weights.get(deed.type, 0.0) * 2.0 ** -min(64.0, max(0.0, (as_of_ms - deed.ts_ms) / policy.short_term.half_life_ms))
            for deed in deeds
        )
        title = item.title if item else text
        kept = tuple(Deed(deed.ts_ms, deed.type, title) for deed in deeds)
        found.append(Piece(number=number, title=title, tags=tags, weight=max(0.0, weight), shown=piece, deeds=kept))
    return _shares(found)


def lasting(profile: Profile, policy: ProfilePolicy) -> list[tuple[str, float]]:
    """The tags that a long-term summary is made of: rule-made and inferred ones that were admitted, the most lasting first.

    Each is `family:text` with the share of the last cycles, or answers, that it was in.
    """
    found = dict(admitted(profile, policy.long_term))
    if profile.inference is not None:
        for name, support in admitted_inferred(profile.inference, policy.long_term):
            found[name] = max(found.get(name, 0.0), support)
    return sorted(found.items(), key=lambda pair: (-pair[1], pair[0]))


def tag_pieces(tags: Iterable[tuple[str, float]]) -> list[Piece]:
    """Admitted tags as pieces of evidence, in their order."""
    return _shares(
        Piece(number=number, title=name.partition(":")[2], tags=(name,), weight=support)
        for number, (name, support) in enumerate(tags, start=1)
    )


def admitted_inferred(inference: Inference, policy: LongTermPolicy) -> list[tuple[str, float]]:
    """Inferred tags by frequency, regularity and effectiveness (papers.md 1.3.2), each with its share of the last answers.

    A tag's rate is the share of what the user wanted since it was first approved that went with it; it must not be below the
    mean of the tags that have one.
    """
    rates = {name: tag.matched / tag.wanted for name, tag in inference.short_term.items() if tag.wanted}
    mean = sum(rates.values()) / len(rates) if rates else 0.0
    least = policy.min_effectiveness * mean * (1.0 - 1e-9)  # equal rates must not fall below their own mean by rounding
    found = []
    for name, tag in inference.short_term.items():
        recent = tag.cycles & ((1 << policy.cycles) - 1)
        frequent = recent.bit_count() >= policy.min_cycles
        if frequent and gap_variation(recent) <= policy.max_gap_variation and rates.get(name, least) >= least:
            found.append((name, recent.bit_count() / policy.cycles))
    return sorted(found, key=lambda pair: (-pair[1], pair[0]))


def _tags(item: Item, policy: ProfilePolicy) -> tuple[str, ...]:
    return item_features(item, max_tag_bytes=policy.short_term.max_tag_bytes).tags


def _shares(pieces: Iterable[Piece]) -> list[Piece]:
    pieces = list(pieces)
    total = sum(piece.weight for piece in pieces)
    if total <= 0.0:
        return pieces
    return [msgspec.structs.replace(piece, weight=piece.weight / total) for piece in pieces]
