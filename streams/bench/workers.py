"""A real worker process on Faust, with the embedded broker and Redis."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from redis.asyncio import Redis

from streams.bench.figures import Figure, Meaning, repeated
from streams.bench.machine import cpu_seconds
from streams.bench.workload import Workload
from streams.demo.servers import Addresses, Servers
from streams.offline.route import Line
from streams.recorded.logs import RecordedLog
from streams.recorded.playback import Consumers, feed
from streams.recorded.replay import Pace
from streams.state import PartitionStore
from streams.topics import USER_PARTITIONS

Lines = Callable[[], Iterable[Line]]
TENANT = "bench"
_LOOK_S = 0.05


class _Only:
    """Some of a log's files, the others empty."""

    def __init__(self, *, items: Lines = tuple, users: Lines = tuple, events: Lines = tuple) -> None:
        self._items, self._users, self._events = items, users, events

    def items(self) -> Iterator[Line]:
        return iter(self._items())

    def users(self) -> Iterator[Line]:
        return iter(self._users())

    def events(self) -> Iterator[Line]:
        return iter(self._events())


def through_faust(log: RecordedLog, work: Workload, *, runs: int) -> list[Figure]:
    """The workload through Kafka's protocol, Faust and Redis."""

    def measure() -> dict[str, float]:
        with tempfile.TemporaryDirectory() as folder, Servers(Path(folder), Addresses(), lambda _: None) as servers:
            cpu_s, wall_s = asyncio.run(_once(log, work, servers, Path(folder)))
        return {"worker on Faust": len(work.lines) / cpu_s, "worker on Faust, wall": len(work.lines) / wall_s}

    what = (
        "one `seren worker profiles` process, by its own CPU time: fetch, Faust, decode, apply, checkpoints every half second"
    )
    wall = "the same run by wall time, while broker, Redis and replay share the machine"
    meanings = {
        "worker on Faust": Meaning("events/s per core", what),
        "worker on Faust, wall": Meaning("events/s", wall),
    }
    return repeated(measure, meanings, n=len(work.lines), runs=runs)


async def _once(log: RecordedLog, work: Workload, servers: Servers, folder: Path) -> tuple[float, float]:
    """CPU and wall seconds from the first event sent to the last one durable."""
    config = folder / "bench.toml"
    config.write_text(
        f'kafka.bootstrap = "{servers.bootstrap}"\nkafka.manage_topics = false\n'
        f'redis.url = "{servers.redis_url}"\nredis.tenant = "{TENANT}"\nrules.check_clock = false\n'
    )
    client = Redis.from_url(servers.redis_url)
    try:
        consumers = Consumers(PartitionStore(client, tenant=TENANT), partitions=USER_PARTITIONS, watch=servers.watch)
        catalogue, events = _Only(items=log.items, users=log.users), _Only(events=lambda: work.lines)
        await feed(catalogue, servers.bootstrap, consumed=consumers.awaited, pace=Pace(), advance=_unseen)
        servers.start_worker("profiles", config)
        [worker] = servers.workers("profiles")
        await consumers.reach(dict.fromkeys(range(USER_PARTITIONS), 1), every_s=_LOOK_S)
        cpu_s, wall_s = cpu_seconds(worker.process.pid), time.monotonic()
        fed = await feed(events, servers.bootstrap, consumed=consumers.awaited, pace=Pace(), advance=_unseen)
        await consumers.reach(fed.replayed.ends, every_s=_LOOK_S)
        return cpu_seconds(worker.process.pid) - cpu_s, time.monotonic() - wall_s
    finally:
        await client.aclose()


def _unseen(_: int) -> None:
    """Nobody watches a benchmark's replay."""
