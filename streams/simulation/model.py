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
from streams import codec

MODEL_ID = "simulated"
_HOPELESS = 13  # one request in this many has no answer


def answer(requests: Sequence[PackedRequest]) -> list[Answer | SerenError]:
    """One outcome per request."""
    return [_answer(request) for request in requests]


def _answer(request: PackedRequest) -> Answer | SerenError:
    asked = structs.replace(request, epoch=0, profile=without_attributes(request.profile))
    name = zlib.crc32(codec.encode_request(asked))
    if name % _HOPELESS == 0:
        message = f"request {name} has no answer"
        return RequestError(message)
    items = tuple(_item(f"i{(name >> shift) % 97}-{shift}") for shift in range(1 + name % 3))
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
