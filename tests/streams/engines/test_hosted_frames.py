"""Laws of the frames to a hosted engine: what arrives is what was sent, and a catalogue goes once for all that name it."""

from __future__ import annotations

import io

from models.entities import Digest
from models.serengpt.engine import CatalogueTitles, ImagineRequest, ScoreRequest
from streams.engines.hosting import wire

ONE, OTHER = (CatalogueTitles.of((f"{name} {n}", n % 9) for n in range(1_000)) for name in ("mug", "bag"))


def _ask(seed: int, within: CatalogueTitles | None = None) -> ImagineRequest:
    return ImagineRequest(digest=Digest(static=("a fact",)), n=3, seed=seed, within=within, avoided=(4, 7), is_distinct=True)


def test_calls_arrive_as_they_were_sent() -> None:
    sent = [
        wire.Imagine(1, [_ask(1, ONE), _ask(2), _ask(3, OTHER), _ask(4, ONE)]),
        wire.Imagine(2, []),
        wire.Score(3, [ScoreRequest(digest=Digest(), titles=("mug",))]),
    ]
    assert list(wire.asks(io.BytesIO(b"".join(map(wire.packed, sent))))) == sent


def test_a_catalogue_goes_once_however_many_requests_name_it() -> None:
    alone, many = (len(wire.packed(wire.Imagine(1, [_ask(seed, ONE) for seed in range(count)]))) for count in (1, 64))
    assert alone > 9_000
    assert many < alone + 64 * 300  # a request without its catalogue has some 200 bytes
