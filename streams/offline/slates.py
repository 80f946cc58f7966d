"""Answers to requests as one digest: what two replays, two machines or two releases are compared by."""

from __future__ import annotations

import hashlib
import struct
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from models.entities import PackedRequest, Slate
from models.errors import SerenError
from models.pipeline import Answer
from streams import codec
from streams.slates.packed import encode_slate

_LENGTHS = struct.Struct(">II")


@dataclass(frozen=True, kw_only=True)
class Served:
    """What became of the requests. `slates_sha256` leaves out who published, and when."""

    requests: int
    slates: int
    items: int
    failed: dict[str, int]
    slates_sha256: str


def serve_all(
    requests: Sequence[bytes],
    judge: Callable[[Sequence[PackedRequest]], list[Answer | SerenError]],
    *,
    batch: int,
    advance: Callable[[int], None],
) -> Served:
    """Answers requests, as they lie on their topic, in their order.

    Args:
        requests: one per user, in the order of the users' ids, so that two digests can be compared.
        judge: the judging walk.
        batch: requests that are answered together; shapes no slate.
        advance: told how many are answered.
    """
    whole = hashlib.sha256()
    failed: Counter[str] = Counter()
    items = 0
    for start in range(0, len(requests), batch):
        asked = [codec.decode_request(value) for value in requests[start : start + batch]]
        for request, answer in zip(asked, judge(asked), strict=True):
            if isinstance(answer, SerenError):
                failed[type(answer).__name__] += 1
                continue
            user, packed = request.user_id.encode(), encode_slate(undated_slate(request, answer))
            whole.update(_LENGTHS.pack(len(user), len(packed)) + user + packed)
            items += len(answer.items)
        advance(start + len(asked))
    slates = len(requests) - failed.total()
    return Served(requests=len(requests), slates=slates, items=items, failed=dict(failed), slates_sha256=whole.hexdigest())


def undated_slate(request: PackedRequest, answer: Answer) -> Slate:
    """The slate of an answer, with 0 for epoch, publication and soft expiry."""
    return Slate(
        user_id=request.user_id,
        surface=request.surface,
        epoch=0,
        offset=request.offset,
        watermark_ms=request.as_of_ms,
        published_ms=0,
        soft_expiry_ms=0,
        model_id=answer.model_id,
        tier=answer.tier,
        items=answer.items,
    )
