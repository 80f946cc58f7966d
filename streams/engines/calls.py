"""An engine that counts and times its calls. Knows nothing about which engine it is."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from models.entities import Digest
from models.errors import SerenError
from models.serengpt.engine import Engine, ImagineRequest, Scored, ScoreRequest
from models.serengpt.prompt import PROMPT_TOKENS, prompt_ids, title_ids
from models.serengpt.tokens import TitleTokenizer
from streams.engines.changes import ModelChanges

_Ask = TypeVar("_Ask")
_Reply = TypeVar("_Reply")


class ModelCalls:
    """What an engine was asked, by verb: calls, failed ones, seconds, tokens; why its process was replaced; its model."""

    def __init__(self) -> None:
        self.calls = {"imagine": 0, "score": 0}
        self.failures = {"imagine": 0, "score": 0}
        self.seconds = {"imagine": 0.0, "score": 0.0}
        self.tokens = {"imagine": 0, "score": 0}
        self.restarts = {"hung": 0, "lost": 0, "dead": 0}
        self.model = ModelChanges()

    def restarted(self, why: str) -> None:
        """Its process hung, was lost, or said that it could not go on."""
        self.restarts[why] += 1

    @property
    def all_tokens(self) -> int:
        """Of both verbs."""
        return sum(self.tokens.values())


class TokenCounts:
    """How many tokens a model computes for a request: its prompt once, and each of its titles with the end of line.

    Args:
        tokenizer: the checkpoint's.
        prompt_tokens: budget of a prompt.
    """

    def __init__(self, tokenizer: TitleTokenizer, *, prompt_tokens: int = PROMPT_TOKENS) -> None:
        self._tokenizer = tokenizer
        self._prompt_tokens = prompt_tokens

    def imagined(self, request: ImagineRequest, reply: tuple[str, ...] | SerenError) -> int:
        """Those of a request for titles; of one that failed, the prompt's."""
        titles = () if isinstance(reply, SerenError) else reply
        return self._prompt(request.digest) + sum(len(title_ids(title, self._tokenizer)) + 1 for title in titles)

    def scored(self, request: ScoreRequest, reply: tuple[Scored, ...] | SerenError) -> int:
        """Those of a request for scores; the titles' priors, which an engine remembers, are not among them."""
        scores = () if isinstance(reply, SerenError) else reply
        return self._prompt(request.digest) + sum(score.tokens for score in scores)

    def _prompt(self, digest: Digest) -> int:
        return len(prompt_ids(digest, self._tokenizer, budget=self._prompt_tokens))


class MeasuredEngine:
    """An engine with a meter; see `models.serengpt.engine.Engine`.

    Args:
        engine: any.
        calls: the meter.
        tokens: how tokens are counted; None: they are not.
    """

    def __init__(self, engine: Engine, calls: ModelCalls, tokens: TokenCounts | None = None) -> None:
        self._engine = engine
        self._calls = calls
        self._tokens = tokens

    @property
    def model_id(self) -> str:
        """The engine's, which a registry may change between batches."""
        return self._engine.model_id

    @property
    def prompt_version(self) -> int:
        """The engine's."""
        return self._engine.prompt_version

    def imagine(self, requests: Sequence[ImagineRequest]) -> list[tuple[str, ...] | SerenError]:
        """Titles."""
        replies = self._timed("imagine", self._engine.imagine, requests)
        if self._tokens is not None:
            self._calls.tokens["imagine"] += sum(map(self._tokens.imagined, requests, replies))
        return replies

    def score(self, requests: Sequence[ScoreRequest]) -> list[tuple[Scored, ...] | SerenError]:
        """Log-probabilities of titles."""
        replies = self._timed("score", self._engine.score, requests)
        if self._tokens is not None:
            self._calls.tokens["score"] += sum(map(self._tokens.scored, requests, replies))
        return replies

    def _timed(self, verb: str, call: Callable[[Sequence[_Ask]], list[_Reply]], asks: Sequence[_Ask]) -> list[_Reply]:
        begun_s = time.monotonic()
        self._calls.calls[verb] += 1
        try:
            return call(asks)
        except Exception:
            self._calls.failures[verb] += 1
            raise
        finally:
            self._calls.seconds[verb] += time.monotonic() - begun_s
