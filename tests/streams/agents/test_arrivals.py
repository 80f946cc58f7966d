"""Laws of measuring by chunk: every record is counted once, small chunks exactly, and late means behind event time."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram

from models.entities import Event
from streams.agents.arrivals import LATE_MS, Arrivals, late_count
from streams.observability.distribution import BUCKETS_S, Distribution
from streams.records import Decoded

STABLE = settings(max_examples=80, deadline=None, derandomize=True)
NOW_MS = 1_000_000_000


def decoded(offset: int, arrived_ms: int, ts_ms: int | None = 0) -> Decoded:
    event = None if ts_ms is None else Event(event_id="e", user_id="u", type="visit", ts_ms=ts_ms)
    return Decoded(offset, event, ts_ms or 0, arrived_ms)


@given(sizes=st.lists(st.integers(0, 400), max_size=6))
@STABLE
def test_every_record_is_observed_once_when_it_is_durable_and_not_before(sizes: list[int]) -> None:
    waits = Distribution()
    arrivals = Arrivals(waits, None)
    for size in sizes:
        arrivals.applied([decoded(place, NOW_MS - 1_000) for place in range(size)])
    assert sum(waits.counts) == 0
    arrivals.durable(NOW_MS)
    arrivals.durable(NOW_MS + 5_000)
    assert sum(waits.counts) == sum(sizes)
    assert waits.sum_s == pytest.approx(sum(sizes))


@given(waits_ms=st.lists(st.integers(0, 900_000), max_size=31))
@STABLE
def test_small_chunk_is_measured_exactly(waits_ms: list[int]) -> None:
    by_clock, by_event_time = Distribution(), Distribution()
    arrivals = Arrivals(by_clock, by_event_time)
    arrivals.applied([decoded(0, NOW_MS - wait_ms, NOW_MS - 2 * wait_ms) for wait_ms in waits_ms])
    arrivals.durable(NOW_MS)
    assert by_clock.sum_s == pytest.approx(sum(waits_ms) / 1000)
    assert by_event_time.sum_s == pytest.approx(2 * sum(waits_ms) / 1000)


def test_dead_letter_has_a_wait_and_no_event_time() -> None:
    by_clock, by_event_time = Distribution(), Distribution()
    arrivals = Arrivals(by_clock, by_event_time)
    arrivals.applied([decoded(0, NOW_MS - 500, None)])
    arrivals.durable(NOW_MS)
    assert (sum(by_clock.counts), sum(by_event_time.counts)) == (1, 0)


@given(
    times=st.lists(st.none() | st.integers(0, 5).map(lambda step: step * LATE_MS // 2), max_size=30),
    watermark_ms=st.integers(0, 5).map(lambda step: step * LATE_MS // 2),
)
@STABLE
def test_late_is_more_than_a_minute_behind_the_newest_before(times: list[int | None], watermark_ms: int) -> None:
    expected, newest = 0, watermark_ms
    for ts_ms in times:
        if ts_ms is not None:
            expected += ts_ms < newest - LATE_MS
            newest = max(newest, ts_ms)
    assert late_count([decoded(0, 0, ts_ms) for ts_ms in times], watermark_ms) == expected


@given(values=st.lists(st.tuples(st.floats(0, 2_000), st.integers(1, 5)), max_size=20))
@STABLE
def test_distribution_reads_as_prometheus_s_own_histogram(values: list[tuple[float, int]]) -> None:
    ours, registry = Distribution(), CollectorRegistry()
    theirs = Histogram("w", "waits", buckets=BUCKETS_S, registry=registry)
    for value, count in values:
        ours.add(value, count)
        for _ in range(count):
            theirs.observe(value)
    [family] = registry.collect()
    expected = {(one.name, *one.labels.values()): one.value for one in family.samples if one.name != "w_created"}
    found = {(one.name, *one.labels.values()): one.value for one in ours.family("w", "waits").samples}
    assert found.pop(("w_sum",)) == pytest.approx(expected.pop(("w_sum",)))
    assert found == expected


def test_negative_wait_of_clocks_that_differ_counts_as_none() -> None:
    waits = Distribution()
    waits.add(-5.0)
    assert (waits.counts[0], waits.sum_s) == (1, 0.0)
