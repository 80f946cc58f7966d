"""Laws of what Prometheus may scrape: names that stay, the worker's own numbers, quantiles that are right to a bucket."""

from __future__ import annotations

import re
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio
from faust.types import TP
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram, start_http_server

from models.entities import Event
from streams import codec, metrics, partition, topics
from streams.agents import judging as judging_agent
from streams.agents import profiles as profiles_agent
from streams.agents.judging import JudgingWorker
from streams.agents.limits import JudgingLimits, ProfilesLimits
from streams.agents.profiles import ProfilesWorker
from streams.demo.servers import free_port
from streams.metrics import EVENT_TO_SLATE, observe_judging, observe_profiles, quantile, scrape
from streams.partition import Knowledge, Rules
from streams.state import PartitionStore, ProfileStore
from streams.store import SlateStore
from streams.transport import Chunk

HOST = "127.0.0.1"
STABLE = settings(max_examples=60, deadline=None, derandomize=True)


class Record:
    def __init__(self, offset: int, user: str) -> None:
        self.offset, self.timestamp, self.key, self.headers = offset, 1_000, user.encode(), ()
        self.value = codec.encode(Event(event_id=str(offset), user_id=user, type="visit", ts_ms=1_000 + offset))


async def accept(*_: Any, **__: Any) -> bool:
    """Stands for the broker."""
    return True


@pytest.fixture
def profiles(redis_client: redis.asyncio.Redis) -> Callable[[], Awaitable[ProfilesWorker]]:
    async def made() -> ProfilesWorker:
        worker = ProfilesWorker(
            knowledge=Knowledge([], max_tag_bytes=48),
            profiles=ProfileStore(redis_client, tenant="t"),
            partitions=PartitionStore(redis_client, tenant="t"),
            produce=accept,  # type: ignore[arg-type]
            commit=accept,
            rules=Rules(check_clock=False),
            limits=ProfilesLimits(checkpoint_s=1e9),
        )
        await worker.take_over({TP(topics.EVENTS, 2)})
        return worker

    return made


@pytest.fixture
def judging(redis_client: redis.asyncio.Redis) -> JudgingWorker:
    return JudgingWorker(
        serve=lambda requests: [],
        slates=SlateStore(redis_client, tenant="t", hard_ttl_ms=1_000),
        produce=accept,  # type: ignore[arg-type]
        commit=accept,
        limits=JudgingLimits(),
    )


def samples_of(observe: Callable[..., None], worker: Any) -> dict[str, float]:
    port = free_port()
    observe(worker, host=HOST, port=port)
    return scrape(f"http://{HOST}:{port}/metrics")


async def test_profile_worker_s_names_are_these_and_no_others(profiles: Callable[[], Awaitable[ProfilesWorker]]) -> None:
    worker = await profiles()
    worker.counts["dead_letters_DecodeError"] = 3
    assert set(samples_of(observe_profiles, worker)) == {
        'seren_events_total{outcome="applied"}',
        'seren_events_total{outcome="already_applied"}',
        'seren_events_total{outcome="duplicate"}',
        'seren_events_total{outcome="redelivered"}',
        'seren_events_total{outcome="unknown_item"}',
        'seren_labels_total{kind="label"}',
        'seren_labels_total{kind="related_strict"}',
        'seren_labels_total{kind="related_loose"}',
        'seren_requests_total{reason="visit"}',
        'seren_requests_total{reason="search"}',
        'seren_requests_total{reason="drift"}',
        'seren_requests_superseded_total{by="newer"}',
        'seren_checkpoints_total{outcome="done"}',
        'seren_checkpoints_total{outcome="retried"}',
        'seren_checkpoints_total{outcome="lost"}',
        'seren_checkpoints_total{outcome="abandoned"}',
        'seren_users_evicted_total{to="redis"}',
        'seren_attributes_refused_total{by="room"}',
        'seren_store_restarts_total{store="redis"}',
        'seren_dead_letters_total{error="DecodeError"}',
        'seren_users_in_memory{partition="2"}',
        'seren_users_dirty{partition="2"}',
        'seren_users_unreadable{partition="2"}',
        'seren_start_overs_total{why="bug"}',
        'seren_next_offset{partition="2"}',
        'seren_watermark_ms{partition="2"}',
    }


def test_judging_worker_s_names_are_these_and_no_others(judging: JudgingWorker) -> None:
    found = samples_of(observe_judging, judging)
    assert {re.sub(r'le="[^"]*"', "le", name) for name in found} == {
        'seren_slates_total{outcome="accepted"}',
        'seren_slates_total{outcome="repeated"}',
        'seren_slates_total{outcome="refused"}',
        'seren_slates_total{outcome="restored"}',
        'seren_slate_items_total{place="slate"}',
        'seren_requests_served_total{outcome="coalesced"}',
        'seren_requests_served_total{outcome="retried"}',
        "seren_users_waiting",
        "seren_event_to_slate_seconds_bucket{le}",
        "seren_event_to_slate_seconds_count",
        "seren_event_to_slate_seconds_sum",
        "seren_event_to_slate_seconds_created",
    }


async def test_profile_worker_s_numbers_are_its_own(profiles: Callable[[], Awaitable[ProfilesWorker]]) -> None:
    worker = await profiles()
    records: list[Any] = [Record(0, "u"), Record(1, "v"), Record(1, "v")]
    await worker.take(Chunk(topics.EVENTS, 2, records, 9))
    found = samples_of(observe_profiles, worker)
    assert found['seren_events_total{outcome="applied"}'] == 2
    assert found['seren_events_total{outcome="redelivered"}'] == 1
    assert found['seren_users_in_memory{partition="2"}'] == 2
    assert found['seren_users_dirty{partition="2"}'] == 2
    assert found['seren_next_offset{partition="2"}'] == 2
    assert found['seren_watermark_ms{partition="2"}'] == 1_001


def test_every_count_of_the_workers_has_a_metric() -> None:
    """What the code counts, read from the code, against what the tables name: nothing is counted in vain."""
    pattern = re.compile(r'counts\["(\w+)"\]')
    for modules, table in (
        ((profiles_agent, partition), metrics._PROFILE_COUNTERS),
        ((judging_agent,), metrics._JUDGING_COUNTERS),
    ):
        counted = {name for module in modules for name in pattern.findall(_source(module))}
        named = {key for *_, keys in table for key in keys.values()}
        assert counted <= named, f"counted and never shown: {counted - named}"


def _source(module: Any) -> str:
    return Path(module.__file__).read_text(encoding="utf-8")


def test_wait_for_a_slate_is_observed_into_the_histogram(judging: JudgingWorker) -> None:
    port = free_port()
    observe_judging(judging, host=HOST, port=port)
    for wait_s in (0.5, 0.5, 2.0):
        judging.observe_wait_s(wait_s)
    found = scrape(f"http://{HOST}:{port}/metrics")
    assert found[f"{EVENT_TO_SLATE}_count"] == 3
    assert found[f"{EVENT_TO_SLATE}_sum"] == pytest.approx(3.0)
    assert quantile(found, EVENT_TO_SLATE, 0.5) == pytest.approx(0.5, rel=0.2)
    assert quantile(found, EVENT_TO_SLATE, 1.0) == pytest.approx(2.0, rel=0.2)


def test_port_0_opens_nothing_and_observes_all_the_same(judging: JudgingWorker) -> None:
    observe_judging(judging, host=HOST, port=0)
    judging.observe_wait_s(1.0)


def test_taken_port_is_an_error_and_not_silence(judging: JudgingWorker) -> None:
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        with pytest.raises(OSError, match="in use"):
            observe_judging(judging, host=HOST, port=taken.getsockname()[1])


def test_scrape_of_nobody_is_an_os_error() -> None:
    with pytest.raises(OSError, match="refused"):
        scrape(f"http://{HOST}:{free_port()}/metrics")


# ---- quantiles

BUCKETS = (1.0, 2.0, 4.0, 8.0)


def histogram(values: list[float]) -> dict[str, float]:
    """What a scrape of these observations holds."""
    registry = CollectorRegistry()
    made = Histogram("w", "waits", buckets=BUCKETS, registry=registry)
    for value in values:
        made.observe(value)
    return {
        f'w_bucket{{le="{sample.labels["le"]}"}}': sample.value
        for family in registry.collect()
        for sample in family.samples
        if sample.name == "w_bucket"
    }


def test_quantile_of_nothing_is_none() -> None:
    assert quantile({}, "w", 0.5) is None
    assert quantile(histogram([]), "w", 0.5) is None


@given(values=st.lists(st.floats(0.01, 7.9), min_size=1, max_size=30), share=st.floats(0, 1))
@STABLE
def test_quantile_lies_in_the_bucket_of_the_value_that_it_stands_for(values: list[float], share: float) -> None:
    found = quantile(histogram(values), "w", share)
    assert found is not None
    place = max(0, -int(-share * len(values) // 1) - 1)  # the smallest value that has this share at or below it
    value = sorted(values)[place]
    upper = min(bucket for bucket in BUCKETS if value <= bucket)
    lower = max((bucket for bucket in (0.0, *BUCKETS) if bucket < value), default=0.0)
    assert lower <= found <= upper


@given(values=st.lists(st.floats(0.01, 20), min_size=1, max_size=30), one=st.floats(0, 1), other=st.floats(0, 1))
@STABLE
def test_quantile_rises_with_the_share(values: list[float], one: float, other: float) -> None:
    below, above = (quantile(histogram(values), "w", share) for share in sorted((one, other)))
    assert below is not None
    assert above is not None
    assert below <= above


def test_quantile_above_the_last_bucket_is_its_lower_end() -> None:
    assert quantile(histogram([100.0, 200.0]), "w", 0.5) == 8.0


def test_scrape_reads_what_prometheus_client_serves() -> None:
    registry = CollectorRegistry()
    Histogram("w", "waits", ["b", "a"], buckets=(1.0,), registry=registry).labels("x", "y").observe(0.5)
    server, thread = start_http_server(free := free_port(), addr=HOST, registry=registry)
    found = scrape(f"http://{HOST}:{free}/metrics")
    server.shutdown()
    server.server_close()
    thread.join()
    assert found['w_bucket{a="y",b="x",le="1.0"}'] == 1
