"""Laws of the doctor's look at a language model's endpoint: it names what is wrong, and never the key."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from streams.doctor.profiling import check_endpoint, check_profiling
from streams.profiling.settings import ProfilingEndpoint, ProfilingSettings


@contextmanager
def models(status: int, body: bytes) -> Iterator[tuple[str, list[str | None]]]:
    """An endpoint that lists models, and the keys it was shown."""
    keys: list[str | None] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            keys.append(self.headers.get("Authorization"))
            self.send_response(status if self.path == "/v1/models" else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/v1", keys
        finally:
            server.shutdown()
            thread.join()


LIST = json.dumps({"object": "list", "data": [{"id": "big", "object": "model"}, {"id": "small"}]}).encode()


@pytest.mark.parametrize(
    ("status", "body", "model", "expected", "words"),
    [
        (200, LIST, "big", "ok", "big at"),
        (200, LIST, "huge", "failed", "no model 'huge'; it has big, small"),
        (401, b"", "big", "failed", "HTTP 401"),
        (200, b"<html>", "big", "failed", "malformed"),
    ],
)
def test_endpoint_is_well_when_it_has_the_model(status: int, body: bytes, model: str, expected: str, words: str) -> None:
    with models(status, body) as (url, keys):
        found = check_endpoint(url, model, "secret")
    assert found.status == expected
    assert words in found.detail
    assert "secret" not in found.detail + found.advice
    assert keys == ["Bearer secret"]


@pytest.mark.parametrize("url", ["", "file:///etc/passwd", "http://127.0.0.1:9/v1"])
def test_endpoint_that_is_away_or_none_fails_with_what_to_do(url: str) -> None:
    found = check_endpoint(url, "big", "")
    assert found.status == "failed"
    assert "profiling.endpoint.url" in found.advice


async def test_without_kafka_the_lag_is_skipped_and_the_local_model_is_well() -> None:
    found = await check_profiling("127.0.0.1:9", ProfilingSettings(), {})
    assert [(check.name, check.status) for check in found] == [("profiling model", "ok"), ("profiling lag", "skipped")]


async def test_key_comes_from_the_environment() -> None:
    with models(200, LIST) as (url, keys):
        settings = ProfilingSettings(model="endpoint", endpoint=ProfilingEndpoint(url=url, model="big"))
        found = await check_profiling("127.0.0.1:9", settings, {"PROFILING_API_KEY": "k"})
    assert found[0].status == "ok"
    assert keys == ["Bearer k"]
