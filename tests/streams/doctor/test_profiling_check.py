"""Laws of the doctor's look at a language model's endpoint: it names what is wrong, and never the key."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager

import pytest

from streams.doctor.profiling import check_endpoint, check_profiling
from streams.profiling.settings import ProfilingEndpoint, ProfilingSettings
from tests.streams.engines.scripted_model import Reply, Scripted, scripted_model

LIST = json.dumps({"object": "list", "data": [{"id": "big", "object": "model"}, {"id": "small"}]}).encode()


def models(status: int, body: bytes) -> AbstractContextManager[Scripted]:
    """An endpoint that lists models."""
    return scripted_model(lambda asked: Reply(status if asked["path"] == "/v1/models" else 404, body))


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
    with models(status, body) as server:
        found = check_endpoint(server.url, model, "secret")
    assert found.status == expected
    assert words in found.detail
    assert "secret" not in found.detail + found.advice
    assert [asked["key"] for asked in server.asked] == ["Bearer secret"]


@pytest.mark.parametrize("url", ["", "file:///etc/passwd", "http://127.0.0.1:9/v1"])
def test_endpoint_that_is_away_or_none_fails_with_what_to_do(url: str) -> None:
    found = check_endpoint(url, "big", "")
    assert found.status == "failed"
    assert "profiling.endpoint.url" in found.advice


async def test_without_kafka_the_lag_is_skipped_and_the_local_model_is_well() -> None:
    found = await check_profiling("127.0.0.1:9", ProfilingSettings(), {})
    assert [(check.name, check.status) for check in found] == [("profiling model", "ok"), ("profiling lag", "skipped")]


async def test_key_comes_from_the_environment() -> None:
    with models(200, LIST) as server:
        settings = ProfilingSettings(model="endpoint", endpoint=ProfilingEndpoint(url=server.url, model="big"))
        found = await check_profiling("127.0.0.1:9", settings, {"PROFILING_API_KEY": "k"})
    assert found[0].status == "ok"
    assert [asked["key"] for asked in server.asked] == ["Bearer k"]
