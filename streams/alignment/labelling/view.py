"""A question as the page shows it: words and numbers, nothing that could be markup. Knows nothing about HTTP."""

from __future__ import annotations

from typing import Any

from models.alignment.decisions import Agreement, Question
from models.entities import Behaviour, Digest, Tag
from models.profiles.policy import DAY_MS

_EVIDENCE = {"purchase": "bought", "click": "looked at", "favourite": "liked", "cart": "put into the cart"}
_OTHER = {"search": "searched for", "hide": "hid", "cancel": "cancelled", "expose": "was shown", "visit": "visited"}
VERBS = _EVIDENCE | _OTHER


def view(question: Question, *, is_blind: bool) -> dict[str, Any]:
    """What the page draws of a question.

    Args:
        question: the question.
        is_blind: leave out what the judge says, so that it sways nobody.
    """
    shown: dict[str, Any] = {
        "id": question.id,
        "kind": question.kind,
        "titles": list(question.titles),
        "categories": list(question.categories),
        "user": question.user_id,
        **_profile(question.digest),
        "history": [_line(one, question.ts_ms) for one in reversed(question.digest.history)],
    }
    if not is_blind:
        shown["verdict"] = question.verdict
        shown["reason"] = question.reason
        shown["scores"] = list(question.scores)
    return shown


def agreement_view(found: Agreement) -> dict[str, Any]:
    """An agreement as the page and the command show it."""
    return {
        "first": found.first,
        "second": found.second,
        "cases": found.cases,
        "agreed": round(found.agreed, 4),
        "kappa": None if found.kappa is None else round(found.kappa.mean, 4),
        "low": None if found.kappa is None else round(found.kappa.low, 4),
        "high": None if found.kappa is None else round(found.kappa.high, 4),
    }


def _profile(digest: Digest) -> dict[str, Any]:
    return {
        "static": list(digest.static),
        "long_term": [_tag(tag) for tag in digest.long_term],
        "short_term": [_tag(tag) for tag in digest.short_term],
    }


def _tag(tag: Tag) -> dict[str, str]:
    return {"text": tag.text, "family": tag.family}


def _line(one: Behaviour, now_ms: int) -> dict[str, str]:
    return {
        "verb": VERBS.get(one.type, one.type),
        "title": one.title,
        "category": one.category or "",
        "when": ago(now_ms - one.ts_ms),
    }


def ago(ms: int) -> str:
    """How long before, in the words of a person.

    >>> ago(0), ago(DAY_MS), ago(13 * DAY_MS), ago(60 * DAY_MS), ago(800 * DAY_MS)
    ('the same day', '1 day before', '13 days before', '2 months before', '2 years before')
    """
    days = max(0, ms) // DAY_MS
    for length, name in ((365, "year"), (30, "month"), (1, "day")):
        if days >= length and (name == "day" or days >= 2 * length):
            count = days // length
            return f"{count} {name}{'s' if count > 1 else ''} before"
    return "the same day"
