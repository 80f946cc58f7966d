"""What a partition holds until the next checkpoint makes it durable. Knows nothing about how it came to be."""

from __future__ import annotations

from typing import NamedTuple

from models.entities import SerendipityLabel
from streams.deadletters.letter import DeadLetter


class Fired(NamedTuple):
    """A request as it goes to its topic, the broker's clock at the record that fired it (-1: unknown), its trace's context."""

    request: bytes
    caused_ms: int
    context: bytes


class Snapshot(NamedTuple):
    """What one checkpoint makes durable, in the order of `streams.checkpoint`."""

    next_offset: int
    watermark_ms: int
    users: list[str]
    dead_letters: list[DeadLetter]
    labels: list[SerendipityLabel]
    requests: list[tuple[str, Fired]]
    questions: list[tuple[str, bytes]]
