"""Laws of spans that are really exported, over OTLP to a collector: each event's trace holds its answer."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from streams.observability.spans import spans_of

ID = "0af7651916cd43dd8448eb211c80319c"
CONTEXT = f"00-{ID}-b7ad6b7169203331-01".encode()

pytestmark = pytest.mark.otel


class Collector:
    """An OTLP collector that keeps what it is sent."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        self.services: set[str] = set()
        self._arrived = threading.Condition()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                collector.take(self.path, self.rfile.read(int(self.headers["Content-Length"])), self.headers)
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Says nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self._thread.start()

    def take(self, path: str, body: bytes, headers: Any) -> None:
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest  # noqa: PLC0415

        assert path == "/v1/traces"
        sent = ExportTraceServiceRequest.FromString(gzip.decompress(body) if headers.get("Content-Encoding") else body)
        with self._arrived:
            for resource in sent.resource_spans:
                self.services |= {one.value.string_value for one in resource.resource.attributes if one.key == "service.name"}
                self.spans += [span for scope in resource.scope_spans for span in scope.spans]
            self._arrived.notify_all()

    def wait_for(self, count: int) -> dict[str, Any]:
        with self._arrived:
            assert self._arrived.wait_for(lambda: len(self.spans) >= count, 20)
        return {span.name: span for span in self.spans}

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self._thread.join()


@pytest.fixture
def collector() -> Iterator[Collector]:
    made = Collector()
    yield made
    made.close()


def test_answer_is_a_span_of_the_event_s_own_trace(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint = f"http://127.0.0.1:{collector.server.server_address[1]}"
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
    spans = spans_of({"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint}, service="seren-judging")
    with spans.during("answer", {"seren.requests": 2}, contexts=[CONTEXT, b""]):
        pass
    with pytest.raises(ValueError, match="no"), spans.during("take chunk", {}, contexts=iter([CONTEXT] * 100)):
        raise ValueError("no")
    spans.of_traces("seren answer", [CONTEXT + b"\na=1", b""], begun_s=10.0, ended_s=12.5)
    found = collector.wait_for(3)
    assert collector.services == {"seren-judging"}
    answer, in_trace, chunk = found["answer"], found["seren answer"], found["take chunk"]
    assert [link.trace_id.hex() for link in answer.links] == [ID]
    assert answer.trace_id.hex() != ID
    assert (in_trace.trace_id.hex(), in_trace.parent_span_id.hex()) == (ID, "b7ad6b7169203331")
    assert (in_trace.start_time_unix_nano, in_trace.end_time_unix_nano) == (10_000_000_000, 12_500_000_000)
    assert in_trace.trace_state == "a=1"
    assert (len(chunk.links), chunk.status.code) == (32, 2)  # bounded; failed


def test_trace_that_was_not_sampled_gets_no_span(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint = f"http://127.0.0.1:{collector.server.server_address[1]}"
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
    spans = spans_of({"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint}, service="s")
    spans.of_traces("unsampled", [CONTEXT[:-1] + b"0"], begun_s=1.0, ended_s=2.0)
    with spans.during("later", {}):
        pass
    assert set(collector.wait_for(1)) == {"later"}
