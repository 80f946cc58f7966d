"""A SerenGPT that answers at once: a pure function of the request. Some requests it cannot answer, always the same ones.

It may be away, in one of several ways; then a tier below it answers, as another pure function of the request. That one has no
item for some requests, always the same ones.

What a user's static attributes are does not change an answer: they come on a topic of their own, whose order beside the events
nobody promises. Knows nothing about catalogues.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Literal, get_args

from msgspec import structs

from models.entities import Digest, PackedRequest, ScoredItem, Tier
from models.errors import EngineDead, EngineError, EngineHung, RequestError, SerenError, UnsoundAnswer
from models.fallback import nothing_for
from models.pipeline import Answer
from models.profiles import decode, encode
from models.serengpt.engine import Engine, ImagineRequest, Scored, ScoreRequest
from streams import codec

MODEL_ID = "simulated"
BELOW_ID = "simulated rule"
_HOPELESS = 13  # one request in this many has no answer
_EMPTY = 3  # and for one in this many the tier below has no item
_LATE_S = 1e6

Away = Literal["dead", "hung", "failed", "unsound", "late"]
WAYS: tuple[Away, ...] = get_args(Away)
_ERRORS: dict[Away | None, type[EngineError]] = {"dead": EngineDead, "hung": EngineHung, "failed": EngineError}


class Model:
    """The one model of a world, which all its workers ask; `away` says how it is away."""

    def __init__(self) -> None:
        self.away: Away | None = None

    def takes_s(self, usual_s: float) -> float:
        """For how long a batch is under way."""
        return _LATE_S if self.away == "late" else usual_s

    def check(self) -> None:
        """Raises `EngineError` in those ways to be away that are one."""
        error = _ERRORS.get(self.away)
        if error is not None:
            message = f"the simulated model is away: {self.away}"
            raise error(message)


def answer_below(requests: Sequence[PackedRequest]) -> list[Answer | SerenError]:
    """What the tier below says of each request."""
    return [_answer_below(request) for request in requests]


def _answer_below(request: PackedRequest) -> Answer:
    name = _name(request)
    items = () if name % _EMPTY == 0 else (_item(f"b{name % 89}"),)
    return _made(request, items, "category" if items else "nothing", BELOW_ID)


class SimulatedEngine:
    """See `models.serengpt.engine.Engine`; titles are made of the seed alone, nothing is scored.

    Args:
        model: whose it is, and which may be away; None: one that is always there.
    """

    model_id = MODEL_ID
    prompt_version = 1

    def __init__(self, model: Model | None = None) -> None:
        self._model = model or Model()

    def imagine(self, requests: Sequence[ImagineRequest]) -> list[tuple[str, ...] | SerenError]:
        """Up to three titles each, or an error."""
        self._model.check()
        if self._model.away == "unsound":
            return [UnsoundAnswer("simulated") for _ in requests]
        return [_titles(request.seed) for request in requests]

    def score(self, requests: Sequence[ScoreRequest]) -> list[tuple[Scored, ...] | SerenError]:
        """Nobody asks."""
        return [() for _ in requests]


def answer(requests: Sequence[PackedRequest]) -> list[Answer | SerenError]:
    """One outcome per request, of the engine itself."""
    return answer_with(SimulatedEngine(), requests)


def answer_with(engine: Engine, requests: Sequence[PackedRequest]) -> list[Answer | SerenError]:
    """The same by an engine that may have something before it, such as a score log."""
    names = [_name(request) for request in requests]
    imagined = engine.imagine([ImagineRequest(digest=Digest(), n=1 + name % 3, seed=name) for name in names])
    return [
        titles if isinstance(titles, SerenError) else _answer(request, titles)
        for request, titles in zip(requests, imagined, strict=True)
    ]


def _name(request: PackedRequest) -> int:
    """Of what the request asks, whoever asks it."""
    return zlib.crc32(codec.encode_request(structs.replace(request, epoch=0, profile=without_attributes(request.profile))))


def _titles(name: int) -> tuple[str, ...] | SerenError:
    if name % _HOPELESS == 0:
        return RequestError(f"request {name} has no answer")
    return tuple(f"i{(name >> shift) % 97}-{shift}" for shift in range(1 + name % 3))


def _answer(request: PackedRequest, titles: Sequence[str]) -> Answer:
    return _made(request, tuple(map(_item, titles)), "serengpt", MODEL_ID)


def _made(request: PackedRequest, items: tuple[ScoredItem, ...], tier: Tier, model_id: str) -> Answer:
    trace = structs.replace(nothing_for(request).trace, kept=items, tier=tier)
    return Answer(items=items, trace=trace, tier=tier, model_id=model_id)


def _item(item_id: str) -> ScoredItem:
    return ScoredItem(
        item_id=item_id, serendipity=0.5, relevance=1.0, unexpectedness=1.0, aligned=0.5, propensity=1.0, reason=1
    )


def without_attributes(profile: bytes) -> bytes:
    """The profile but for the user's static attributes."""
    read = decode(profile)
    read.attributes, read.attributes_offset = {}, -1
    return encode(read)
