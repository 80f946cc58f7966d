"""Distributions of durations for Prometheus: weighted, so that one observation may stand for many events.

Knows nothing about what is measured. Written by one thread, read by another: a reading may miss the newest observation.
"""

from __future__ import annotations

from bisect import bisect_left

from prometheus_client.core import HistogramMetricFamily

# From 10 ms to about 12 minutes in steps of 20 %: a quantile read from these buckets is right to a tenth.
BUCKETS_S = tuple(round(0.01 * 1.2**step, 4) for step in range(62))


class Distribution:
    """How often durations, in seconds, fell into which bucket.

    Example:
        >>> waits = Distribution((1.0, 2.0))
        >>> waits.add(1.0)
        >>> waits.add(1.5, 3)
        >>> waits.add(9.0)
        >>> (waits.counts, waits.sum_s)
        ([1, 3, 1], 14.5)
    """

    def __init__(self, bounds_s: tuple[float, ...] = BUCKETS_S) -> None:
        self.bounds_s = bounds_s
        self.counts = [0] * (len(bounds_s) + 1)
        self.sum_s = 0.0

    def add(self, value_s: float, count: int = 1) -> None:
        """Notes `count` observations of a duration; a negative one, of clocks that differ, counts as 0."""
        value_s = max(0.0, value_s)
        self.counts[bisect_left(self.bounds_s, value_s)] += count
        self.sum_s += value_s * count

    def family(self, name: str, text: str) -> HistogramMetricFamily:
        """As Prometheus reads it."""
        total, buckets = 0, []
        for bound, count in zip([*map(str, self.bounds_s), "+Inf"], self.counts, strict=True):
            total += count
            buckets.append((bound, float(total)))
        return HistogramMetricFamily(name, text, buckets=buckets, sum_value=self.sum_s)
