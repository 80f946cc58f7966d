"""What a language model wrote, read totally: the answer that was asked for, or an error that carries the text. Never a guess.

Nothing is repaired: no prose is cut off around an answer, no code fence opened, no missing bracket closed, no number read from
a word. Whoever asked decides whether to ask again.

Knows nothing about engines, prompts or what answers mean.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable
from typing import Any, NamedTuple, TypeVar

import msgspec

from models.entities import TEXT_CHARS
from models.errors import MalformedAnswer, brief

JSON_CHARS = 65_536  # of an answer in JSON; a profile of forty tags with their reasons has under 8,000
_BROKEN = "\ufffd"  # what a decoder writes for bytes that are no text

T = TypeVar("T")


class Titles(NamedTuple):
    """The imagined titles that are titles, in their order, and the answers that are none."""

    titles: tuple[str, ...]
    malformed: tuple[MalformedAnswer, ...]


def read_title(text: str) -> str:
    r"""One imagined title: one line of visible text.

    Raises:
        MalformedAnswer: it is empty, too long, has a control character or a line end, a delimiter, or broken bytes.

    Example:
        >>> read_title(" red mug ")
        'red mug'
        >>> read_title("red\nmug")
        Traceback (most recent call last):
        models.errors.MalformedAnswer: title: a control character, U+000A: 'red\nmug'
    """
    title = text.strip(" ")
    if len(title) > TEXT_CHARS:
        raise _malformed(text, "title", f"{len(title)} characters, must be at most {TEXT_CHARS}")
    control = next((char for char in title if unicodedata.category(char)[0] == "C" or char in "\u2028\u2029"), None)
    if control is not None:
        raise _malformed(text, "title", f"a control character, U+{ord(control):04X}")
    if _BROKEN in title:
        raise _malformed(text, "title", "bytes that are no text")
    if "<|" in title or "|>" in title:
        raise _malformed(text, "title", "a delimiter of the prompt")
    if not any(char.isalnum() for char in title):
        raise _malformed(text, "title", "no letter or digit")
    return title


def read_titles(texts: Iterable[str]) -> Titles:
    """Every text either as a title or as an error, in order.

    Example:
        >>> found = read_titles(["red mug", "...", "blue mug"])
        >>> found.titles, [str(error) for error in found.malformed]
        (('red mug', 'blue mug'), ["title: no letter or digit: '...'"])
    """
    titles, malformed = [], []
    for text in texts:
        try:
            titles.append(read_title(text))
        except MalformedAnswer as error:
            malformed.append(error)
    return Titles(tuple(titles), tuple(malformed))


def read_json(text: str, schema: type[T], *, limit_chars: int = JSON_CHARS) -> T:
    """An answer in JSON, of exactly the shape that was asked for.

    Args:
        text: the whole answer; blanks around the JSON are allowed, nothing else is.
        schema: a msgspec type; declare records with `forbid_unknown_fields=True`, or keys that nobody asked for pass unseen.
        limit_chars: most characters of an answer.

    Raises:
        MalformedAnswer: the text is longer, is no JSON (which has no NaN), names a key twice, or breaks the schema.

    Example:
        >>> read_json('{"score": 4}', dict[str, int])
        {'score': 4}
        >>> read_json('{"score": 4, "score": 6}', dict[str, int])
        Traceback (most recent call last):
        models.errors.MalformedAnswer: JSON: key 'score' comes twice: '{"score": 4, "score": 6}'
    """
    if len(text) > limit_chars:
        raise _malformed(text, "JSON", f"{len(text)} characters, must be at most {limit_chars}")
    try:
        json.loads(text, object_pairs_hook=_once)
        return msgspec.json.decode(text.encode(), type=schema)
    except _RepeatedKey as error:
        raise _malformed(text, "JSON", f"key {brief(error.args[0])!r} comes twice") from None
    except (ValueError, RecursionError, msgspec.MsgspecError) as error:  # no JSON, half a surrogate, too deep, another shape
        raise _malformed(text, "JSON", brief(str(error))) from error


class _RepeatedKey(Exception):
    """One object has one key twice."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise _RepeatedKey(key)
        found[key] = value
    return found


def _malformed(text: str, what: str, why: str) -> MalformedAnswer:
    return MalformedAnswer(f"{what}: {why}: {brief(text)!r}", text)
