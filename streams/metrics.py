"""What Prometheus may scrape of a worker. Names are public; every promise has a number here."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterable, Iterator, Mapping

from prometheus_client import CollectorRegistry, Histogram, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from streams.agents.judging import JudgingWorker
from streams.agents.profiles import ProfilesWorker

EVENT_TO_SLATE = "seren_event_to_slate_seconds"
# From 10 ms to about 12 minutes in steps of 20 %: a quantile read from these buckets is right to a tenth.
_BUCKETS = tuple(round(0.01 * 1.2**step, 4) for step in range(62))

# name of the metric, its label, what it counts, and the worker's counts by label value
_PROFILE_COUNTERS: tuple[tuple[str, str, str, dict[str, str]], ...] = (
    (
        "seren_events",
        "outcome",
        "Behaviour events by what became of them",
        {
            "applied": "events",
            "already_applied": "already_applied",
            "duplicate": "duplicates",
            "redelivered": "redelivered",
            "unknown_item": "unknown_items",
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
        {"visit": "requests_visit", "search": "requests_search", "drift": "requests_drift"},
    ),
    (
        "seren_checkpoints",
        "outcome",
        "Checkpoints; lost to a newer owner, or given up because a rebalance could wait no longer",
        {"done": "checkpoints", "retried": "retries", "lost": "partitions_lost", "abandoned": "releases_abandoned"},
    ),
    (
        "seren_requests_superseded",
        "by",
        "Requests that a newer one of the same user replaced before they were sent",
        {"newer": "requests_superseded"},
    ),
    ("seren_users_evicted", "to", "Users that went from memory to Redis", {"redis": "evicted"}),
    ("seren_attributes_refused", "by", "User attributes that a profile has no room for", {"room": "attributes_refused"}),
    (
        "seren_start_overs",
        "why",
        "Chunks that failed for a reason that nobody foresaw: their partition started over, one record at a time",
        {"bug": "start_overs"},
    ),
    ("seren_store_restarts", "store", "Restarts of the store that a worker noticed", {"redis": "store_restarts"}),
)
_JUDGING_COUNTERS: tuple[tuple[str, str, str, dict[str, str]], ...] = (
    (
        "seren_slates",
        "outcome",
        "Slates by what the fence said; restored after a restart of Redis that lost them",
        {
            "accepted": "slates_accepted",
            "repeated": "slates_repeated",
            "refused": "slates_refused",
            "restored": "slates_restored",
        },
    ),
    ("seren_slate_items", "place", "Items in published slates", {"slate": "items"}),
    (
        "seren_requests_served",
        "outcome",
        "Requests that needed no answer of their own, or another try",
        {"coalesced": "coalesced", "retried": "retries"},
    ),
)
_LETTERS = "dead_letters_"
_SCRAPE_S = 5.0


def observe_profiles(worker: ProfilesWorker, *, host: str, port: int) -> None:
    """Opens a profile worker's metrics; port 0 opens none."""
    _open(_ProfilesCollector(worker), host, port)


def observe_judging(worker: JudgingWorker, *, host: str, port: int) -> None:
    """Opens a judging worker's metrics; port 0 opens none."""
    registry = _open(_JudgingCollector(worker), host, port)
    worker.observe_wait_s = Histogram(
        EVENT_TO_SLATE, "From the event that fired the trigger to the slate", buckets=_BUCKETS, registry=registry
    ).observe


def _open(collector: Collector, host: str, port: int) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(collector)
    if port:
        start_http_server(port, addr=host, registry=registry)
    return registry


class _ProfilesCollector(Collector):
    def __init__(self, worker: ProfilesWorker) -> None:
        self._worker = worker

    def collect(self) -> Iterable[Metric]:
        yield from _counters(_PROFILE_COUNTERS, self._worker.counts)
        users = GaugeMetricFamily("seren_users_in_memory", "Profiles in memory", labels=["partition"])
        dirty = GaugeMetricFamily("seren_users_dirty", "Profiles with changes that are not in Redis yet", labels=["partition"])
        unreadable = GaugeMetricFamily(
            "seren_users_unreadable", "Users whose stored profiles cannot be read", labels=["partition"]
        )
        position = GaugeMetricFamily("seren_next_offset", "First offset not yet applied", labels=["partition"])
        watermark = GaugeMetricFamily("seren_watermark_ms", "Event time", labels=["partition"])
        for number, partition in list(self._worker.owned.items()):
            users.add_metric([str(number)], len(partition.residents))
            dirty.add_metric([str(number)], len(partition.dirty))
            unreadable.add_metric([str(number)], len(partition.unreadable))
            position.add_metric([str(number)], partition.next_offset)
            watermark.add_metric([str(number)], partition.watermark_ms)
        yield from (users, dirty, unreadable, position, watermark)


class _JudgingCollector(Collector):
    def __init__(self, worker: JudgingWorker) -> None:
        self._worker = worker

    def collect(self) -> Iterable[Metric]:
        yield from _counters(_JUDGING_COUNTERS, self._worker.counts)
        yield GaugeMetricFamily("seren_users_waiting", "Users who wait for a slate", value=self._worker.waiting_count)


def _counters(
    table: tuple[tuple[str, str, str, dict[str, str]], ...], counts: dict[str, int]
) -> Iterator[CounterMetricFamily]:
    for name, label, text, keys in table:
        family = CounterMetricFamily(name, text, labels=[label])
        for value, key in keys.items():
            family.add_metric([value], counts.get(key, 0))
        yield family
    letters = CounterMetricFamily("seren_dead_letters", "Messages that could not be used", labels=["error"])
    for key, count in sorted(counts.items()):
        if key.startswith(_LETTERS):
            letters.add_metric([key.removeprefix(_LETTERS)], count)
    yield letters


def scrape(url: str) -> dict[str, float]:
    """The samples of a worker's metrics, by name and labels as Prometheus writes them.

    Raises:
        OSError: nobody answers there.

    Example of a key: `seren_events_total{outcome="applied"}`.
    """
    with urllib.request.urlopen(url, timeout=_SCRAPE_S) as answer:  # noqa: S310  # a loopback address that we opened
        text = answer.read().decode()
    samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(f'{name}="{value}"' for name, value in sorted(sample.labels.items()))
            samples[f"{sample.name}{{{labels}}}" if labels else sample.name] = float(sample.value)
    return samples


def quantile(samples: Mapping[str, float], name: str, share: float) -> float | None:
    """The value below which `share` of a histogram lies, interpolated inside its bucket; None when it is empty.

    Example:
        Of four observations two are up to 1 and two between 1 and 3: the 75th percentile is in the middle between.

        >>> quantile({'w_bucket{le="1.0"}': 2.0, 'w_bucket{le="3.0"}': 4.0, 'w_bucket{le="+Inf"}': 4.0}, "w", 0.75)
        2.0
    """
    prefix = f'{name}_bucket{{le="'
    buckets = sorted((float(key[len(prefix) : -2]), count) for key, count in samples.items() if key.startswith(prefix))
    if not buckets or buckets[-1][1] == 0:
        return None
    wanted = share * buckets[-1][1]
    lower, below = 0.0, 0.0
    for upper, count in buckets:
        if count >= wanted and count > below:  # an empty bucket has no value, not even for a share of 0
            return lower if upper == float("inf") else lower + (upper - lower) * (wanted - below) / (count - below)
        lower, below = upper, count
    return lower
