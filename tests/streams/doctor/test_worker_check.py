"""Laws of asking a worker for its health: its own words come through, and whatever else is there is a failed check."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from click.testing import CliRunner
from prometheus_client import CollectorRegistry

from streams.cli.doctor import doctor
from streams.doctor.worker import check_worker
from streams.observability.health import HealthPolicy, Vitals
from streams.observability.monitor import Monitor


def monitor(**known: Any) -> Monitor:
    usual: dict[str, Any] = {"kind": "judging", "assigned": frozenset({1}), "owned": frozenset({1}), "beat_age_s": 0.0}
    made = Vitals(**(usual | known))
    return Monitor(host="127.0.0.1", port=0, registry=CollectorRegistry(), vitals=lambda: made, policy=HealthPolicy())


def test_worker_that_is_well_is_ok_in_its_own_words() -> None:
    endpoint = monitor()
    url = f"http://127.0.0.1:{endpoint.port}"
    checks = check_worker(url + "/")
    endpoint.close()
    assert [(check.name, check.status, check.detail) for check in checks] == [
        (f"livez of {url}", "ok", "judging: owns 1 of 1 assigned partitions"),
        (f"readyz of {url}", "ok", "judging: owns 1 of 1 assigned partitions"),
    ]


def test_worker_that_is_not_ready_says_why_and_what_to_do() -> None:
    endpoint = monitor(away_s={"redis": 40.0})
    live, ready = check_worker(f"http://127.0.0.1:{endpoint.port}")
    endpoint.close()
    assert (live.status, ready.status) == ("ok", "failed")
    assert "redis: away for 40 s" in ready.detail
    assert ready.advice


def test_model_that_serves_is_told_with_its_tier_and_its_last_change() -> None:
    switch = {"at_ms": 0, "before": "serengpt", "after": "distilled", "why": "hung"}
    change = {"at_ms": 60_000, "before": 3, "after": 4, "outcome": "changed", "why": ""}
    model = {"model_id": "m@1", "version": 4, "tier": "distilled", "tier_switches": [switch], "changes": [change]}
    endpoint = monitor(model=model)
    *_, found = check_worker(f"http://127.0.0.1:{endpoint.port}")
    endpoint.close()
    assert (found.name.partition(" of ")[0], found.status) == ("model", "ok")
    assert found.detail == (
        "version 4, m@1; tier distilled since 1970-01-01 00:00:00 UTC (hung); 3 to 4 changed at 1970-01-01 00:01:00 UTC"
    )


def test_change_that_was_refused_is_a_failed_check_with_its_reason() -> None:
    change = {"at_ms": 0, "before": 3, "after": 4, "outcome": "refused", "why": "model version 4: not signed"}
    model = {"model_id": "m@1", "version": 3, "tier": "serengpt", "tier_switches": [], "changes": [change]}
    endpoint = monitor(model=model)
    *_, found = check_worker(f"http://127.0.0.1:{endpoint.port}")
    endpoint.close()
    assert found.status == "failed"
    assert found.detail.endswith("3 to 4 refused at 1970-01-01 00:00:00 UTC: model version 4: not signed")
    assert "roll back" in found.advice


@pytest.fixture
def stranger(request: pytest.FixtureRequest) -> Iterator[str]:
    """Some other HTTP server, which answers everything with (code, body)."""
    code, body = request.param

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(code)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize(
    "stranger", [(200, b"hello"), (200, b"[]"), (200, b'{"ok":true}'), (404, b"{}"), (500, b""), (503, b"")], indirect=True
)
def test_whatever_else_answers_there_is_a_failed_check(stranger: str) -> None:
    assert [check.status for check in check_worker(stranger)] == ["failed", "failed"]


def test_nobody_there_is_a_failed_check() -> None:
    assert [check.status for check in check_worker("http://127.0.0.1:1")] == ["failed", "failed"]


def test_doctor_refuses_what_is_no_http_address() -> None:
    ended = CliRunner().invoke(doctor, ["--worker", "file:///etc/passwd"])
    assert ended.exit_code == 2
    assert "is no http://HOST:PORT" in ended.output
