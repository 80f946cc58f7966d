"""What a profile worker asks of a language model about a user, and what comes back: the two records between the workers.

The question carries the profile as its owner writes it, so packing costs next to nothing. The answer carries what the model
was shown, so that the owner can hold it against what it asked. Knows nothing about models or topics.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from models.entities import Id, Millis, TagFamily

PROFILING_VERSION = 1
ANSWER_VERSION = 1
MAX_SHOWN = 64  # pieces of evidence in one question
MAX_FINDINGS = 32  # tags of one level in one answer

ProfilingReason = Literal["first", "drift", "age"]
TagText = Annotated[str, Meta(min_length=1, max_length=64)]
Key = Annotated[str, Meta(min_length=3, max_length=128)]  # `family:text`
Offset = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Share = Annotated[float, Meta(ge=0, le=1)]


class ProfilingRequest(Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """One question about one user; `(epoch, offset)` says by whose life and up to which event, `profile` is `encode`'s."""

    version: int = PROFILING_VERSION
    user_id: Id
    reason: ProfilingReason
    as_of_ms: Millis
    epoch: Annotated[int, Meta(ge=0, lt=2**32)]
    partition: Annotated[int, Meta(ge=0, lt=2**32)]
    offset: Annotated[int, Meta(ge=-1, le=2**63 - 1)]
    profile: bytes


class Shown(Struct, frozen=True, array_like=True, gc=False):
    """One piece of evidence: the offset of the event, and the fingerprint of its item (0: a search)."""

    offset: Offset
    name: Annotated[int, Meta(ge=0, lt=2**32)]


class Finding(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An approved short-term tag. `evidence` are places in what was shown, from 0; `reason` is the model's, for people."""

    family: TagFamily
    text: TagText
    score: Share
    evidence: Annotated[tuple[Annotated[int, Meta(ge=0, lt=MAX_SHOWN)], ...], Meta(min_length=1, max_length=MAX_SHOWN)]
    reason: Annotated[str, Meta(max_length=512)] = ""


class Trait(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An approved long-term tag. `sources` are the admitted tags (`family:text`) that it summarises."""

    family: TagFamily
    text: TagText
    score: Share
    sources: Annotated[tuple[Key, ...], Meta(min_length=1, max_length=MAX_FINDINGS)]
    reason: Annotated[str, Meta(max_length=512)] = ""


class ProfileTags(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The answer about one user.

    `long_term` is None where no summary was asked for. Of the user's `wanted` behaviours since the answer before, `matched`
    says how many went with each tag that was known by then. `refused` counts what was not approved, by reason.
    """

    version: int = ANSWER_VERSION
    user_id: Id
    asked_ms: Millis
    model_id: Annotated[str, Meta(max_length=256)]
    shown: Annotated[tuple[Shown, ...], Meta(max_length=MAX_SHOWN)]
    short_term: Annotated[tuple[Finding, ...], Meta(max_length=MAX_FINDINGS)] = ()
    long_term: Annotated[tuple[Trait, ...], Meta(max_length=MAX_FINDINGS)] | None = None
    wanted: Annotated[int, Meta(ge=0, le=MAX_SHOWN)] = 0
    matched: Annotated[dict[Key, Annotated[int, Meta(ge=0, le=MAX_SHOWN)]], Meta(max_length=MAX_FINDINGS)] = {}
    refused: Annotated[dict[str, int], Meta(max_length=32)] = {}
