"""What bounds a score log. Knows nothing about what is in it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class ScoresPolicy:
    """What bounds a worker's score log."""

    # Answers in memory: some 6 KB a slate, so 10,000 slates. A replay of a larger log needs more to ask nothing again.
    cache_bytes: int = 67_108_864
    pending_bytes: int = (
        8_388_608  # answers that wait for the topic; past it the oldest are not written, which costs a call later
    )
    # A worker that starts reads at most this long, and this many of the newest records: what its partitions' users got last.
    warm_s: float = 10.0
    warm_records: int = 20_000
    record_s: float = 5.0  # how long a batch of slates waits for its answers to be on the topic, before it goes on without
