"""What every SerenGPT engine offers: two verbs over plain records.

The contract, for whoever implements or calls it:

* One outcome for each request, in the order of the requests: its answer, or the error that this request met. An error of one
  request never changes or removes the answer of another. Only what ends the whole call is raised (`EngineError`).
* An answer depends on the checkpoint and on its own request alone: not on the requests beside it, on what was asked before,
  or on how many threads work. The same (model, digest, n, seed) gives the same titles in every process of the same build and
  machine type; another CPU or GPU may round the last bits differently, which is why a replay reads the score log instead of
  asking again.
* Calls block. An engine may be called by several threads.

Knows nothing about runtimes, catalogues or profiles.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from models.entities import Digest
from models.errors import SerenError


class ImagineRequest(Struct, frozen=True, kw_only=True):
    """Ask for `n` titles of items that would pleasantly surprise the user of `digest`."""

    digest: Digest
    n: int
    seed: int


class ScoreRequest(Struct, frozen=True, kw_only=True):
    """Ask how likely each title is to be the user's next serendipitous item."""

    digest: Digest
    titles: tuple[str, ...]


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
