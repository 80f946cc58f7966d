"""What Prometheus may scrape of a worker. Names are public; every promise has a number here.

All of it is read when it is scraped: counts and distributions are the workers' own, gauges are looked up. No label holds a
user, an item or anything else without a small bound.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol, get_args

from faust.types import TP
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from models.tiers import Why
from streams import topics
from streams.agents.judging import JudgingWorker
from streams.agents.outages import CAUSES, Outages
from streams.agents.profiles import ProfilesWorker
from streams.agents.profiling import ProfilingWorker
from streams.engines.calls import ModelCalls
from streams.engines.changes import OUTCOMES, ModelChanges
from streams.observability.watch import Watch
from streams.scores.log import ScoreLog
from streams.scores.metrics import ScoresCollector

EVENT_TO_SLATE = "seren_event_to_slate_seconds"

# name of the metric, its label, what it counts, and the worker's counts by label value
Table = tuple[tuple[str, str, str, dict[str, str]], ...]
PROFILE_COUNTERS: Table = (
    (
        "seren_events",
        "outcome",
        "Behaviour events by what became of them; late (a minute behind event time) and unknown items are applied, too",
        {
            "applied": "events",
            "already_applied": "already_applied",
            "duplicate": "duplicates",
            "redelivered": "redelivered",
            "unknown_item": "unknown_items",
            "late": "late",
            "redriven": "redriven",
            "redriven_repeat": "redriven_repeats",
        },
    ),
    (
        "seren_labels",
        "kind",
        "Definition-1 samples and online flags",
        {"label": "labels", "related_strict": "related_strict", "related_loose": "related_loose"},
    ),
    (
        "seren_requests",
        "reason",
        "Requests for a slate",
        {"visit": "requests_visit", "search": "requests_search", "drift": "requests_drift", "failed": "requests_failed"},
    ),
    (
        "seren_checkpoints",
        "outcome",
        "Checkpoints; lost to a newer owner, or given up because a rebalance could wait no longer",
        {"done": "checkpoints", "lost": "partitions_lost", "abandoned": "releases_abandoned"},
    ),
    (
        "seren_requests_superseded",
        "by",
        "Requests that a newer one of the same user replaced before they were sent",
        {"newer": "requests_superseded"},
    ),
    (
        "seren_fenced_writes",
        "what",
        "Writes that Redis refused because a newer owner or slate was there",
        {
            "claim": "fenced_claim",
            "timers": "fenced_timers",
            "profiles": "fenced_profiles",
            "checkpoint": "fenced_checkpoint",
        },
    ),
    ("seren_users_forgotten", "by", "Users who were forgotten on request", {"request": "users_forgotten"}),
    ("seren_users_evicted", "to", "Users that went from memory to Redis", {"redis": "evicted"}),
    ("seren_attributes_refused", "by", "User attributes that a profile has no room for", {"room": "attributes_refused"}),
    (
        "seren_start_overs",
        "why",
        "Chunks that failed for a reason that nobody foresaw: their partition started over, one record at a time",
        {"bug": "start_overs"},
    ),
    ("seren_store_restarts", "store", "Restarts of the store that a worker noticed", {"redis": "store_restarts"}),
    (
        "seren_questions",
        "reason",
        "Questions about a profile for a language model",
        {reason: f"questions_{reason}" for reason in ("first", "drift", "age")},
    ),
    (
        "seren_inferred",
        "outcome",
        "Answers of a language model that were folded in; tags taken; traits left to the rules; refused: to no question, read "
        "again, on rejected or unknown evidence",
        {
            "folded": "inferred",
            "taken": "inferred_taken",
            "known": "inferred_known",
            "unasked": "inferred_unasked",
            "repeated": "inferred_repeated",
            "rejected_evidence": "inferred_rejected_evidence",
            "unknown_evidence": "inferred_unknown_evidence",
            "unknown_source": "inferred_unknown_source",
        },
    ),
)
_REFUSALS = (
    *("na", "long", "forbidden", "duplicate", "no_evidence", "unknown_evidence", "irrelevant", "family_cap", "top"),
    *("family", "malformed", "too_many", "failed"),
)
PROFILING_COUNTERS: Table = (
    (
        "seren_profiling_answers",
        "outcome",
        "Questions that were answered, that a newer one replaced, and answers that nobody wants any more",
        {"answered": "answers", "coalesced": "coalesced", "forgotten": "answers_forgotten"},
    ),
    ("seren_profiling_tags", "level", "Tags that were approved", {"short_term": "tags", "long_term": "traits"}),
    ("seren_profiling_refusals", "reason", "Tags that were not", {reason: f"refused_{reason}" for reason in _REFUSALS}),
)
JUDGING_COUNTERS: Table = (
    (
        "seren_slates",
        "outcome",
        "Slates by what the fence said; kept: no tier had an item, the older one stays; restored: "
        "after a Redis that lost them; late: the event was staler than a slate may be",
        {
            "accepted": "slates_accepted",
            "repeated": "slates_repeated",
            "refused": "slates_refused",
            "kept": "slates_kept",
            "restored": "slates_restored",
            "late": "slates_late",
        },
    ),
    ("seren_fenced_writes", "what", PROFILE_COUNTERS[5][2], {"slate": "slates_refused"}),
    ("seren_users_forgotten", "by", "Users whose slates were taken away on request", {"request": "users_forgotten"}),
    ("seren_slate_items", "place", "Items in published slates", {"slate": "items"}),
    (
        "seren_answers",
        "tier",
        "Answers to requests by what made them",
        {
            "serengpt": "answers_serengpt",
            "distilled": "answers_distilled",
            "category": "answers_category",
            "last_good": "answers_last_good",
            "nothing": "answers_nothing",
        },
    ),
    (
        "seren_tier_switches",
        "why",
        "Changes of the tier that answers, by what made it change; recovered: SerenGPT answers again",
        {why: f"tier_{why}" for why in get_args(Why)},
    ),
    (
        "seren_tier_probes",
        "outcome",
        "Questions to SerenGPT while a lower tier answers, to learn whether it is back",
        {"passed": "probes_passed", "failed": "probes_failed"},
    ),
    ("seren_unsound_answers", "by", "Requests whose scores SerenGPT made no numbers", {"serengpt": "unsound"}),
    ("seren_requests_served", "outcome", "Requests that needed no answer of their own", {"coalesced": "coalesced"}),
)
_RETRIES: Table = (
    ("seren_retries", "cause", "Tries that failed and were repeated", {cause: f"retries_{cause}" for cause in CAUSES}),
)
_LETTERS = "dead_letters_"


def profiles_registry(worker: ProfilesWorker, watch: Watch) -> CollectorRegistry:
    """A profile worker's metrics."""
    return _registry(_ProfilesCollector(worker, watch))


def judging_registry(
    worker: JudgingWorker, watch: Watch, calls: ModelCalls, scores: ScoreLog | None = None
) -> CollectorRegistry:
    """A judging worker's metrics, those of its model, and those of its score log if it has one."""
    registry = _registry(_JudgingCollector(worker, watch, calls))
    if scores is not None:
        registry.register(ScoresCollector(scores))
    return registry


def profiling_registry(worker: ProfilingWorker, watch: Watch) -> CollectorRegistry:
    """A profiling worker's metrics."""
    return _registry(_ProfilingCollector(worker, watch))


def _registry(collector: Collector) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(collector)
    ProcessCollector(registry=registry)  # memory, processor time, open files
    return registry


class _ProfilesCollector(Collector):
    def __init__(self, worker: ProfilesWorker, watch: Watch) -> None:
        self._worker = worker
        self._watch = watch

    def collect(self) -> Iterable[Metric]:
        worker = self._worker
        yield from _counters(PROFILE_COUNTERS + _RETRIES, worker.counts)
        yield worker.event_to_profile_s.family(
            "seren_event_to_profile_seconds", "From the broker's clock at an event until its profile is durable in Redis"
        )
        yield worker.event_time_to_profile_s.family(
            "seren_event_time_to_profile_seconds", "From an event's own time until its profile is durable; live topics alone"
        )
        yield worker.checkpoint_s.family("seren_checkpoint_duration_seconds", "Checkpoints, all tries until durable")
        yield from _of_partitions(worker, self._watch)
        yield from _of_any(worker, self._watch)


class _JudgingCollector(Collector):
    def __init__(self, worker: JudgingWorker, watch: Watch, calls: ModelCalls) -> None:
        self._worker = worker
        self._watch = watch
        self._calls = calls

    def collect(self) -> Iterable[Metric]:
        worker, calls = self._worker, self._calls
        yield from _counters(JUDGING_COUNTERS + _RETRIES, worker.counts)
        stale = CounterMetricFamily("seren_stale_slates_replaced", "Slates published over one that was past its soft expiry")
        stale.add_metric([], worker.stale_replaced)
        yield stale
        yield worker.event_to_slate_s.family(EVENT_TO_SLATE, "From the event that fired the trigger to the slate")
        yield worker.answer_s.family("seren_answer_duration_seconds", "Batches of requests, from model call to answers")
        yield _by_call("seren_model_calls", "Calls of SerenGPT", calls.calls)
        yield _by_call("seren_model_call_failures", "Calls of SerenGPT that failed as a whole", calls.failures)
        yield _by_call("seren_model_tokens", "Tokens that SerenGPT computed", calls.tokens)
        yield _by_call("seren_model_seconds", "Time in calls of SerenGPT", calls.seconds)
        restarts = CounterMetricFamily("seren_engine_restarts", "Processes of the engine that were replaced", labels=["why"])
        for why, count in calls.restarts.items():
            restarts.add_metric([why], count)
        yield restarts
        yield from _model(calls.model)
        tier = GaugeMetricFamily("seren_tier", "1: this tier answers now", labels=["tier"])
        for name in worker.tiers:
            tier.add_metric([name], float(name == worker.tier))
        yield tier
        yield GaugeMetricFamily("seren_users_waiting", "Users who wait for a slate", value=worker.waiting_count)
        undone = worker.undone()
        yield GaugeMetricFamily("seren_requests_undone", "Requests taken and not finished with", value=len(undone))
        asked_ms = min((one.asked_ms for one in undone), default=None)
        age_s = 0.0 if asked_ms is None else max(0.0, self._watch.clock.time() - asked_ms / 1000)
        yield GaugeMetricFamily("seren_oldest_request_age_seconds", "Since the oldest of them reached its topic", value=age_s)
        yield from _of_any(worker, self._watch)


def _model(model: ModelChanges) -> Iterator[Metric]:
    serving = GaugeMetricFamily(
        "seren_model_version", "The registry's version that serves, 0 where there is no registry", labels=["model"]
    )
    serving.add_metric([model.model_id], model.version or 0)
    yield serving
    swaps = CounterMetricFamily("seren_model_swaps", "Changes of the model that were tried, by outcome", labels=["outcome"])
    for outcome in OUTCOMES:
        swaps.add_metric([outcome], model.counts[outcome])
    yield swaps
    at_s = 0.0 if model.last is None else model.last.at_ms / 1000
    yield GaugeMetricFamily(
        "seren_model_swap_timestamp_seconds", "When a change was last tried, since 1970; 0: never", value=at_s
    )


class _ProfilingCollector(Collector):
    def __init__(self, worker: ProfilingWorker, watch: Watch) -> None:
        self._worker = worker
        self._watch = watch

    def collect(self) -> Iterable[Metric]:
        worker = self._worker
        yield from _counters(PROFILING_COUNTERS + _RETRIES, worker.counts)
        yield worker.answer_s.family("seren_profiling_duration_seconds", "Batches of questions, all tries until answered")
        yield GaugeMetricFamily("seren_profiling_users_waiting", "Users who wait for tags", value=worker.waiting_count)
        yield GaugeMetricFamily("seren_profiling_undone", "Questions taken and not finished with", value=len(worker.undone()))
        yield from _of_any(worker, self._watch)


class _Worker(Protocol):
    assigned: frozenset[int] | None
    outages: Outages

    def positions(self) -> dict[TP, int]: ...


def _of_partitions(worker: ProfilesWorker, watch: Watch) -> Iterator[Metric]:
    gauges = {
        name: GaugeMetricFamily(f"seren_{name}", text, labels=["partition"])
        for name, text in (
            ("users_in_memory", "Profiles in memory"),
            ("users_dirty", "Profiles with changes that are not in Redis yet"),
            ("users_unreadable", "Users whose stored profiles cannot be read"),
            ("requests_unsent", "Requests that fired and are not on their topic yet"),
            ("events_unsaved", "Records applied since the last checkpoint"),
            ("checkpoint_age_seconds", "Since the last checkpoint, or the takeover"),
            ("next_offset", "First offset not yet applied"),
            ("watermark_timestamp_seconds", "Event time, since 1970"),
            ("event_time_lag_seconds", "Event time behind the clock while records wait, else 0"),
        )
    }
    lags = watch.lags()
    for number, partition in list(worker.owned.items()):
        behind_s = watch.clock.time() - partition.watermark_ms / 1000
        values = {
            "users_in_memory": len(partition.residents),
            "users_dirty": len(partition.dirty),
            "users_unreadable": len(partition.unreadable),
            "requests_unsent": len(partition.requests),
            "events_unsaved": worker.unsaved_events(number),
            "checkpoint_age_seconds": worker.checkpoint_age_s(number),
            "next_offset": partition.next_offset,
            "watermark_timestamp_seconds": partition.watermark_ms / 1000,
            "event_time_lag_seconds": max(0.0, behind_s) if lags.get(TP(topics.EVENTS, number)) else 0.0,
        }
        for name, value in values.items():
            gauges[name].add_metric([str(number)], value)
    yield from gauges.values()


def _of_any(worker: _Worker, watch: Watch) -> Iterator[Metric]:
    lag = GaugeMetricFamily("seren_consumer_lag_records", "Records not yet applied or answered", labels=["topic", "partition"])
    for tp, records in sorted(watch.lags().items()):
        lag.add_metric([tp.topic, str(tp.partition)], records)
    partitions = GaugeMetricFamily("seren_partitions", "Partitions of this worker", labels=["state"])
    partitions.add_metric(["assigned"], len(worker.assigned or ()))
    partitions.add_metric(["owned"], len({tp.partition for tp in worker.positions()}))
    away, outage = worker.outages.away_s(), GaugeMetricFamily("seren_outage_seconds", "Away for so long", labels=["cause"])
    paused = CounterMetricFamily("seren_paused_seconds", "Time in which work waited", labels=["cause"])
    for cause in CAUSES:
        outage.add_metric([cause], away.get(cause, 0.0))
    for cause, seconds in worker.outages.paused_s.items():
        paused.add_metric([cause], seconds)
    yield from (lag, partitions, outage, paused)
    yield GaugeMetricFamily("seren_buffered_chunks", "Chunks between the consumer and the worker", value=watch.buffered())
    yield GaugeMetricFamily("seren_event_loop_lag_seconds", "Since the event loop last ran", value=watch.beat_age_s())


def _counters(table: Table, counts: Mapping[str, int]) -> Iterator[CounterMetricFamily]:
    for name, label, text, keys in table:
        family = CounterMetricFamily(name, text, labels=[label])
        for value, key in keys.items():
            family.add_metric([value], counts.get(key, 0))
        yield family
    letters = CounterMetricFamily("seren_dead_letters", "Messages that could not be used", labels=["error"])
    for key, count in sorted(list(counts.items())):
        if key.startswith(_LETTERS):
            letters.add_metric([key.removeprefix(_LETTERS)], count)
    yield letters


def _by_call(name: str, text: str, values: Mapping[str, float]) -> CounterMetricFamily:
    family = CounterMetricFamily(name, text, labels=["call"])
    for call, value in values.items():
        family.add_metric([call], value)
    return family
