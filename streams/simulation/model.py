"""A SerenGPT that answers at once: a pure function of the request. Some requests it cannot answer, always the same ones.

What a user's static attributes are does not change an answer: they come on a topic of their own, whose order beside the events
nobody promises. Knows nothing about catalogues.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

from msgspec import structs

from models.entities import Digest, PackedRequest, ScoredItem, Trace
from models.errors import RequestError, SerenError
from models.pipeline import Answer
from models.profiles import decode, encode
from models.serengpt.engine import Engine, ImagineRequest, Scored, ScoreRequest
from streams import codec

MODEL_ID = "simulated"
_HOPELESS = 13  # one request in this many has no answer


class SimulatedEngine:
    """See `models.serengpt.engine.Engine`; titles are made of the seed alone, nothing is scored."""

    model_id = MODEL_ID
    prompt_version = 1

    def imagine(self, requests: Sequence[ImagineRequest]) -> list[tuple[str, ...] | SerenError]:
        """Up to three titles each, or an error."""
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
    items = tuple(map(_item, titles))
    trace = Trace(
        user_id=request.user_id,
        surface=request.surface,
        reason=request.reason,
        as_of_ms=request.as_of_ms,
        offset=request.offset,
        digest=Digest(),
        imagined=(),
        candidates=(),
        filtered=(),
        kept=items,
    )
    return Answer(items=items, trace=trace, tier="serengpt", model_id=MODEL_ID)


def _item(item_id: str) -> ScoredItem:
    return ScoredItem(
        item_id=item_id, serendipity=0.5, relevance=1.0, unexpectedness=1.0, aligned=0.5, propensity=1.0, reason=1
    )


def without_attributes(profile: bytes) -> bytes:
    """The profile but for the user's static attributes."""
    read = decode(profile)
    read.attributes, read.attributes_offset = {}, -1
    return encode(read)
