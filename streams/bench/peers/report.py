"""What the runs say, for people and for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from streams.bench.drain import Drained, Visible
from streams.bench.peers.rounds import Row

COLUMNS = ("engine", "per core", "by wall", "us/event", "events", "users", "survives a crash")
MEANING = (
    "events per second of the engine's own CPU, and of wall time; medians of the runs, interleaved. Each decodes an event and "
    "folds it into its profile by the same code; seren's worker makes triggers, requests, labels and dead letters, too"
)


def cells(row: Row) -> tuple[str, ...]:
    """One row of the table."""
    name = row.contestant.name
    if not row.runs:
        return (name, "-", "-", "-", "-", "-", f"did not run: {row.error}")
    last = row.runs[-1]
    numbers = (
        f"{row.per_core:,.0f}",
        f"{row.per_second:,.0f}",
        f"{1e6 / row.per_core:.1f}",
        f"{last.events:,}",
        f"{last.users:,}",
    )
    return (name, *numbers, row.contestant.keeps + (f" (a later run failed: {row.error})" if row.error else ""))


def whole_cells(drained: Drained, visible: Visible | None) -> list[tuple[str, str, str]]:
    """What our worker did with the whole amplified log: what, how much, and in which unit."""
    found = [
        ("events", f"{drained.events:,}", "all in profiles, once" if drained.in_profiles == drained.events else "NOT all"),
        ("users", f"{drained.users:,}", ""),
        ("events/s per core", f"{drained.events / drained.cpu_s:,.0f}", "of the worker's CPU time"),
        ("events/s by wall", f"{drained.events / drained.wall_s:,.0f}", "one worker, beside Kafka and Redis"),
        ("memory of the worker", f"{drained.rss_bytes / 1e6:,.0f}", "MB"),
        ("checkpoints", f"{drained.checkpoints:,}", ""),
        ("dead letters", f"{drained.dead_letters:,}", ""),
    ]
    if visible is not None:
        rate = f"at {visible.rate:,.0f} events/s for {visible.events / visible.rate:.0f} s"
        found += [
            ("event to visible profile, p50", f"{visible.p50_s:.2f}", f"s {rate}"),
            ("event to visible profile, p99", f"{visible.p99_s:.2f}", f"s {rate}"),
        ]
    return found


def report(where: Mapping[str, Any], rows: Sequence[Row], drained: Drained | None, visible: Visible | None) -> dict[str, Any]:
    """Everything, for a file."""
    return {
        "kind": "peers",
        "machine": dict(where),
        "engines": [
            {
                "name": row.contestant.name,
                "keeps": row.contestant.keeps,
                "profiles": row.contestant.profiles,
                "events_per_core_s": row.per_core if row.runs else None,
                "events_per_wall_s": row.per_second if row.runs else None,
                "runs": row.runs,
                "error": row.error or None,
            }
            for row in rows
        ],
        "whole_log": asdict(drained) if drained else None,
        "visible": asdict(visible) if visible else None,
    }
