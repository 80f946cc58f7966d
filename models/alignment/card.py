"""The data card of a set of samples: where they come from, what was dropped, what is in each part. Pure text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from models.alignment.dataset import Dataset
from models.alignment.records import AlignmentSample

_COLUMNS = ("samples", "users", "items", "accuracy channel", "serendipity channel", "first day", "last day")
_SPLITS = ("sft", "ipo", "validation", "test")


def summary(found: Dataset) -> dict[str, Any]:
    """The card's numbers: counts by part, source and person, ranges of time, what was dropped."""
    return {
        "labels": found.labels,
        "dropped": dict(sorted(found.dropped.items())),
        "samples": len(found.samples),
        "users": len({sample.user_id for sample in found.samples}),
        "train_end": _day(found.split.train_end_ms),
        "test_start": _day(found.split.validation_end_ms),
        "splits": {name: _of([one for one in found.samples if one.split == name]) for name in _SPLITS},
    }


def data_card(found: Dataset, *, name: str, origin: str, seed: int, command: str, sha256: Mapping[str, str]) -> str:
    """The card as Markdown.

    Args:
        found: the samples.
        name: of the set.
        origin: where the labels came from, with the licence where there is one.
        seed: of the halves.
        command: that made it.
        sha256: of each file, by name.
    """
    numbers = summary(found)
    dropped = [(reason, f"{count:,}") for reason, count in numbers["dropped"].items()]
    parts = (
        f"# {name}",
        _origin(numbers, origin, seed),
        _table(("part", *_COLUMNS), [(split, *map(_cell, one.values())) for split, one in numbers["splits"].items()]),
        "## Dropped\n\n" + (_table(("reason", "labels"), dropped) if dropped else "Nothing."),
        f"## Made by\n\n    {command}",
        "## Files\n\n" + _table(("file", "SHA-256"), [(file, f"`{digest}`") for file, digest in sorted(sha256.items())]),
        _LIMITS,
    )
    return "\n\n".join(parts) + "\n"


def _origin(numbers: Mapping[str, Any], origin: str, seed: int) -> str:
    return f"""{numbers["samples"]:,} Definition-1 samples (wanted, and of a leaf category that the user had not been shown
on the last visit days) of {numbers["users"]:,} users, out of {numbers["labels"]:,} labels of {origin}. Each has the profile
from before its visit day.

Cut in time: what trains ended before {numbers["train_end"]}, what tests began on {numbers["test_start"]} or later (UTC);
between them lies validation. A user's training samples are all in one half (seed {seed}). One user and item make one sample,
the earliest."""


def _of(samples: Sequence[AlignmentSample]) -> dict[str, Any]:
    sources = Counter(sample.source for sample in samples)
    times = [sample.ts_ms for sample in samples]
    return {
        "samples": len(samples),
        "users": len({sample.user_id for sample in samples}),
        "items": len({sample.item_id for sample in samples}),
        "accuracy": sources["accuracy"],
        "serendipity": sources["serendipity"],
        "first": _day(min(times)) if times else "",
        "last": _day(max(times)) if times else "",
    }


def _cell(value: int | str) -> str:
    return value if isinstance(value, str) else f"{value:,}"


def _day(ts_ms: int) -> str:
    return datetime.fromtimestamp(ts_ms / 1000, UTC).strftime("%Y-%m-%d")


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


_LIMITS = """## Limits

Definition 1 takes a click or a purchase for a liking, and an unseen category for a surprise: accidents, presents for others
and things looked up elsewhere are in it. Denoising (a judge's verdict, people's check) takes some of them out; the test part
is left as it is, so that no judge chooses what it is tested on."""
