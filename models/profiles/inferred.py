"""What a profile keeps of a language model's inference: a question that waits, and the tags that were approved.

A file of its own: it stays Python where the rest of the profiles is compiled (`make native`).
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from models.profiles.features import FAMILIES

_Count = Annotated[int, Meta(ge=0, le=0xFFFF)]


class InferredTag(Struct, array_like=True, gc=False):
    """One tag that a model inferred and that was approved.

    `score` is in ten-thousandths, as of `day` (counted from 1970). `cycles` has a bit for each of the last answers, the newest
    lowest: whether the tag was in it. Of `wanted` behaviours since it was first approved `matched` went with it. `evidence`
    are offsets, newest last, `names` the fingerprints of their items (0: a search).
    """

    score: _Count
    day: _Count
    cycles: _Count = 1
    matched: _Count = 0
    wanted: _Count = 0
    evidence: tuple[int, ...] = ()
    names: tuple[int, ...] = ()


class Inference(Struct, array_like=True):
    """All of it. `shown_sum` names what the question that waits has shown; 0: none waits.

    `asked_ms` is -1 before the first question; `asked_mass` the profile's mass at the last one, in forward-decay form.
    `answered_ms` is the time of the last question that was answered, `offset` that of its answer in its topic.
    """

    asked_ms: int = -1
    asked_mass: float = 0.0
    shown_sum: int = 0
    answered_ms: int = -1
    answers: _Count = 0
    offset: int = -1
    short_term: dict[str, InferredTag] = msgspec.field(default_factory=dict)
    long_term: dict[str, InferredTag] = msgspec.field(default_factory=dict)


def check(inference: Inference) -> None:
    """Raises `ValueError` for what no profile of ours holds, whatever its types: bytes may come from anywhere."""
    for level in (inference.short_term, inference.long_term):
        for name, tag in level.items():
            if name.partition(":")[0] not in FAMILIES or len(tag.evidence) != len(tag.names):
                message = f"inferred tag {name[:40]!r} is of no family, or its evidence and names are not as many"
                raise ValueError(message)


_encoder = msgspec.msgpack.Encoder()


def inference_bytes(inference: Inference | None) -> int:
    """What it takes in a written profile.

    Example:
        >>> inference_bytes(None), inference_bytes(Inference()) < 24
        (0, True)
    """
    return 0 if inference is None else len(_encoder.encode(inference))
