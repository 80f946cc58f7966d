"""A worker's health as `seren doctor` asks for it, from the worker's own endpoint. Changes nothing anywhere."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from datetime import UTC, datetime
from typing import Any

from streams.doctor.checks import TIMEOUT_S, Check

_ANSWER_BYTES = 1024 * 1024  # what an endpoint may say; ours says some kilobytes
_ADVICE = {
    "/livez": "look at its log; a worker that is not live is best started again",
    "/readyz": "bring back what is away; while partitions move between workers, wait a minute",
}


def check_worker(url: str) -> list[Check]:
    """Whether a worker is live, and ready, and which model a judging worker asks.

    Args:
        url: of its endpoint, without a path: `http://127.0.0.1:9300`.
    """
    base = url.rstrip("/")
    return [*(_check(base, path) for path in _ADVICE), *_model(base)]


def _model(base: str) -> list[Check]:
    """The model that serves and the last change of it, where the worker tells; what else is wrong there, others said."""
    try:
        model = _ask(base + "/readyz")["model"]
        served = model["model_id"] if model["version"] is None else f"version {model['version']}, {model['model_id']}"
        detail = f"{served}; tier {model['tier']}" + "".join(map(_switched, model["tier_switches"][:1]))
        tried = model["changes"][:1]
        detail += "".join(f"; {one['before']} to {one['after']} {one['outcome']} at {_at(one['at_ms'])}" for one in tried)
        reasons = [str(one["why"]) for one in tried if one["outcome"] != "changed"]
    except (OSError, ValueError, TypeError, KeyError, OverflowError):
        return []
    if reasons:
        advice = "promote another version, or roll back: seren models; its log has the whole error"
        return [Check(f"model of {base}", "failed", f"{detail}: {reasons[0]}", advice)]
    return [Check(f"model of {base}", "ok", detail)]


def _switched(switch: dict[str, Any]) -> str:
    return f" since {_at(switch['at_ms'])} ({switch['why']})"


def _at(at_ms: float) -> str:
    return datetime.fromtimestamp(at_ms / 1000, tz=UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _check(base: str, path: str) -> Check:
    name = f"{path.removeprefix('/')} of {base}"
    try:
        said = _ask(base + path)
        detail = "; ".join((said["state"], *said["reasons"]))
        is_well = bool(said["ok"])
    except (OSError, ValueError, TypeError, KeyError) as error:  # nobody there, no JSON, other JSON
        return Check(name, "failed", f"no health there: {error!r}", "is the worker running, and metrics.port this one?")
    return Check(name, "ok", detail) if is_well else Check(name, "failed", detail, _ADVICE[path])


def _ask(url: str) -> dict[str, Any]:
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:  # noqa: S310 - the command allows http alone
            text = answer.read(_ANSWER_BYTES)
    except urllib.error.HTTPError as error:
        with error:
            if error.code != 503:  # which is how an endpoint says no, with its reasons
                raise
            text = error.read(_ANSWER_BYTES)
    said: dict[str, Any] = json.loads(text)
    return said
