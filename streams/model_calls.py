"""An engine that counts and times its calls. Knows nothing about which engine it is."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from models.errors import SerenError
from models.serengpt.engine import Engine, ImagineRequest, Scored, ScoreRequest

_Ask = TypeVar("_Ask")
_Reply = TypeVar("_Reply")


class ModelCalls:
    """What an engine was asked, by verb: calls, calls that failed as a whole, seconds."""

    def __init__(self) -> None:
        self.calls = {"imagine": 0, "score": 0}
        self.failures = {"imagine": 0, "score": 0}
        self.seconds = {"imagine": 0.0, "score": 0.0}


class MeasuredEngine:
    """An engine with a meter; see `models.serengpt.engine.Engine`."""

    def __init__(self, engine: Engine, calls: ModelCalls) -> None:
        self._engine = engine
        self._calls = calls

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
        return self._measured("imagine", self._engine.imagine, requests)

    def score(self, requests: Sequence[ScoreRequest]) -> list[tuple[Scored, ...] | SerenError]:
        """Log-probabilities of titles."""
        return self._measured("score", self._engine.score, requests)

    def _measured(self, verb: str, call: Callable[[Sequence[_Ask]], list[_Reply]], asks: Sequence[_Ask]) -> list[_Reply]:
        begun_s = time.monotonic()
        self._calls.calls[verb] += 1
        try:
            return call(asks)
        except Exception:
            self._calls.failures[verb] += 1
            raise
        finally:
            self._calls.seconds[verb] += time.monotonic() - begun_s
