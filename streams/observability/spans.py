"""Spans of a worker's work: a chunk taken, a checkpoint, a batch answered; and in each event's own trace, its answer.

They are made where the extra `otel` is installed and the standard `OTEL_*` variables name an endpoint for OTLP over HTTP; else
nothing is imported, and nothing is done. The trace context travels without any of this (`streams.observability.tracing`).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import islice
from typing import TYPE_CHECKING, Protocol

from streams.observability.tracing import PARENT_HEADER, STATE_HEADER, context_of, headers_of

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Tracer

logger = logging.getLogger(__name__)

_LINKS = 32  # of a span; OpenTelemetry's own bound is 128, and nobody reads so many
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")

Attributes = Mapping[str, str | int]


class Spans(Protocol):
    """Where spans go."""

    def during(self, name: str, attributes: Attributes, *, contexts: Iterable[bytes] = ()) -> AbstractContextManager[None]:
        """A span for as long as the block lasts, linked to traces."""

    def of_traces(self, name: str, contexts: Iterable[bytes], *, begun_s: float, ended_s: float) -> None:
        """One span in each of these traces, of work that was done for all of them together; seconds since 1970."""


class NoSpans:
    """Makes none."""

    def during(self, name: str, attributes: Attributes, *, contexts: Iterable[bytes] = ()) -> AbstractContextManager[None]:
        """Does nothing."""
        return nullcontext()

    def of_traces(self, name: str, contexts: Iterable[bytes], *, begun_s: float, ended_s: float) -> None:
        """Does nothing."""


class TracedSpans:
    """Makes spans.

    Args:
        tracer: OpenTelemetry's.
    """

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    @contextmanager
    def _open(self, name: str, attributes: Attributes, contexts: Iterable[bytes]) -> Iterator[None]:
        from opentelemetry.trace import Link, get_current_span  # noqa: PLC0415 - of an extra

        parents = (get_current_span(_extracted(context)).get_span_context() for context in contexts if context)
        links = [Link(parent) for parent in islice(parents, _LINKS)]
        with self._tracer.start_as_current_span(name, attributes=dict(attributes), links=links):
            yield

    def during(self, name: str, attributes: Attributes, *, contexts: Iterable[bytes] = ()) -> AbstractContextManager[None]:
        """See `Spans`; an error of the block ends the span as failed."""
        return self._open(name, attributes, contexts)

    def of_traces(self, name: str, contexts: Iterable[bytes], *, begun_s: float, ended_s: float) -> None:
        """See `Spans`."""
        for context in contexts:
            if context:
                span = self._tracer.start_span(name, context=_extracted(context), start_time=int(begun_s * 1e9))
                span.end(int(ended_s * 1e9))


def contexts_of(records: Sequence[object]) -> Iterator[bytes]:
    """The contexts of a chunk's records, one by one, for whoever needs a few."""
    return (context_of(headers) for record in records if (headers := getattr(record, "headers", ())))


def spans_of(environment: Mapping[str, str], *, service: str) -> Spans:
    """Spans where OpenTelemetry is wanted and there.

    Args:
        environment: its endpoint, `OTEL_SDK_DISABLED` and `OTEL_TRACES_EXPORTER` are read here, the rest by OpenTelemetry.
        service: the name of the service where `OTEL_SERVICE_NAME` gives none.
    """
    is_disabled = environment.get("OTEL_SDK_DISABLED", "").lower() == "true"
    wanted = any(environment.get(name) for name in _ENDPOINTS) and environment.get("OTEL_TRACES_EXPORTER", "otlp") == "otlp"
    if is_disabled or not wanted:
        return NoSpans()
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415 - of an extra
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    except ImportError as error:
        logger.warning("OTEL_* variables ask for spans, and %s is missing: install seren[otel]", error.name)
        return NoSpans()
    named = {} if environment.get("OTEL_SERVICE_NAME") else {"service.name": service}
    provider = TracerProvider(resource=Resource.create(named))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return TracedSpans(provider.get_tracer("seren"))


def _extracted(context: bytes) -> Context:
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator  # noqa: PLC0415 - of an extra

    carried = {name: value.decode() for name, value in headers_of(context) if name in (PARENT_HEADER, STATE_HEADER)}
    return TraceContextTextMapPropagator().extract(carried)
