"""One answer of SerenGPT on the wire: one JSON object, that carries its own address.

No user and no digest is in it: the digest's cue is a name that only whoever has the digest can make. Reading is total: any
bytes give a record whose address is that of what was asked and whose checksum is that of the answer, or a `DecodeError` that
says what is wrong. Neither can say whether the answer is the model's: who may write to the topic may lie, as on every topic.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from models.entities import TEXT_CHARS
from models.errors import DecodeError, UnknownVersion, brief
from models.serengpt.address import ADDRESS_BYTES, Asked, imagine_address, prompt_address, score_address
from models.serengpt.engine import Scored

VERSION = 1
# Of one record: a line of a recorded log holds as much (streams.recorded.logs.LINE_BYTES), and a topic's message more.
RECORD_BYTES = 60_000
_TITLE_NUMBERS_BYTES = 64  # of two log-probabilities and a count with their commas, at most
_TITLES = 1024  # of one record; as many as one request may ask for
_CHECKSUM_BYTES = 8  # against damage, not against people
_MAX_TOKENS = 4096  # of one title; ours have 17 at most

_Name = Annotated[str, Meta(min_length=1, max_length=256)]
_Hex = Annotated[str, Meta(pattern=f"^[0-9a-f]{{{2 * ADDRESS_BYTES}}}$")]
_Checksum = Annotated[str, Meta(pattern=f"^[0-9a-f]{{{2 * _CHECKSUM_BYTES}}}$")]
_Title = Annotated[str, Meta(max_length=TEXT_CHARS)]
_Titles = Annotated[tuple[_Title, ...], Meta(max_length=_TITLES)]


class Imagined(Struct, frozen=True, kw_only=True, tag_field="verb", tag="imagine"):
    """The titles that one `imagine` gave, as they were sampled."""

    version: int = VERSION
    address: _Hex = ""
    checksum: _Checksum = ""
    model_id: _Name
    prompt_version: Annotated[int, Meta(ge=0, lt=2**31)]
    decoding: _Name
    cue: _Hex
    n: Annotated[int, Meta(ge=1, le=_TITLES)]
    seed: Annotated[int, Meta(ge=0, lt=2**32)]
    titles: _Titles

    @property
    def place(self) -> str:
        """Where a log keeps it: under its address."""
        return self.address


class ScoredTitles(Struct, frozen=True, kw_only=True, tag_field="verb", tag="score"):
    """The log-probabilities that one `score` gave, title by title, each title once."""

    version: int = VERSION
    address: _Hex = ""
    checksum: _Checksum = ""
    model_id: _Name
    prompt_version: Annotated[int, Meta(ge=0, lt=2**31)]
    decoding: _Name
    cue: _Hex
    titles: Annotated[_Titles, Meta(min_length=1)]
    logprobs: tuple[float, ...]
    priors: tuple[float, ...]
    tokens: tuple[int, ...]

    @property
    def place(self) -> str:
        """Where a log keeps it: under its prompt, with all other titles of it."""
        return prompt_address(Asked(self.model_id, self.prompt_version), self.decoding, self.cue)

    def scored(self) -> Iterator[tuple[str, Scored]]:
        """Each title with what was said of it."""
        numbers = zip(self.logprobs, self.priors, self.tokens, strict=True)
        return zip(self.titles, (Scored(*one) for one in numbers), strict=True)


Record = Imagined | ScoredTitles
_decoder: msgspec.json.Decoder[Record] = msgspec.json.Decoder(Record)


def imagined(asked: Asked, decoding: str, cue: str, *, n: int, seed: int, titles: Sequence[str]) -> Imagined:
    """The record of one `imagine`, under its address."""
    record = Imagined(
        address=imagine_address(asked, decoding, cue, n=n, seed=seed),
        model_id=asked.model_id,
        prompt_version=asked.prompt_version,
        decoding=decoding,
        cue=cue,
        n=n,
        seed=seed,
        titles=tuple(titles),
    )
    return msgspec.structs.replace(record, checksum=checksum_of(record))


def scored_titles(
    asked: Asked, decoding: str, cue: str, titles: Sequence[str], scored: Sequence[Scored]
) -> Iterator[ScoredTitles]:
    """The records of one `score`: one, or as many as its bytes need.

    Args:
        asked: whom.
        decoding: how.
        cue: after which prompt.
        titles: each once.
        scored: one each, in order.
    """
    start = size = 0
    for place, title in enumerate(titles):
        more = len(msgspec.json.encode(title)) + _TITLE_NUMBERS_BYTES
        if size + more > RECORD_BYTES - 1024 and place > start:  # what is beside the titles has less than 1 KiB
            yield _scored_titles(asked, decoding, cue, titles[start:place], scored[start:place])
            start, size = place, 0
        size += more
    if titles:
        yield _scored_titles(asked, decoding, cue, titles[start:], scored[start:])


def _scored_titles(asked: Asked, decoding: str, cue: str, titles: Sequence[str], scored: Sequence[Scored]) -> ScoredTitles:
    record = ScoredTitles(
        address=score_address(asked, decoding, cue, titles),
        model_id=asked.model_id,
        prompt_version=asked.prompt_version,
        decoding=decoding,
        cue=cue,
        titles=tuple(titles),
        logprobs=tuple(one.logprob for one in scored),
        priors=tuple(one.prior_logprob for one in scored),
        tokens=tuple(one.tokens for one in scored),
    )
    return msgspec.structs.replace(record, checksum=checksum_of(record))


def encode_record(record: Record) -> bytes:
    """A record as it goes over the wire.

    Raises:
        DecodeError: it is none that `decode_record` would read: too long, a title out of bounds, a number that is none.
    """
    value = msgspec.json.encode(record)
    decode_record(value)
    return value


def decode_record(value: bytes, *, key: bytes | None = None) -> Record:
    """One record of the score log.

    Args:
        value: as it came.
        key: the record's key on the topic; None: not looked at.

    Raises:
        DecodeError: names the field and the bound; or the address is not that of what the record says was asked, or the
            checksum not that of its answer.
        UnknownVersion: a newer release wrote it.
    """
    if len(value) > RECORD_BYTES:
        message = f"score record: {len(value)} bytes are over the bound of {RECORD_BYTES}"
        raise DecodeError(message)
    try:
        record = _decoder.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        message = f"score record: {brief(str(error))}"
        raise DecodeError(message) from error
    if record.version != VERSION:
        message = f"score record: version {record.version} is not {VERSION}"
        raise UnknownVersion(message)
    if isinstance(record, ScoredTitles):
        _check_scores(record)
    address = address_of(record)
    if record.address != address or (key is not None and key != address.encode()):
        message = f"score record: address {record.address} with key {(key or b'')[:64]!r}; its content has {address}"
        raise DecodeError(message)
    if record.checksum != checksum_of(record):
        message = f"score record: checksum {record.checksum} of address {address}; its answer has {checksum_of(record)}"
        raise DecodeError(message)
    return record


def is_sound(scored: Sequence[Scored]) -> bool:
    """Whether these are log-probabilities of titles that have tokens: finite, and zero or less."""
    return all(
        math.isfinite(one.logprob)
        and math.isfinite(one.prior_logprob)
        and one.logprob <= 0.0
        and one.prior_logprob <= 0.0
        and 1 <= one.tokens <= _MAX_TOKENS
        for one in scored
    )


def _check_scores(record: ScoredTitles) -> None:
    count = len(record.titles)
    lengths = (len(record.logprobs), len(record.priors), len(record.tokens))
    if lengths != (count,) * 3 or len(set(record.titles)) != count:
        message = f"score record: {lengths} numbers of {count} titles; must be one each, and no title twice"
        raise DecodeError(message)
    if not is_sound([one for _, one in record.scored()]):
        message = f"score record: a log-probability is above 0 or not finite, or a title has not 1..{_MAX_TOKENS} tokens"
        raise DecodeError(message)


def address_of(record: Record) -> str:
    """The address that a record's content has, whatever it says."""
    asked = Asked(record.model_id, record.prompt_version)
    if isinstance(record, Imagined):
        return imagine_address(asked, record.decoding, record.cue, n=record.n, seed=record.seed)
    return score_address(asked, record.decoding, record.cue, record.titles)


def checksum_of(record: Record) -> str:
    """The checksum that a record's answer has, whatever it says."""
    answer = record.titles if isinstance(record, Imagined) else (record.logprobs, record.priors, record.tokens)
    content = msgspec.msgpack.encode((record.address, answer))
    return hashlib.blake2b(content, digest_size=_CHECKSUM_BYTES, person=b"seren").hexdigest()
