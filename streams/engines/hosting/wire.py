"""The frames between a worker and the process that holds its engine: a length of four bytes, then MessagePack.

Both ends are of one release and one machine, so there are no versions. Knows nothing about processes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO, TypeVar

import msgspec
from msgspec import Struct

from models import errors
from models.errors import EngineError, EngineOverloaded, MalformedAnswer, SerenError
from models.serengpt.engine import CatalogueTitles, ImagineRequest, Scored, ScoreRequest

_LENGTH = struct.Struct(">I")
_Value = TypeVar("_Value")


class Imagine(Struct, frozen=True, tag=True):
    """To the engine: a call of `imagine`. On its way each catalogue goes once, and the requests have its name alone."""

    number: int
    requests: Sequence[ImagineRequest]
    catalogues: tuple[CatalogueTitles, ...] = ()


class Score(Struct, frozen=True, tag=True):
    """To the engine: a call of `score`."""

    number: int
    requests: Sequence[ScoreRequest]


class Swap(Struct, frozen=True, tag=True):
    """To the engine: answer with another checkpoint from now on."""

    number: int
    folder: str


class Failed(Struct, frozen=True, tag=True):
    """An error, by the name of its class."""

    kind: str
    message: str
    text: str = ""  # of a malformed answer
    retry_after_s: float = 0.0  # of an engine that is overloaded


class Ready(Struct, frozen=True, tag=True):
    """From the engine: it is loaded; `can_swap`: it has a `swap` of its own (`models.serengpt.engine.Swappable`)."""

    model_id: str
    prompt_version: int
    runtime: str
    can_swap: bool = False


class Swapped(Struct, frozen=True, tag=True):
    """From the engine: it answers with another checkpoint."""

    number: int
    ready: Ready


class Moved(Struct, frozen=True, tag=True):
    """From the engine: so many tokens or answers were made in its life."""

    count: int


class Imagined(Struct, frozen=True, tag=True):
    """From the engine: what a call of `imagine` gave."""

    number: int
    outcomes: list[tuple[str, ...] | Failed]


class Rated(Struct, frozen=True, tag=True):
    """From the engine: what a call of `score` gave."""

    number: int
    outcomes: list[tuple[Scored, ...] | Failed]


class Broken(Struct, frozen=True, tag=True):
    """From the engine: a call failed as a whole; number -1: the engine could not be loaded."""

    number: int
    failed: Failed


Ask = Imagine | Score | Swap
Told = Ready | Swapped | Moved | Imagined | Rated | Broken


def packed(frame: Ask | Told) -> bytes:
    """The frame's bytes."""
    body = msgspec.msgpack.encode(_folded(frame) if isinstance(frame, Imagine) else frame)
    return _LENGTH.pack(len(body)) + body


def asks(stream: BinaryIO) -> Iterator[Ask]:
    """The calls that come, until the other end is closed."""
    return (_unfolded(ask) if isinstance(ask, Imagine) else ask for ask in _frames(stream, Ask))


def told(stream: BinaryIO) -> Iterator[Told]:
    """What the engine tells, until its process ends."""
    return _frames(stream, Told)


def _folded(frame: Imagine) -> Imagine:
    catalogues = {one.within.name: one.within for one in frame.requests if one.within is not None}
    requests = [
        one if one.within is None else msgspec.structs.replace(one, within=CatalogueTitles(one.within.name, (), ()))
        for one in frame.requests
    ]
    return Imagine(frame.number, requests, tuple(catalogues.values()))


def _unfolded(frame: Imagine) -> Imagine:
    catalogues = {one.name: one for one in frame.catalogues}
    requests = [
        one if one.within is None else msgspec.structs.replace(one, within=catalogues[one.within.name])
        for one in frame.requests
    ]
    return Imagine(frame.number, requests)


def failure_of(error: Exception) -> Failed:
    """An error as a frame carries it. One that is not ours becomes the engine's: whatever it is, the call has failed."""
    if not isinstance(error, SerenError):
        return Failed("EngineError", f"{type(error).__name__}: {error}")
    return Failed(
        type(error).__name__,
        str(error),
        text=error.text if isinstance(error, MalformedAnswer) else "",
        retry_after_s=error.retry_after_s if isinstance(error, EngineOverloaded) else 0.0,
    )


def error_of(failed: Failed) -> SerenError:
    """The error that a frame carries."""
    kind = getattr(errors, failed.kind, EngineError)
    if kind is MalformedAnswer:
        return MalformedAnswer(failed.message, failed.text)
    if kind is EngineOverloaded:
        return EngineOverloaded(failed.message, failed.retry_after_s)
    made: SerenError = kind(failed.message)
    return made


def outcomes_as_frames(outcomes: Sequence[_Value | SerenError]) -> list[_Value | Failed]:
    """Outcomes of a call with their errors as frames carry them."""
    return [failure_of(one) if isinstance(one, SerenError) else one for one in outcomes]


def outcomes_of(outcomes: Sequence[_Value | Failed]) -> list[_Value | SerenError]:
    """And back."""
    return [error_of(one) if isinstance(one, Failed) else one for one in outcomes]


def _frames(stream: BinaryIO, kind: Any) -> Iterator[Any]:
    decoder = msgspec.msgpack.Decoder(kind)
    while len(head := stream.read(_LENGTH.size)) == _LENGTH.size:
        length = _LENGTH.unpack(head)[0]
        body = stream.read(length)
        if len(body) < length:
            return  # the process ended in the middle of a word
        yield decoder.decode(body)
