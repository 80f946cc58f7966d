"""Laws of spans: none without a wish for them; those that are exported are in tests/otel."""

from __future__ import annotations

import logging
import sys
from types import SimpleNamespace

import pytest

from streams.observability.spans import NoSpans, contexts_of, spans_of

ID = "0af7651916cd43dd8448eb211c80319c"
CONTEXT = f"00-{ID}-b7ad6b7169203331-01".encode()
ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}


@pytest.mark.parametrize(
    "environment",
    [{}, ENDPOINT | {"OTEL_SDK_DISABLED": "true"}, ENDPOINT | {"OTEL_TRACES_EXPORTER": "none"}, {"OTEL_SERVICE_NAME": "x"}],
)
def test_nobody_who_wants_no_spans_gets_any(environment: dict[str, str]) -> None:
    spans = spans_of(environment, service="s")
    assert isinstance(spans, NoSpans)
    with spans.during("x", {}, contexts=iter([CONTEXT])):
        spans.of_traces("x", [CONTEXT], begun_s=0.0, ended_s=1.0)


def test_wish_without_the_extra_is_a_warning_that_names_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with caplog.at_level(logging.WARNING):
        assert isinstance(spans_of(ENDPOINT, service="s"), NoSpans)
    assert "install seren[otel]" in caplog.text


def test_contexts_of_a_chunk_are_those_of_its_records_that_carry_one() -> None:
    records = [
        SimpleNamespace(headers=()),
        SimpleNamespace(headers=[("traceparent", CONTEXT)]),
        SimpleNamespace(headers=[("traceparent", b"?")]),
    ]
    assert list(contexts_of(records)) == [CONTEXT, b""]
