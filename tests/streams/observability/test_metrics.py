"""Laws of what Prometheus may scrape: names that stay, the worker's own numbers, quantiles that are right to a bucket."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio
from faust.types import TP
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram, start_http_server

from models.entities import Digest, Event, PackedRequest
from models.errors import EngineDead
from models.profiles import Profile, encode
from models.serengpt.engine import ImagineRequest
from streams import codec, partition, topics
from streams.agents import answering, intake, publishing
from streams.agents import judging as judging_agent
from streams.agents import profiles as profiles_agent
from streams.agents.judging import JudgingWorker
from streams.agents.limits import JudgingLimits, ProfilesLimits
from streams.agents.outages import CAUSES
from streams.agents.profiles import ProfilesWorker
from streams.demo.servers import free_port
from streams.engines.calls import MeasuredEngine, ModelCalls
from streams.engines.changes import OUTCOMES, Change
from streams.knowledge import Knowledge
from streams.observability import metrics
from streams.observability.health import HealthPolicy, readiness
from streams.observability.metrics import EVENT_TO_SLATE, judging_registry, profiles_registry
from streams.observability.monitor import judging_vitals
from streams.observability.scrape import quantile, scrape
from streams.observability.watch import Watch
from streams.partition import Rules
from streams.slates.store import SlateStore
from streams.state import PartitionStore, ProfileStore
from streams.transport import Chunk

HOST = "127.0.0.1"
STABLE = settings(max_examples=60, deadline=None, derandomize=True)


class Record:
    def __init__(self, offset: int, user: str, ts_ms: int = -1) -> None:
        self.offset, self.timestamp, self.key, self.headers = offset, 1_000, user.encode(), ()
        ts_ms = ts_ms if ts_ms >= 0 else 1_000 + offset
        self.value = codec.encode(Event(event_id=str(offset), user_id=user, type="visit", ts_ms=ts_ms))


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


class Ports:
    """Stands for Redis and Kafka as the watch asks them."""

    def __init__(self, ends: dict[TP, int]) -> None:
        self._ends = ends

    async def ping(self) -> None:
        """Answers."""

    async def ends(self, partitions: Iterable[TP]) -> Mapping[TP, int]:
        return {tp: self._ends.get(tp, 0) for tp in partitions}


class HandClock:
    now_s = 100.0

    def time(self) -> float:
        return self.now_s

    def monotonic(self) -> float:
        return self.now_s


async def watched(worker: Any, ends: dict[TP, int] | None = None, clock: Any = time) -> Watch:
    watch = Watch(worker, Ports(ends or {}), clock=clock, buffered=lambda: 3)
    await watch.look()
    return watch


def samples(registry: CollectorRegistry) -> dict[str, float]:
    found = {}
    for family in registry.collect():
        for sample in family.samples:
            labels = ",".join(f'{name}="{value}"' for name, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found


def names(found: Mapping[str, float]) -> set[str]:
    """Those of seren, with the buckets of a histogram as one."""
    return {re.sub(r'le="[^"]*"', "le", name) for name in found if name.startswith("seren_")}


def histogram_names(*bases: str) -> set[str]:
    return {f"{base}{part}" for base in bases for part in ("_bucket{le}", "_count", "_sum")}


OF_ANY = {
    *(f'seren_retries_total{{cause="{cause}"}}' for cause in CAUSES),
    *(f'seren_outage_seconds{{cause="{cause}"}}' for cause in CAUSES),
    *(f'seren_paused_seconds_total{{cause="{cause}"}}' for cause in (*CAUSES, "room", "budget")),
    'seren_partitions{state="assigned"}',
    'seren_partitions{state="owned"}',
    "seren_buffered_chunks",
    "seren_event_loop_lag_seconds",
}


async def test_profile_worker_s_names_are_these_and_no_others(profiles: Callable[[], Awaitable[ProfilesWorker]]) -> None:
    worker = await profiles()
    worker.counts["dead_letters_DecodeError"] = 3
    of_partition = (
        *(
            "users_in_memory",
            "users_dirty",
            "users_unreadable",
            "requests_unsent",
            "events_unsaved",
            "checkpoint_age_seconds",
            "next_offset",
        ),
        *("checkpoint_age_seconds", "watermark_timestamp_seconds", "event_time_lag_seconds"),
    )
    outcomes = (
        "applied",
        "already_applied",
        "duplicate",
        "redelivered",
        "unknown_item",
        "late",
        "redriven",
        "redriven_repeat",
    )
    assert names(samples(profiles_registry(worker, await watched(worker)))) == OF_ANY | histogram_names(
        "seren_event_to_profile_seconds", "seren_event_time_to_profile_seconds", "seren_checkpoint_duration_seconds"
    ) | {f'seren_{name}{{partition="2"}}' for name in of_partition} | {
        f'seren_events_total{{outcome="{outcome}"}}' for outcome in outcomes
    } | {f'seren_fenced_writes_total{{what="{what}"}}' for what in ("claim", "timers", "profiles", "checkpoint")} | {
        'seren_labels_total{kind="label"}',
        'seren_labels_total{kind="related_strict"}',
        'seren_labels_total{kind="related_loose"}',
        'seren_requests_total{reason="visit"}',
        'seren_requests_total{reason="search"}',
        'seren_requests_total{reason="drift"}',
        'seren_requests_total{reason="failed"}',
        'seren_checkpoints_total{outcome="done"}',
        'seren_checkpoints_total{outcome="lost"}',
        'seren_checkpoints_total{outcome="abandoned"}',
        'seren_requests_superseded_total{by="newer"}',
        'seren_users_evicted_total{to="redis"}',
        'seren_users_forgotten_total{by="request"}',
        'seren_attributes_refused_total{by="room"}',
        'seren_store_restarts_total{store="redis"}',
        'seren_dead_letters_total{error="DecodeError"}',
        'seren_start_overs_total{why="bug"}',
        *(f'seren_questions_total{{reason="{reason}"}}' for reason in ("first", "drift", "age")),
        *(f'seren_inferred_total{{outcome="{outcome}"}}' for outcome in ("folded", "taken", "known", "unasked", "repeated")),
        *(f'seren_inferred_total{{outcome="{why}"}}' for why in ("rejected_evidence", "unknown_evidence", "unknown_source")),
        'seren_consumer_lag_records{partition="2",topic="behaviour-events"}',
        'seren_consumer_lag_records{partition="2",topic="user-attributes"}',
    }


async def test_judging_worker_s_names_are_these_and_no_others(judging: JudgingWorker) -> None:
    found = samples(judging_registry(judging, await watched(judging), ModelCalls()))
    calls = ("model_calls", "model_call_failures", "model_seconds", "model_tokens")
    tiers = ("serengpt", "distilled", "category", "last_good", "nothing")
    whys = ("failed", "unsound", "slow", "late", "overloaded", "dead", "hung", "queue", "recovered")
    assert names(found) == OF_ANY | histogram_names(EVENT_TO_SLATE, "seren_answer_duration_seconds") | {
        f'seren_{name}_total{{call="{call}"}}' for name in calls for call in ("imagine", "score")
    } | {f'seren_answers_total{{tier="{tier}"}}' for tier in tiers} | {
        *(f'seren_model_swaps_total{{outcome="{outcome}"}}' for outcome in ("changed", "refused", "failed")),
        'seren_model_version{model=""}',
        "seren_model_swap_timestamp_seconds",
    } | {f'seren_tier_switches_total{{why="{why}"}}' for why in whys} | {
        f'seren_engine_restarts_total{{why="{why}"}}' for why in ("hung", "lost", "dead")
    } | {
        'seren_tier{tier="serengpt"}',
        'seren_tier_probes_total{outcome="passed"}',
        'seren_tier_probes_total{outcome="failed"}',
        'seren_unsound_answers_total{by="serengpt"}',
        'seren_slates_total{outcome="accepted"}',
        'seren_slates_total{outcome="repeated"}',
        'seren_slates_total{outcome="refused"}',
        'seren_slates_total{outcome="kept"}',
        'seren_slates_total{outcome="restored"}',
        'seren_slates_total{outcome="late"}',
        "seren_stale_slates_replaced_total",
        'seren_fenced_writes_total{what="slate"}',
        'seren_slate_items_total{place="slate"}',
        'seren_users_forgotten_total{by="request"}',
        'seren_requests_served_total{outcome="coalesced"}',
        "seren_users_waiting",
        "seren_requests_undone",
        "seren_oldest_request_age_seconds",
    }


async def test_every_worker_shows_its_memory(judging: JudgingWorker) -> None:
    assert samples(judging_registry(judging, await watched(judging), ModelCalls()))["process_resident_memory_bytes"] > 1e6


async def test_profile_worker_s_numbers_are_its_own(profiles: Callable[[], Awaitable[ProfilesWorker]]) -> None:
    worker = await profiles()
    records: list[Any] = [Record(0, "u"), Record(1, "v"), Record(1, "v")]
    await worker.take(Chunk(topics.EVENTS, 2, records, 9))
    found = samples(profiles_registry(worker, await watched(worker, {TP(topics.EVENTS, 2): 9})))
    assert found['seren_events_total{outcome="applied"}'] == 2
    assert found['seren_events_total{outcome="redelivered"}'] == 1
    assert found['seren_users_in_memory{partition="2"}'] == 2
    assert found['seren_users_dirty{partition="2"}'] == 2
    assert found['seren_events_unsaved{partition="2"}'] == 3  # records of chunks, whatever became of them
    assert found['seren_next_offset{partition="2"}'] == 2
    assert found['seren_watermark_timestamp_seconds{partition="2"}'] == 1.001
    assert found['seren_consumer_lag_records{partition="2",topic="behaviour-events"}'] == 7
    assert found['seren_event_time_lag_seconds{partition="2"}'] > 1e9  # of a log of 1970, while records wait
    assert found["seren_buffered_chunks"] == 3
    assert found['seren_partitions{state="owned"}'] == 1


async def test_waits_to_a_durable_profile_are_observed_at_the_checkpoint(redis_client: redis.asyncio.Redis) -> None:
    """Events of 99.0 s (broker) and 98.0 s (their own time), durable at 100 s; a third one moves event time."""
    worker = ProfilesWorker(
        knowledge=Knowledge([], max_tag_bytes=48),
        profiles=ProfileStore(redis_client, tenant="t"),
        partitions=PartitionStore(redis_client, tenant="t"),
        produce=accept,  # type: ignore[arg-type]
        commit=accept,
        rules=Rules(check_clock=True),
        limits=ProfilesLimits(checkpoint_s=1e9, checkpoint_events=3),
        clock=HandClock(),
    )
    await worker.take_over({TP(topics.EVENTS, 2)})
    await worker.take(Chunk(topics.EVENTS, 2, [LiveRecord(0, 98_000), LiveRecord(1, 98_000)], 3))  # type: ignore[list-item]
    before = samples(profiles_registry(worker, await watched(worker)))
    assert before["seren_event_to_profile_seconds_count"] == 0
    await worker.take(Chunk(topics.EVENTS, 2, [LiveRecord(2, 99_000)], 3))  # type: ignore[list-item]
    found = samples(profiles_registry(worker, await watched(worker)))
    assert found["seren_event_to_profile_seconds_count"] == 3
    assert found["seren_event_to_profile_seconds_sum"] == pytest.approx(3.0)
    assert found["seren_event_time_to_profile_seconds_sum"] == pytest.approx(2.0 + 2.0 + 1.0)
    assert found["seren_checkpoint_duration_seconds_count"] == 1
    assert found['seren_checkpoint_age_seconds{partition="2"}'] == 0
    assert found['seren_events_unsaved{partition="2"}'] == 0


class LiveRecord(Record):
    def __init__(self, offset: int, ts_ms: int) -> None:
        super().__init__(offset, "u")
        self.timestamp = 99_000
        self.value = codec.encode(Event(event_id=str(offset), user_id="u", type="visit", ts_ms=ts_ms))


async def test_writes_that_a_newer_owner_refuses_are_counted_by_what_they_were(
    profiles: Callable[[], Awaitable[ProfilesWorker]],
) -> None:
    zombie, _ = await profiles(), await profiles()
    await zombie.take(Chunk(topics.EVENTS, 2, [Record(0, "u")], 1))  # type: ignore[list-item]
    await zombie.release({TP(topics.EVENTS, 2)})
    found = samples(profiles_registry(zombie, await watched(zombie)))
    assert {name: found[f'seren_fenced_writes_total{{what="{name}"}}'] for name in ("timers", "profiles")} == {
        "timers": 1,  # a visit sets a trigger, whose timer is written first
        "profiles": 0,
    }
    assert found['seren_checkpoints_total{outcome="lost"}'] == 1


async def test_late_events_are_counted_against_event_time(profiles: Callable[[], Awaitable[ProfilesWorker]]) -> None:
    worker = await profiles()
    records = [Record(offset, "u", ts_ms) for offset, ts_ms in enumerate([100_000, 40_000, 39_999, 200_000, 139_999])]
    await worker.take(Chunk(topics.EVENTS, 2, records, 9))  # type: ignore[arg-type]
    assert samples(profiles_registry(worker, await watched(worker)))['seren_events_total{outcome="late"}'] == 2


async def test_oldest_request_s_age_is_since_its_topic_got_it(redis_client: redis.asyncio.Redis) -> None:
    worker = JudgingWorker(
        serve=lambda requests: [],
        slates=SlateStore(redis_client, tenant="t", hard_ttl_ms=1_000),
        produce=accept,  # type: ignore[arg-type]
        commit=accept,
        limits=JudgingLimits(),
        clock=HandClock(),
    )
    await worker.take_over({TP(topics.REQUESTS, 0)})
    request = PackedRequest(
        user_id="u",
        surface="home",
        reason="visit",
        as_of_ms=1,
        epoch=1,
        partition=0,
        offset=1,
        drift=1.0,
        last_asked_ms=-1,
        profile=encode(Profile()),
    )
    asked: Any = Record(0, "u")
    asked.partition = 0
    asked.timestamp, asked.value = 70_000, codec.encode_request(request)
    await worker.take(Chunk(topics.REQUESTS, 0, [asked], 1))
    found = samples(judging_registry(worker, await watched(worker, clock=HandClock()), ModelCalls()))
    assert found["seren_oldest_request_age_seconds"] == 30
    assert (found["seren_requests_undone"], found["seren_users_waiting"]) == (1, 1)


async def test_model_s_calls_are_counted_with_those_that_failed(judging: JudgingWorker) -> None:
    class Failing:
        model_id, prompt_version = "m", 1

        def imagine(self, requests: Any) -> Any:
            return [()] * len(requests)

        def score(self, requests: Any) -> Any:
            raise EngineDead("dead")

    calls = ModelCalls()
    engine = MeasuredEngine(Failing(), calls)
    assert engine.imagine([ImagineRequest(digest=Digest(), n=1, seed=1)]) == [()]
    with pytest.raises(EngineDead):
        engine.score([])
    found = samples(judging_registry(judging, await watched(judging), calls))
    assert found['seren_model_calls_total{call="imagine"}'] == found['seren_model_calls_total{call="score"}'] == 1
    assert found['seren_model_call_failures_total{call="imagine"}'] == 0
    assert found['seren_model_call_failures_total{call="score"}'] == 1


async def test_model_that_serves_and_its_changes_are_counted_and_told(judging: JudgingWorker) -> None:
    calls, watch = ModelCalls(), await watched(judging)
    calls.model.serves("serengpt@1b", version=3)
    calls.model.note(Change(2_000, 2, 3, "changed"))
    calls.model.note(Change(5_000, 3, 4, "refused", "not signed"))
    found = samples(judging_registry(judging, watch, calls))
    assert found['seren_model_version{model="serengpt@1b"}'] == 3
    assert [found[f'seren_model_swaps_total{{outcome="{outcome}"}}'] for outcome in OUTCOMES] == [1, 1, 0]
    assert found["seren_model_swap_timestamp_seconds"] == 5
    told = readiness(judging_vitals(judging, watch, calls.model), HealthPolicy()).body()["model"]
    assert (told["version"], told["tier"], told["tier_switches"]) == (3, "serengpt", [])
    assert [change["outcome"] for change in told["changes"]] == ["refused", "changed"]
    json.dumps(told)


def test_every_count_of_the_workers_has_a_metric() -> None:
    """What the code counts, read from the code, against what the tables name: nothing is counted in vain."""
    pattern = re.compile(r'counts\["(\w+)"\]')
    for modules, table in (
        ((profiles_agent, partition), metrics.PROFILE_COUNTERS),
        ((judging_agent, intake, answering, publishing), metrics.JUDGING_COUNTERS),
    ):
        counted = {name for module in modules for name in pattern.findall(_source(module))}
        named = {key for *_, keys in table for key in keys.values()}
        assert counted <= named, f"counted and never shown: {counted - named}"


def _source(module: Any) -> str:
    path = Path(module.__file__)
    return (path.parent / path.name.partition(".")[0]).with_suffix(".py").read_text(encoding="utf-8")  # compiled or not


async def test_wait_for_a_slate_is_observed_into_the_histogram(judging: JudgingWorker) -> None:
    for wait_s in (0.5, 0.5, 2.0):
        judging.event_to_slate_s.add(wait_s)
    found = samples(judging_registry(judging, await watched(judging), ModelCalls()))
    assert found[f"{EVENT_TO_SLATE}_count"] == 3
    assert found[f"{EVENT_TO_SLATE}_sum"] == pytest.approx(3.0)
    assert quantile(found, EVENT_TO_SLATE, 0.5) == pytest.approx(0.5, rel=0.2)
    assert quantile(found, EVENT_TO_SLATE, 1.0) == pytest.approx(2.0, rel=0.2)


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
