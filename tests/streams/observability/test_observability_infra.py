"""Dashboard, alerts and probes speak of what the workers really have: metrics, label values, paths and configuration keys."""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio
import yaml
from faust.types import TP
from prometheus_client import CollectorRegistry

from streams import topics
from streams.agents.judging import JudgingWorker
from streams.agents.limits import JudgingLimits, ProfilesLimits, ProfilingLimits
from streams.agents.profiles import ProfilesWorker
from streams.agents.profiling import ProfilingWorker
from streams.config import PREFIX, Settings, load_settings
from streams.engines.calls import ModelCalls
from streams.knowledge import Knowledge
from streams.observability.metrics import judging_registry, profiles_registry, profiling_registry
from streams.observability.watch import Watch
from streams.partition import Rules
from streams.scores.log import ScoreLog
from streams.slates.store import SlateStore
from streams.state import PartitionStore, ProfileStore

INFRA = Path(__file__).parents[3] / "infra"
README = INFRA / "README.md"
DASHBOARD = INFRA / "dashboards" / "seren.json"
ALERTS = INFRA / "prometheus" / "alerts.yaml"
MANIFESTS = sorted((INFRA / "kubernetes").glob("*.yaml"))
OTHERS = {"up"}  # Prometheus's own


class Ports:
    async def ping(self) -> None:
        """Answers."""

    async def ends(self, partitions: Iterable[TP]) -> Mapping[TP, int]:
        return dict.fromkeys(partitions, 1)


async def accept(*_: Any, **__: Any) -> bool:
    """Stands for the broker."""
    return True


@pytest.fixture
async def exported(redis_client: redis.asyncio.Redis) -> dict[str, dict[str, set[str]]]:
    """Every sample name of both workers, with the values of each label."""
    profiles = ProfilesWorker(
        knowledge=Knowledge([], max_tag_bytes=48),
        profiles=ProfileStore(redis_client, tenant="t"),
        partitions=PartitionStore(redis_client, tenant="t"),
        produce=accept,  # type: ignore[arg-type]
        commit=accept,
        rules=Rules(),
        limits=ProfilesLimits(),
    )
    judging = JudgingWorker(
        serve=lambda _: [],
        slates=SlateStore(redis_client, tenant="t", hard_ttl_ms=1_000),
        produce=accept,  # type: ignore[arg-type]
        commit=accept,
        limits=JudgingLimits(),
    )
    profiling = ProfilingWorker(infer=lambda _: [], produce=accept, commit=accept, limits=ProfilingLimits())  # type: ignore[arg-type]
    await profiles.take_over({TP(topics.EVENTS, 0)})
    profiles.counts = Counter(dead_letters_DecodeError=1)
    found: dict[str, dict[str, set[str]]] = {}
    for worker in (profiles, judging, profiling):
        watch = Watch(worker, Ports(), clock=time)
        await watch.look()
        if worker is profiling:
            _collect(profiling_registry(profiling, watch), found)
        elif worker is profiles:
            _collect(profiles_registry(profiles, watch), found)
        else:
            _collect(judging_registry(judging, watch, ModelCalls(), ScoreLog(cache_bytes=0)), found)
    return found


def _collect(registry: CollectorRegistry, found: dict[str, dict[str, set[str]]]) -> None:
    for family in registry.collect():
        for sample in family.samples:
            labels = found.setdefault(sample.name, {})
            for name, value in sample.labels.items():
                labels.setdefault(name, set()).add(value)


def expressions() -> Iterator[str]:
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for target in panel.get("targets", ()):
            yield target["expr"]
    for rule in rules():
        yield rule["expr"]


def rules() -> list[dict[str, Any]]:
    [group] = yaml.safe_load(ALERTS.read_text())["groups"]
    return list(group["rules"])


async def test_dashboard_and_alerts_ask_only_for_metrics_that_are_there(exported: dict[str, Any]) -> None:
    asked = {name for text in expressions() for name in re.findall(r"\b(?:seren_\w+|process_\w+|up)\b", text)}
    assert len(asked) > 25
    assert asked - OTHERS <= exported.keys(), "asked for and not exported"


async def test_dashboard_and_alerts_name_only_label_values_that_are_there(exported: dict[str, Any]) -> None:
    for text in expressions():
        for name, selector in re.findall(r"(\bseren_\w+)\{([^}]*)\}", text):
            for label, value in re.findall(r'(\w+)!?="([^"]*)"', selector):
                assert value in exported[name][label], f"{name}: {label}={value}"


async def test_every_grouping_is_by_a_label_of_the_metric(exported: dict[str, Any]) -> None:
    scraped = {"instance", "job", "le"}
    for text in expressions():
        for labels, name in re.findall(r"by \(([\w, ]+)\) \((?:rate\(|increase\()?(seren_\w+)", text):
            assert set(labels.split(", ")) - scraped <= exported[name].keys(), text


async def test_table_of_metrics_names_every_metric_and_no_other(exported: dict[str, Any]) -> None:
    lines = re.findall(r"^\| (`seren_[^|]+) \|", README.read_text(), flags=re.MULTILINE)
    table = {name for line in lines for name in re.findall(r"seren_\w+", line)}
    families = {re.sub(r"_(bucket|count|sum)$", "", name) for name in exported if name.startswith("seren_")}
    assert table == families


def test_expressions_have_balanced_brackets() -> None:
    for text in expressions():
        for pair in ("()", "{}", "[]"):
            assert text.count(pair[0]) == text.count(pair[1]), text


def test_alerts_have_a_name_of_their_own_a_severity_and_a_summary() -> None:
    names = [rule["alert"] for rule in rules()]
    assert len(set(names)) == len(names)
    for rule in rules():
        assert rule["labels"]["severity"] in {"page", "ticket"}
        assert rule["annotations"]["summary"]


def test_dashboard_s_panels_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda path: path.stem)
def test_manifest_sets_known_keys_and_probes_paths_that_are_served(manifest: Path) -> None:
    worker, budget = yaml.safe_load_all(manifest.read_text())
    [container] = worker["spec"]["template"]["spec"]["containers"]
    assert container["args"] == ["worker", manifest.stem]
    environment = {one["name"]: one.get("value") or "redis://of-a-secret:6379/0" for one in container["env"]}
    assert all(name.startswith(PREFIX) for name in environment)
    settings = load_settings(None, environment)  # an unknown key would be an error
    assert settings.metrics.port == container["ports"][0]["containerPort"]
    assert settings.metrics.host == "0.0.0.0"
    probes = {name: container[name]["httpGet"]["path"] for name in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert probes == {"startupProbe": "/livez", "livenessProbe": "/livez", "readinessProbe": "/readyz"}
    labels = worker["spec"]["template"]["metadata"]["labels"]
    assert labels == worker["spec"]["selector"]["matchLabels"] == budget["spec"]["selector"]["matchLabels"]


def test_grace_period_of_profiles_covers_the_last_checkpoint() -> None:
    worker, _ = yaml.safe_load_all((INFRA / "kubernetes" / "profiles.yaml").read_text())
    assert worker["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] > Settings().profiles.release_s
