"""A worker's health as `seren doctor` asks for it, from the worker's own endpoint. Changes nothing anywhere."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

from streams.doctor.checks import TIMEOUT_S, Check

_ANSWER_BYTES = 1024 * 1024  # what an endpoint may say; ours says some kilobytes
_ADVICE = {
    "/livez": "look at its log; a worker that is not live is best started again",
    "/readyz": "bring back what is away; while partitions move between workers, wait a minute",
}


def check_worker(url: str) -> list[Check]:
    """Whether a worker is live, and ready.

    Args:
        url: of its endpoint, without a path: `http://127.0.0.1:9300`.
    """
    return [_check(url.rstrip("/"), path) for path in _ADVICE]


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
