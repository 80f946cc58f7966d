"""The chain behind one item of a slate, from its trace: for `seren why`.

Knows nothing about Redis.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from models.entities import Tag, Trace
from models.reasons import REASONS
from streams.cli.tables import moment, plain, show_table

_IMAGINES = ("serengpt", "nothing")  # the tiers below look for what the profile names, and imagine nothing
HISTORY_LINES = 10  # of the recent history, newest first; the whole of it is in --json


def chain_of(trace: Trace, item_id: str) -> dict[str, Any]:
    """Everything that the trace says of one item, as plain JSON values."""
    candidate = next((candidate for candidate in trace.candidates if candidate.item_id == item_id), None)
    rule = next((filtered.rule for filtered in trace.filtered if filtered.item_id == item_id), None)
    place = next((place for place, kept in enumerate(trace.kept, start=1) if kept.item_id == item_id), None)
    outcomes = {"kept": place, "filtered": rule, "not selected": candidate}
    sources = () if candidate is None else candidate.sources
    return {
        "user_id": trace.user_id,
        "surface": trace.surface,
        "item_id": item_id,
        "outcome": next((name for name, evidence in outcomes.items() if evidence is not None), "not retrieved"),
        "place": place,
        "filtered_by": rule,
        "scores": None if place is None else msgspec.to_builtins(trace.kept[place - 1]),
        "relevance": None if candidate is None else candidate.relevance,
        "sources": [
            {"title": trace.imagined[source.imagined], "channel": source.channel, "rank": source.rank, "score": source.score}
            for source in sources
            if source.imagined < len(trace.imagined)
        ],
        "trigger": trace.reason,
        "as_of_ms": trace.as_of_ms,
        "offset": trace.offset,
        "trace_id": trace.trace_id or None,
        "tier": trace.tier,
        "profile": msgspec.to_builtins(trace.digest),
        "imagined": list(trace.imagined),
        "malformed": list(trace.malformed),
    }


def show_chain(trace: Trace, chain: dict[str, Any]) -> None:
    """Prints the chain behind one item for a person."""
    console = Console()
    console.print(Text(f"{plain(chain['item_id'])} for {plain(trace.user_id)} on {plain(trace.surface)}", style="bold"))
    sought = "imagined" if trace.tier in _IMAGINES else "looked for"
    lines = [
        ("asked because of", f"{trace.reason}, at {moment(trace.as_of_ms)}, offset {trace.offset}"),
        ("static profile", ", ".join(trace.digest.static) or "-"),
        ("long term", _tags(trace.digest.long_term)),
        ("short term", _tags(trace.digest.short_term)),
        (sought, f"{len(trace.imagined)} titles, {len(trace.candidates)} candidates, {len(trace.kept)} kept"),
        ("answered by", f"tier {trace.tier}"),
        ("outcome", _outcome(chain)),
    ]
    if trace.malformed:
        lines.insert(-1, ("no titles", f"{len(trace.malformed)} of what the model wrote, such as {trace.malformed[0]!r}"))
    if trace.trace_id:
        lines.insert(1, ("trace id", trace.trace_id))
    grid = Table.grid(padding=(0, 2))
    for name, value in lines:
        grid.add_row(Text(name, style="dim"), Text(plain(value)))
    console.print(grid)
    if chain["sources"]:
        rows = [(found["title"], found["channel"], str(found["rank"]), f"{found['score']:.3g}") for found in chain["sources"]]
        show_table(f"{sought} and found it", ("title", "by", "rank", "score"), rows)
    history = [(moment(one.ts_ms), one.type, one.title, str(one.offset)) for one in reversed(trace.digest.history)]
    if history:
        show_table("recent history", ("when", "what", "title", "offset"), history[:HISTORY_LINES])


def _outcome(chain: dict[str, Any]) -> str:
    if chain["outcome"] == "kept":
        scores = chain["scores"]
        factors = " x ".join(f"{name} {scores[name]:.3f}" for name in ("relevance", "unexpectedness", "aligned"))
        text = REASONS.get(scores["reason"], REASONS[0])
        return f"place {chain['place']}: serendipity {scores['serendipity']:.4f} = {factors}; {text}"
    if chain["outcome"] == "filtered":
        return f"found, then dropped by the rule {chain['filtered_by']!r}"
    if chain["outcome"] == "not selected":
        return f"found with relevance {chain['relevance']:.3f}, but others scored higher"
    return "none of the imagined titles found it"


def _tags(tags: Iterable[Tag]) -> str:
    named = (f"{tag.text} ({tag.score:.2f}, from offsets {', '.join(map(str, tag.evidence)) or 'unknown'})" for tag in tags)
    return "; ".join(named) or "-"
