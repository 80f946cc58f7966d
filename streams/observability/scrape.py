"""Reading a worker's metrics back: for the demo, the bench and the tests, which are their own Prometheus."""

from __future__ import annotations

import urllib.request
from collections.abc import Mapping

from prometheus_client.parser import text_string_to_metric_families

_SCRAPE_S = 5.0


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
