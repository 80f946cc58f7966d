"""An engine that asks the score log first. Knows nothing about which engine is behind it, nor who writes the log down."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import msgspec

from models.errors import EngineError, RequestError, SerenError
from models.serengpt.address import Asked, Decoding, cue_of, imagine_address, prompt_address
from models.serengpt.engine import Engine, ImagineRequest, Scored, ScoreRequest
from streams.scores.log import ScoreLog
from streams.scores.record import imagined, scored_titles

_Ask = TypeVar("_Ask")
_Reply = TypeVar("_Reply")


class LoggedEngine:
    """See `models.serengpt.engine.Engine`.

    What the log knows is answered from it. All that it does not know is asked in one call, of a score request only the titles
    that are missing, and kept; errors are not. Where the engine changes its model during a call, what it answers is passed on
    as it is: an answer of one model is never made of two.

    Args:
        engine: asked for what is not known.
        log: asked first.
        decoding: how the engine decodes.
    """

    def __init__(self, engine: Engine, log: ScoreLog, *, decoding: Decoding) -> None:
        self._engine = engine
        self._log = log
        self._decoding = decoding

    @property
    def model_id(self) -> str:
        """The engine's, as it is now."""
        return self._engine.model_id

    @property
    def prompt_version(self) -> int:
        """The engine's, as it is now."""
        return self._engine.prompt_version

    def imagine(self, requests: Sequence[ImagineRequest]) -> list[tuple[str, ...] | SerenError]:
        """Titles, from the log or the engine."""
        asked, sampling = self._asked(), self._decoding.sampling
        cues = [cue_of(request.digest) for request in requests]
        known = [
            self._log.imagined(imagine_address(asked, sampling + request.way, cue, n=request.n, seed=request.seed))
            for request, cue in zip(requests, cues, strict=True)
        ]
        missing = [place for place, titles in enumerate(known) if titles is None]
        self._log.count("imagine_hits", len(requests) - len(missing))
        self._log.count("imagine_misses", len(missing))
        replies = dict(zip(missing, _ask(self._engine.imagine, [requests[place] for place in missing]), strict=True))
        if self._asked() != asked:
            return _ask(self._engine.imagine, requests)
        for place, reply in replies.items():
            if not isinstance(reply, SerenError):
                request = requests[place]
                decoding = sampling + request.way
                self._log.add(imagined(asked, decoding, cues[place], n=request.n, seed=request.seed, titles=reply))
        return [replies[place] if titles is None else titles for place, titles in enumerate(known)]

    def score(self, requests: Sequence[ScoreRequest]) -> list[tuple[Scored, ...] | SerenError]:
        """Log-probabilities of titles, from the log or the engine."""
        asked, decoding = self._asked(), self._decoding.reading
        cues = [cue_of(request.digest) for request in requests]
        known = [
            self._log.scored(prompt_address(asked, decoding, cue), request.titles)
            for request, cue in zip(requests, cues, strict=True)
        ]
        missing = {place: _missing(request, known[place]) for place, request in enumerate(requests)}
        missing = {place: titles for place, titles in missing.items() if titles}
        self._log.count("score_hits", sum(map(len, known)))
        self._log.count("score_misses", sum(map(len, missing.values())))
        asks = [msgspec.structs.replace(requests[place], titles=titles) for place, titles in missing.items()]
        replies = _ask(self._engine.score, asks)
        if self._asked() != asked:
            return _ask(self._engine.score, requests)
        errors: dict[int, SerenError] = {}
        for (place, titles), reply in zip(missing.items(), replies, strict=True):
            if isinstance(reply, SerenError):
                errors[place] = reply
            elif len(reply) != len(titles):
                errors[place] = RequestError(f"score: {len(reply)} scores of {len(titles)} titles; must be one each")
            else:
                known[place].update(zip(titles, reply, strict=True))
                for record in scored_titles(asked, decoding, cues[place], titles, reply):
                    self._log.add(record)
        return [
            errors[place] if place in errors else tuple(known[place][title] for title in request.titles)
            for place, request in enumerate(requests)
        ]

    def _asked(self) -> Asked:
        return Asked(self._engine.model_id, self._engine.prompt_version)


def _missing(request: ScoreRequest, known: dict[str, Scored]) -> tuple[str, ...]:
    return tuple(title for title in dict.fromkeys(request.titles) if title not in known)


def _ask(call: Callable[[Sequence[_Ask]], list[_Reply]], asks: Sequence[_Ask]) -> list[_Reply]:
    """One call, if there is anything to ask, and a check that each of what was asked has its outcome."""
    if not asks:
        return []
    replies = call(asks)
    if len(replies) != len(asks):
        message = f"engine: {len(replies)} replies to {len(asks)} requests; must be one each"
        raise EngineError(message)
    return replies
