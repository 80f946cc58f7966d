"""What every SerenGPT engine offers: two verbs over plain records.

The contract, for whoever implements or calls it:

* One outcome for each request, in the order of the requests: its answer, or the error that this request met. An error of one
  request never changes or removes the answer of another. Only what ends the whole call is raised (`EngineError`).
* An answer depends on the checkpoint and on its own request alone: not on the requests beside it, on what was asked before,
  or on how many threads work. The same (model, digest, n, seed) gives the same titles in every process of the same build and
  machine type; another CPU or GPU may round the last bits differently, which is why a replay reads the score log instead of
  asking again.
* Calls block. An engine may be called by several threads.
* An engine whose calls may take long has an attribute `moved`: a number that changes with every token, or answer, that it
  makes. Whoever watches it tells slow from stuck by that; without it only calls that come back count as movement.
* `priority` says which of the waiting requests is taken first: the lowest. It changes when an answer comes, never what it is:
  so it belongs in no key of a stored answer. An engine that has no queue of its own takes no notice of it.

Knows nothing about runtimes, catalogues or profiles.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from models.entities import Digest
from models.errors import SerenError

_NAME_BYTES = 12  # of a catalogue's name: 96 bits, far from a collision


class CatalogueTitles(Struct, frozen=True):
    """The titles that may be imagined, each with its group: the fingerprint of its category.

    `name` is their content's: equal names hold equal titles and groups, so a log of answers needs no more than the name.
    """

    name: str
    titles: tuple[str, ...]
    groups: tuple[int, ...]

    @classmethod
    def of(cls, titles: Iterable[tuple[str, int]]) -> CatalogueTitles:
        """Each title once, in an order of their own; one that is in several groups is in the lowest.

        Example:
            >>> CatalogueTitles.of([("mug", 1), ("bag", 2)]) == CatalogueTitles.of([("bag", 2), ("mug", 3), ("mug", 1)])
            True
        """
        group: dict[str, int] = {}
        for title, found in titles:
            group[title] = min(found, group.get(title, found))
        pairs = sorted(group.items())
        text = "\n".join(f"{found} {title}" for title, found in pairs)
        return cls(_name(text), tuple(title for title, _ in pairs), tuple(found for _, found in pairs))


class ImagineRequest(Struct, frozen=True, kw_only=True):
    """Ask for `n` titles of items that would pleasantly surprise the user of `digest`.

    `within`: only titles of this catalogue, by constrained decoding; an engine that cannot do that answers with an error.
    `avoided`: none of these groups of it, unless nothing else is there. `is_distinct`: `n` different ones, drawn without
    replacement; fewer where the catalogue has fewer. Both mean something within a catalogue only.
    """

    digest: Digest
    n: int
    seed: int
    within: CatalogueTitles | None = None
    avoided: tuple[int, ...] = ()
    is_distinct: bool = False
    priority: int = 0

    @property
    def way(self) -> str:
        """What tells the answer apart from free samples: empty for those, else catalogue, groups and draw in few words.

        Example:
            >>> ask = ImagineRequest(digest=Digest(), n=1, seed=1, within=CatalogueTitles.of([("mug", 1)]), is_distinct=True)
            >>> ask.way
            ', within c787e41dfd27061a2dd64374, distinct'
        """
        if self.within is None:
            return ""
        groups = ",".join(map(str, sorted(set(self.avoided))))
        without = f", without {_name(groups)}" if groups else ""
        return f", within {self.within.name}{without}{', distinct' if self.is_distinct else ''}"


class ScoreRequest(Struct, frozen=True, kw_only=True):
    """Ask how likely each title is to be the user's next serendipitous item."""

    digest: Digest
    titles: tuple[str, ...]
    priority: int = 0


class Scored(Struct, frozen=True):
    """One title's natural log-probabilities, each the sum over its `tokens` tokens, the end of the title included.

    `logprob` is after the digest's prompt, `prior_logprob` after the prompt of nobody; both are zero or less.
    """

    logprob: float
    prior_logprob: float
    tokens: int


class Engine(Protocol):
    """SerenGPT behind some runtime.

    `model_id` names the checkpoint by content: two engines with the same id give the same answers up to rounding.
    `prompt_version` is the layout that the checkpoint was trained on.
    """

    @property
    def model_id(self) -> str:
        """Which weights answer."""
        ...

    @property
    def prompt_version(self) -> int:
        """Which layout they read."""
        ...

    def imagine(self, requests: Sequence[ImagineRequest]) -> list[tuple[str, ...] | SerenError]:
        """Titles as they were sampled: `n` of each request, possibly repeated, possibly of items that nobody sells."""
        ...

    def score(self, requests: Sequence[ScoreRequest]) -> list[tuple[Scored, ...] | SerenError]:
        """One `Scored` for each title, in the order of the titles; a title that is asked twice is answered twice."""
        ...


class Swappable(Protocol):
    """An engine that can change its checkpoint where there is no room for two of them, as on a GPU that one fills.

    An engine without this is swapped from outside: a new one is loaded beside it, and the old one closed after its last call.
    """

    def swap(self, folder: Path) -> None:
        """Answers with another checkpoint, or adapter of it, from the next call on; `model_id` is then another one.

        No call is lost: those under way end with what they began with, those that come meanwhile wait.

        Raises:
            CheckpointError: the folder is no checkpoint that this engine can run; what answered goes on.
        """
        ...


def _name(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=_NAME_BYTES).hexdigest()
