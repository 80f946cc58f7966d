"""The HTTP endpoint of a worker: `/metrics`, `/livez`, `/readyz`, and what is behind the two.

Threads of its own serve it, so it answers when the event loop is stuck, which is what it is for.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from streams.agents.judging import JudgingWorker
from streams.agents.profiles import ProfilesWorker
from streams.agents.profiling import ProfilingWorker
from streams.engines.changes import ModelChanges
from streams.observability.health import HealthPolicy, Report, Vitals, liveness, readiness
from streams.observability.watch import Watch

logger = logging.getLogger(__name__)

_CLIENT_S = 10.0  # a client that sends nothing for so long is hung up on
_JSON = "application/json"

Page = Callable[[], tuple[int, str, bytes]]


class Monitor:
    """A listening endpoint.

    Args:
        host: where to listen.
        port: 0 takes a free one; `port` says which.
        registry: what `/metrics` shows.
        vitals: the worker at this moment; called in a thread of the endpoint.
        policy: how long is too long.

    Raises:
        OSError: the port is taken.
    """

    def __init__(
        self, *, host: str, port: int, registry: CollectorRegistry, vitals: Callable[[], Vitals], policy: HealthPolicy
    ) -> None:
        pages: dict[str, Page] = {
            "/metrics": lambda: (200, CONTENT_TYPE_LATEST, generate_latest(registry)),
            "/livez": lambda: _answer(liveness(vitals(), policy)),
            "/readyz": lambda: _answer(readiness(vitals(), policy)),
        }
        self._server = _Server((host, port), _handler(pages))
        self.port: int = self._server.server_address[1]
        self._thread = Thread(target=self._server.serve_forever, name="monitor", daemon=True)
        self._thread.start()
        level = logging.INFO if port else logging.WARNING  # a port that nobody chose must be found at the usual log level
        logger.log(level, "metrics and health at http://%s:%d: /metrics, /livez, /readyz", host, self.port)

    def close(self) -> None:
        """Stops listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True


def _handler(pages: dict[str, Page]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = _CLIENT_S

        def do_GET(self) -> None:
            page = pages.get(self.path.partition("?")[0].rstrip("/"))
            if page is None:
                self.send_error(404, explain=f"there are {', '.join(pages)}")
                return
            code, kind, body = page()
            self.send_response(code)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Says nothing: probes come every few seconds."""

    return Handler


def _answer(report: Report) -> tuple[int, str, bytes]:
    return 200 if report.passed else 503, _JSON, json.dumps(report.body(), indent=1).encode() + b"\n"


# ---------------------------------------------------------------------- workers


def profiles_vitals(worker: ProfilesWorker, watch: Watch) -> Vitals:
    """A profile worker at this moment."""
    numbers = list(worker.owned)
    return Vitals(
        kind="profiles",
        owned=frozenset(numbers),
        unsaved_s={f"partition {number}": worker.unsaved_s(number) for number in numbers},
        **_of_any(worker, watch),
    )


def judging_vitals(worker: JudgingWorker, watch: Watch, model: ModelChanges) -> Vitals:
    """A judging worker at this moment, and the model that it asks."""
    return Vitals(
        kind="judging",
        owned=frozenset(tp.partition for tp in worker.positions()),
        oldest_request_s=worker.oldest_undone_s(),
        model=model.told() | {"tier": worker.tier, "tier_switches": worker.switches},
        **_of_any(worker, watch),
    )


def profiling_vitals(worker: ProfilingWorker, watch: Watch) -> Vitals:
    """A profiling worker at this moment."""
    return Vitals(
        kind="profiling",
        owned=frozenset(tp.partition for tp in worker.positions()),
        oldest_request_s=worker.oldest_undone_s(),
        **_of_any(worker, watch),
    )


def _of_any(worker: ProfilesWorker | JudgingWorker | ProfilingWorker, watch: Watch) -> dict[str, Any]:
    return {
        "assigned": worker.assigned,
        "beat_age_s": watch.beat_age_s(),
        "unsettled_s": watch.unsettled_s(),
        "outages_s": worker.outages.spans_s(),
        "away_s": worker.outages.away_s(),
        "standing_s": {f"{tp.topic}/{tp.partition}": seconds for tp, seconds in watch.standing_s().items()},
        "lags": {f"{tp.topic}/{tp.partition}": records for tp, records in watch.lags().items()},
    }
