"""Lines of JSON to judge, and a line of JSON for each: what `seren judge` and `seren combine` read and write.

Every line has its answer, in order: a line that cannot be judged is answered with its id, where that can be read, and the
error. Text of lines is untrusted: it is cleaned before it is compared or repeated. Knows nothing about pipes.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Sequence
from typing import Annotated, Any, NamedTuple, TypeVar

import msgspec
from msgspec import Meta, Raw, Struct
from msgspec.structs import asdict

from models.combine import CombinePolicy, Parts, combine
from models.entities import TEXT_CHARS
from models.errors import DecodeError, brief
from models.judging.home import Adviser
from models.judging.judge import DIGITS, judge
from models.judging.meaning import Meaning
from models.judging.pairs import Offer, Person
from models.judging.policy import JudgePolicy
from models.judging.portrait import Opinion, Portrait
from models.serengpt.tokens import clean
from streams.verdicts.lines import Line

LINE_BYTES = 8 << 20  # some 60,000 past things with ratings and times; far more than the judge looks at
BATCH_BYTES = 8 << 20  # of lines that are held decoded at a time

_T = TypeVar("_T")
_LineId = Annotated[str, Meta(max_length=TEXT_CHARS)] | Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
_Share = Annotated[float, Meta(ge=0.0, le=1.0)]


class _Pair(Struct):
    id: _LineId
    user: Raw
    item: Offer


class _GivenParts(Struct):
    id: _LineId | None = None
    relevance: _Share | None = None
    unexpectedness: _Share | None = None
    novelty: _Share | None = None
    timeliness: _Share | None = None


class _Asked(NamedTuple):
    id: str | int
    user: bytes
    person: Person
    offer: Offer


class _Named(Struct):
    id: _LineId | None = None


# Not strict: a number in quotes is that number, as tables that were written out as text have it.
_pairs = msgspec.json.Decoder(_Pair, strict=False)
_persons = msgspec.json.Decoder(Person, strict=False)
_parts = msgspec.json.Decoder(_GivenParts, strict=False)
_named = msgspec.json.Decoder(_Named)
_encoder = msgspec.json.Encoder()


class Answer(NamedTuple):
    """The line that answers one; `error` says why it is no judgement, else None."""

    number: int
    content: bytes
    error: str | None


class JudgedLines:
    """Judges pairs of a person and an item.

    Args:
        adviser: SerenGPT; None judges without it.
        policy: of judgements.
        meaning: what words mean; None judges by the words themselves.
    """

    def __init__(self, adviser: Adviser | None, policy: JudgePolicy, meaning: Meaning | None = None) -> None:
        self._adviser = adviser
        self._meaning = meaning
        self._policy = policy
        self._last: tuple[bytes, Portrait] | None = None

    def answers(self, lines: Sequence[Line]) -> list[Answer]:
        """One answer per line, in order; those that belong together are decoded together, within `BATCH_BYTES`.

        Raises:
            EngineError: SerenGPT failed as a whole.
        """
        found: list[Answer] = []
        batch: list[Line] = []
        size = 0
        for line in lines:
            length = len(line.content or b"")
            if batch and size + length > BATCH_BYTES:
                found.extend(self._batch(batch))
                batch, size = [], 0
            batch.append(line)
            size += length
        return [*found, *self._batch(batch)]

    def _batch(self, lines: Sequence[Line]) -> list[Answer]:
        asked = [_attempt(_read_pair, line) for line in lines]
        opinions = iter(self._opinions([one for one in asked if isinstance(one, _Asked)]))
        return [
            self._judged(line, one, next(opinions)) if isinstance(one, _Asked) else _refusal(line, one)
            for line, one in zip(lines, asked, strict=True)
        ]

    def _opinions(self, asked: Sequence[_Asked]) -> list[Opinion | None]:
        if self._adviser is None:
            return [None] * len(asked)
        return self._adviser.opinions([(one.person, one.offer) for one in asked])

    def _judged(self, line: Line, asked: _Asked, opinion: Opinion | None) -> Answer:
        judgement = judge(asked.offer, self._portrait(asked), opinion, self._policy)
        return Answer(line.number, _encoder.encode({"id": asked.id, **asdict(judgement)}), None)

    def _portrait(self, asked: _Asked) -> Portrait:
        """The person's portrait; it is kept for the lines after, which often are about the same person."""
        if self._last is None or self._last[0] != asked.user:
            self._last = (asked.user, Portrait(asked.person, self._policy.portrait, self._meaning))
        return self._last[1]


def combined(lines: Sequence[Line], policy: CombinePolicy) -> list[Answer]:
    """One answer per line of parts, in order: its id, where it has one, and its serendipity."""
    return [
        _refusal(line, one) if isinstance(one, DecodeError) else _combined(line, one, policy)
        for line, one in ((line, _attempt(_read_parts, line)) for line in lines)
    ]


def _combined(line: Line, given: _GivenParts, policy: CombinePolicy) -> Answer:
    parts = Parts(given.relevance, given.unexpectedness, given.novelty, given.timeliness)
    scored: dict[str, Any] = {} if given.id is None else {"id": given.id}
    scored["serendipity"] = round(combine(parts, policy), DIGITS)
    return Answer(line.number, _encoder.encode(scored), None)


def _read_pair(content: bytes) -> _Asked:
    pair = _pairs.decode(content)
    user = bytes(pair.user)
    if not clean(pair.item.title):
        message = "Expected visible text - at `$.item.title`"
        raise msgspec.ValidationError(message)
    return _Asked(pair.id, user, _persons.decode(user), pair.item)


def _read_parts(content: bytes) -> _GivenParts:
    return _parts.decode(content)


def _attempt(read: Callable[[bytes], _T], line: Line) -> _T | DecodeError:
    """What a line says, or what is wrong with it."""
    if line.content is None:
        return DecodeError(f"line of over {LINE_BYTES} bytes, the bound")
    try:
        return read(line.content.removeprefix(codecs.BOM_UTF8))  # in front of the first line of some editors' files
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return DecodeError(brief(str(error)))


def _refusal(line: Line, error: DecodeError) -> Answer:
    content = _encoder.encode({"id": _id_of(line), "error": str(error)})
    return Answer(line.number, content, f"line {line.number}: {error}")


def _id_of(line: Line) -> str | int | None:
    """The id of a line that cannot be used otherwise; None where that cannot be read either."""
    try:
        return _named.decode(line.content or b"").id
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
