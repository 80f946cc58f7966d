"""A language model's JSON as candidate tags: total, whatever the text.

    {"thoughts": "...", "category": [{"tag": "cake tins", "evidence": [1, 4], "reason": "..."}], "brand": [], ...}

Prose and fences around the object are passed over, entries that are none are counted and passed over, families that nobody
knows likewise. Knows nothing about what the numbers point at.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

from msgspec import Struct

from models.entities import TagFamily
from models.errors import MalformedAnswer, brief
from models.profiles.features import FAMILIES
from models.serengpt.answers import JSON_CHARS, read_json
from models.serengpt.tokens import clean

ANSWER_CHARS = JSON_CHARS  # of a whole answer with what is around it
MAX_CANDIDATES = 64  # entries that are looked at
MAX_EVIDENCE = 64  # numbers of one entry
REASON_CHARS = 256
_NUMBER = re.compile(r"\s*[#\[(]?\s*(\d{1,6})\s*[\])]?\s*", re.ASCII)
_FREE_KEYS = frozenset({"thoughts"})


class Candidate(Struct, frozen=True, kw_only=True):
    """One tag as the model wrote it, cleaned; `evidence` are numbers of pieces, as they were cited."""

    family: TagFamily
    text: str
    evidence: tuple[int, ...]
    reason: str = ""


class Parsed(NamedTuple):
    """The candidates in the order of the families, and what was passed over, by reason."""

    candidates: tuple[Candidate, ...]
    refused: Counter[str]


def parse_answer(text: str) -> Parsed:
    """The candidates in a model's text.

    Raises:
        MalformedAnswer: there is no JSON object with families in it, or it is too long.

    Example:
        >>> parse_answer('Sure! {"interest": [{"tag": "Baking", "evidence": [2]}], "brand": "NA"}').candidates
        (Candidate(family='interest', text='baking', evidence=(2,), reason=''),)
    """
    if len(text) > ANSWER_CHARS:
        message = f"answer: {len(text)} characters are over the bound of {ANSWER_CHARS}"
        raise MalformedAnswer(message, text)
    found = _object(text)
    refused: Counter[str] = Counter({"family": len(found.keys() - set(FAMILIES) - _FREE_KEYS)})
    candidates: list[Candidate] = []
    for family in FAMILIES:
        for entry in _entries(found.get(family)):
            if len(candidates) == MAX_CANDIDATES:
                refused["too_many"] += 1
                continue
            candidate = _candidate(family, entry)
            if candidate is None:
                refused["malformed"] += 1
            else:
                candidates.append(candidate)
    return Parsed(tuple(candidates), +refused)


def _object(text: str) -> dict[str, Any]:
    """The first JSON object of the text that ends where the text's last brace is, or before."""
    start, end = text.find("{"), text.rfind("}")
    try:
        found = read_json(text[start : end + 1], dict[str, Any])
    except MalformedAnswer as error:
        message = f"answer: {error}"
        raise MalformedAnswer(message, text) from error
    if not found.keys() & set(FAMILIES):
        message = f"answer: no family among the keys; it has {brief(', '.join(sorted(found)))!r}"
        raise MalformedAnswer(message, text)
    return found


def _entries(value: Any) -> Iterable[Any]:
    """The entries of a family; "NA" in place of a list is none."""
    if isinstance(value, list):
        return value
    return () if value is None or (isinstance(value, str) and is_na(clean(value))) else (value,)


def is_na(text: str) -> bool:
    """Whether a cleaned text says that there is nothing to say."""
    return text.strip(" .") in {"", "na", "n/a", "none", "unknown"}


def _candidate(family: TagFamily, entry: Any) -> Candidate | None:
    if isinstance(entry, str):  # a tag without its evidence; it will be refused for that, by name
        return Candidate(family=family, text=clean(entry), evidence=())
    if not isinstance(entry, dict) or not isinstance(entry.get("tag"), str):
        return None
    reason = entry.get("reason", "")
    return Candidate(
        family=family,
        text=clean(entry["tag"]),
        evidence=_numbers(entry.get("evidence", [])),
        reason=clean(reason)[:REASON_CHARS].rstrip() if isinstance(reason, str) else "",
    )


def _numbers(value: Any) -> tuple[int, ...]:
    """Whole numbers, also as texts such as "3" or "[3]"; anything else cites a piece that does not exist (0)."""
    values = value[:MAX_EVIDENCE] if isinstance(value, list) else [value]
    return tuple(dict.fromkeys(_number(one) for one in values))


def _number(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    match = _NUMBER.fullmatch(value) if isinstance(value, str) else None
    return int(match[1]) if match else 0
