"""What `seren doctor` looks at where a language model is asked about profiles: its endpoint, and the worker's lag.

A check never raises for what it finds. The endpoint is asked which models it has, and nothing else; its key is never shown.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import msgspec
from aiokafka.errors import KafkaError
from msgspec import Struct

from models.errors import SerenError, brief
from streams import topics
from streams.admin import Progress
from streams.doctor.checks import TIMEOUT_S, Check, Offsets, check_lag
from streams.profiling.settings import ProfilingSettings

_LIST_BYTES = 1 << 20  # of a list of models


class _Model(Struct):
    id: str


class _Models(Struct):
    data: list[_Model]


async def check_profiling(bootstrap: str, settings: ProfilingSettings, environment: Mapping[str, str]) -> list[Check]:
    """The model that infers, and how far its worker is behind."""
    model = Check("profiling model", "ok", 'local: SerenGPT infers; [profiling] model = "endpoint" asks a larger one')
    if settings.model == "endpoint":
        chat = settings.endpoint
        model = await asyncio.to_thread(check_endpoint, chat.url, chat.model, environment.get(chat.key_variable, ""))
    return [model, await _lag(bootstrap)]


def check_endpoint(url: str, model: str, key: str) -> Check:
    """Whether the endpoint answers and has the model.

    Args:
        url: with the version.
        model: as the configuration names it.
        key: empty for none.
    """
    name, advice = "profiling model", "look at profiling.endpoint.url, and whether its server runs"
    if not url.startswith(("http://", "https://")):
        return Check(name, "failed", f"profiling.endpoint.url = {brief(url)!r} is no http://HOST[:PORT]/PATH", advice)
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        with urlopen(Request(f"{url.rstrip('/')}/models", headers=headers), timeout=TIMEOUT_S) as answer:  # noqa: S310  # http, see above
            found = {one.id for one in msgspec.json.decode(answer.read(_LIST_BYTES), type=_Models).data}
    except HTTPError as error:
        with error:
            return Check(name, "failed", f"{url}: HTTP {error.code}", "look at the key, and at profiling.endpoint.url")
    except (OSError, ValueError, msgspec.DecodeError) as error:
        return Check(name, "failed", f"{url}: {brief(str(error))}", advice)
    if model not in found:
        names = brief(", ".join(sorted(found)) or "none")
        return Check(name, "failed", f"{url} has no model {brief(model)!r}; it has {names}", "set profiling.endpoint.model")
    return Check(name, "ok", f"{model} at {url}")


async def _lag(bootstrap: str) -> Check:
    name, count = "profiling lag", topics.TOPICS[topics.PROFILING].partitions
    try:
        async with asyncio.timeout(TIMEOUT_S):
            async with Progress(bootstrap, group="seren-profiling", topic=topics.PROFILING, partitions=count) as progress:
                offsets = Offsets(await progress.ends(), await progress.committed())
    except (SerenError, KafkaError, OSError, TimeoutError) as error:
        return Check(name, "skipped", f"Kafka does not tell: {brief(str(error)) or type(error).__name__}")
    return check_lag(name, offsets, "seren worker profiling")
