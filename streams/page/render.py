"""From a report to one HTML file that needs nothing else: no network, no fonts, no other file.

Titles, queries and ids come from outside. They are data of the page and never markup: the JSON that carries them holds no `<`,
the script writes them as text only, and the page's own policy lets no script run but that one.
"""

from __future__ import annotations

import base64
import hashlib
import re
from importlib.resources import files
from typing import Final

import msgspec

from streams.page.report import PageReport
from streams.page.view import ViewPolicy, view

STYLES: Final = ("page.css", "sections.css")
SCRIPTS: Final = ("words.js", "timeline.js", "levels.js", "sieve.js", "shelf.js", "why.js", "page.js")

# The characters by which text could end the element that carries it, or begin another, as JSON writes them otherwise.
_ESCAPES: Final = ((b"<", b"\\u003c"), (b">", b"\\u003e"), (b"&", b"\\u0026"))
_SLOT = re.compile(r"\{\{(\w+)\}\}")


def render(report: PageReport, *, policy: ViewPolicy | None = None) -> str:
    """The page as HTML; the same report gives the same text.

    Args:
        report: the run and its users.
        policy: bounds on what is shown of a user; None: the usual ones.

    Returns:
        A whole document. Written as UTF-8, a dozen users of a busy shop are about 1 MB.
    """
    style = "".join(map(_read, STYLES))
    script = '"use strict";\n(() => {\n' + "".join(map(_read, SCRIPTS)) + "})();\n"
    parts = {
        "style": style,
        "script": script,
        "style_hash": _hash(style),
        "script_hash": _hash(script),
        "data": _embed(view(report, policy=policy or ViewPolicy())),
    }
    # One pass: what is put in is not looked at again, so a title that looks like a slot stays a title.
    return _SLOT.sub(lambda slot: parts[slot[1]], _read("page.html"))


def _read(name: str) -> str:
    return (files("streams.page") / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """The text's hash as a content security policy names it."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _embed(content: msgspec.Struct) -> str:
    """JSON in which no character can end a script element; outside of strings, JSON has none of them."""
    text = msgspec.json.encode(content)
    for character, escape in _ESCAPES:
        text = text.replace(character, escape)
    return text.decode()
