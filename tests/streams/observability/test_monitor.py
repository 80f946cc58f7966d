"""Laws of the endpoint: it answers with reasons, also while the event loop is stuck, and its port is no secret."""

from __future__ import annotations

import json
import logging
import socket
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Gauge

from streams.observability.health import HealthPolicy, Vitals
from streams.observability.monitor import Monitor
from streams.observability.scrape import scrape

HOST = "127.0.0.1"


class Body:
    """A worker as the endpoint sees it."""

    def __init__(self) -> None:
        self.beat_age_s = 0.0
        self.asked: Counter[str] = Counter()

    def vitals(self) -> Vitals:
        self.asked["vitals"] += 1
        return Vitals(kind="judging", assigned=frozenset({1}), owned=frozenset({1}), beat_age_s=self.beat_age_s)


@pytest.fixture
def body() -> Body:
    return Body()


Open = Callable[..., Monitor]


@pytest.fixture
def opened(body: Body) -> Iterator[Open]:
    monitors: list[Monitor] = []

    def made(port: int = 0) -> Monitor:
        registry = CollectorRegistry()
        Gauge("seren_g", "one", registry=registry).set(7)
        policy = HealthPolicy(beat_s=5.0)
        monitors.append(Monitor(host=HOST, port=port, registry=registry, vitals=body.vitals, policy=policy))
        return monitors[-1]

    yield made
    for monitor in monitors:
        monitor.close()


def get(monitor: Monitor, path: str) -> tuple[int, Any]:
    try:
        with urllib.request.urlopen(f"http://{HOST}:{monitor.port}{path}", timeout=10) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_healthy_worker_answers_200_and_says_what_it_has(opened: Open) -> None:
    monitor = opened()
    for path in ("/livez", "/readyz", "/livez/", "/readyz?verbose"):
        code, said = get(monitor, path)
        assert (code, said["ok"], said["state"]) == (200, True, "judging: owns 1 of 1 assigned partitions")


async def test_stuck_event_loop_is_told_by_the_endpoint_while_it_is_stuck(opened: Open, body: Body) -> None:
    """This very test holds the event loop up while it asks."""
    monitor = opened()
    body.beat_age_s = 5.1
    for path in ("/livez", "/readyz"):
        code, said = get(monitor, path)
        assert code == 503
        assert json.loads(said)["reasons"] == ["event loop: time since it last ran"]


def test_metrics_are_served_beside(opened: Open) -> None:
    assert scrape(f"http://{HOST}:{opened().port}/metrics")["seren_g"] == 7


def test_other_paths_are_404_and_name_those_that_are_there(opened: Open) -> None:
    code, said = get(opened(), "/")
    assert code == 404
    assert "/metrics, /livez, /readyz" in said


def test_free_port_is_written_to_the_log(opened: Open, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        monitor = opened()
    assert monitor.port > 0
    assert f"http://{HOST}:{monitor.port}" in caplog.text


def test_taken_port_is_an_error_and_not_silence(opened: Open) -> None:
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        with pytest.raises(OSError, match="in use"):
            opened(taken.getsockname()[1])


def test_client_that_hangs_up_in_the_middle_harms_nobody(opened: Open) -> None:
    monitor = opened()
    with socket.create_connection((HOST, monitor.port)) as client:
        client.sendall(b"GET /liv")
    assert get(monitor, "/livez")[0] == 200
