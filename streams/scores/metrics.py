"""What Prometheus may scrape of a score log. Read when it is scraped."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from streams.scores.log import ScoreLog

# what became of a record -> the log's count of it
_OUTCOMES = ("sent", "unsent", "refused", "unsound", "evicted")


class ScoresCollector(Collector):
    """A score log's hits, misses and size.

    Args:
        log: whose.
    """

    def __init__(self, log: ScoreLog) -> None:
        self._log = log

    def collect(self) -> Iterable[Metric]:
        """The metrics as they are now."""
        answers = CounterMetricFamily(
            "seren_score_log_answers",
            "Answers by whether the score log had them: of imagine the requests, of score the titles",
            labels=["verb", "outcome"],
        )
        for verb in ("imagine", "score"):
            for outcome in ("hit", "miss"):
                plural = {"hit": "hits", "miss": "misses"}[outcome]
                answers.add_metric([verb, outcome], self._log.counts[f"{verb}_{plural}"])
        records = CounterMetricFamily(
            "seren_score_log_records",
            "Records: sent to their topic or not, refused when read, unsound when answered, evicted from memory",
            labels=["outcome"],
        )
        for outcome in _OUTCOMES:
            records.add_metric([outcome], self._log.counts[outcome])
        yield answers
        yield records
        yield GaugeMetricFamily("seren_score_log_bytes", "Memory of the score log", value=self._log.entry_bytes)
        yield GaugeMetricFamily("seren_score_log_entries", "Records in memory", value=self._log.record_count)
