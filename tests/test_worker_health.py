"""A real worker's health, asked over HTTP: ready when it owns partitions, not while Redis hangs; live until it is stuck."""

from __future__ import annotations

import json
import os
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from streams.demo.servers import Addresses, Servers, write_config

WAIT_S = 90.0
# An answer of Redis that does not come counts as its absence after 5 s; then more than 1 s of it is too much.
BOUNDS = """
[health]
away_s = 1
beat_s = 3
"""

# Read by Python at its start: the signal makes the main thread, where the event loop runs, sleep.
STUCK = f"""
import signal, time
signal.signal({int(signal.SIGRTMIN)}, lambda *_: time.sleep({WAIT_S}))
"""

pytestmark = pytest.mark.timeout(240)


def ask(url: str) -> tuple[int, dict[str, Any]]:
    """The endpoint's answer; 0 while there is none."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())
    except OSError:
        return 0, {}


def until(url: str, reached: Callable[[int, dict[str, Any]], bool]) -> tuple[int, dict[str, Any]]:
    deadline = time.monotonic() + WAIT_S
    while not reached(*(answer := ask(url))):
        assert time.monotonic() < deadline, answer
        time.sleep(0.2)
    return answer


def test_worker_is_ready_when_it_can_work_and_live_until_it_is_stuck(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "redis").mkdir()
    (tmp_path / "sitecustomize.py").write_text(STUCK)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with Servers(tmp_path, Addresses(), print) as servers:
        config = write_config(tmp_path, servers, start_ms=0)
        config.write_text(config.read_text() + BOUNDS)
        servers.start_worker("profiles", config)
        [worker] = servers.workers("profiles")
        base = worker.metrics_url.removesuffix("/metrics")

        _, ready = until(f"{base}/readyz", lambda code, _: code == 200)
        assert ready["state"] == "profiles: owns 4 of 4 assigned partitions"

        os.kill(servers.redis_pid, signal.SIGSTOP)
        try:
            _, hanging = until(f"{base}/readyz", lambda code, _: code == 503)
            assert [reason.split(":")[0] for reason in hanging["reasons"]] == ["redis"]
            assert ask(f"{base}/livez")[0] == 200  # a restart would not bring Redis back
        finally:
            os.kill(servers.redis_pid, signal.SIGCONT)
        until(f"{base}/readyz", lambda code, _: code == 200)

        assert ask(f"{base}/livez")[0] == 200
        os.kill(worker.process.pid, signal.SIGRTMIN)  # see STUCK
        _, stuck = until(f"{base}/livez", lambda code, _: code == 503)
        assert [reason.split(":")[0] for reason in stuck["reasons"]] == ["event loop"]
        worker.process.kill()  # asleep, it would not hear a request to end
