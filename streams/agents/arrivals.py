"""How long events take to become durable profiles, and how many come late, measured by chunk and not by event.

Knows nothing about Kafka and Redis.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from streams.observability.distribution import Distribution
from streams.records import Decoded

# Records of a chunk that stand for the rest. A chunk's records arrived within one fetch, so a neighbour's time is
# theirs; a chunk of up to this many is measured exactly.
_SAMPLES = 16
# Behind its partition's event time by more than this an event is late: producers that are merely out of step are not.
LATE_MS = 60_000


class Arrivals:
    """The events of one partition that are applied and not yet durable.

    Args:
        by_clock: from the broker's clock at the record until it is durable.
        by_event_time: from the event's own time; None where event time is not the clock's (replays).
    """

    def __init__(self, by_clock: Distribution, by_event_time: Distribution | None) -> None:
        self._by_clock = by_clock
        self._by_event_time = by_event_time
        self._applied: list[tuple[int, int, int]] = []

    def applied(self, batch: Sequence[Decoded]) -> None:
        """A batch was applied: a few of its records are noted, each with how many it stands for."""
        stride = max(1, len(batch) // _SAMPLES)
        for start in range(0, len(batch), stride):
            decoded = batch[start]
            ts_ms = decoded.event.ts_ms if decoded.event is not None else -1
            self._applied.append((decoded.arrived_ms, ts_ms, min(stride, len(batch) - start)))

    def durable(self, now_ms: int) -> None:
        """A checkpoint has made everything durable that was applied."""
        for arrived_ms, ts_ms, count in self._applied:
            self._by_clock.add((now_ms - arrived_ms) / 1000, count)
            if self._by_event_time is not None and ts_ms >= 0:
                self._by_event_time.add((now_ms - ts_ms) / 1000, count)
        self._applied.clear()


def late_count(batch: Sequence[Decoded], watermark_ms: int, *, late_ms: int = LATE_MS) -> int:
    """How many events of a batch lie behind event time by more than `late_ms`.

    Args:
        batch: in the order of the partition.
        watermark_ms: event time before it.
        late_ms: what is not yet late.
    """
    times = [decoded.event.ts_ms for decoded in batch if decoded.event is not None]
    if not times:
        return 0
    newest_ms = max(times)
    if min(times) >= max(watermark_ms, newest_ms) - late_ms:  # the usual case, without a look at each
        return 0
    before = accumulate(times, max, initial=watermark_ms)
    return sum(ts_ms < event_time_ms - late_ms for ts_ms, event_time_ms in zip(times, before, strict=False))
