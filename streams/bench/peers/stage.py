"""The servers and the log of a benchmark, and everybody on them."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

from streams import topics
from streams.bench import amplified, loading
from streams.bench.drain import Drained, Visible, empty, worker_on
from streams.bench.peers.rounds import Contestant, PeerFailed, Row, Run, checked, run_peer, turns
from streams.recorded.logs import RecordedLog

PACED_EVENTS = 1_000_000  # behind those of the whole log, for a worker of up to 66,000 events/s
# A worker that keeps up with half of what it can do at most shows what it takes when it is not behind.
_PACE_SHARE, _PACE_S = 0.5, 30.0
_OUTPUTS = (topics.REQUESTS, topics.LABELS, topics.DEAD_LETTERS)
_GROUP = "bench-run"  # begins the name of each peer's consumer group, and so of its changelog topics


class Stage:
    """Servers that are, or become, the benchmark's own.

    Args:
        kafka, redis_url: their addresses.
        log: what is amplified.
        plan: how; its first events are everybody's, and those of the whole log are followed by `PACED_EVENTS`.
        folder: for what a run keeps on disk.
        say: told what happens now.

    Raises:
        BrokerError: Kafka holds records of others.
        StoreError: Redis holds keys of others.
    """

    def __init__(
        self,
        kafka: str,
        redis_url: str,
        *,
        log: RecordedLog,
        plan: amplified.Plan,
        folder: Path,
        say: Callable[[str], None],
    ) -> None:
        self._cluster = loading.Cluster(kafka)
        self._redis_url = redis_url
        self._log, self._plan = log, plan
        self._folder = folder
        self._say = say
        empty(redis_url)

    def interleaved(self, contestants: Sequence[Contestant], python: Path, *, events: int, rounds: int) -> list[Row]:
        """Everybody in turns on the first `events` events."""
        self._fill(islice(amplified.amplified(self._log, self._plan), events))
        rows = {one.name: Row(one) for one in contestants}
        for number, each in enumerate(turns(contestants, rounds), start=1):
            for one in each:
                row = rows[one.name]
                self._say(f"Round {number} of {rounds}: {one.name}")
                try:
                    row.runs.append(self._run(one, int(events * one.share), python))
                except PeerFailed as error:
                    row.error = str(error)
        return list(rows.values())

    def _run(self, one: Contestant, events: int, python: Path) -> Run:
        empty(self._redis_url)
        self._cluster.remove(f"{_GROUP}-")  # changelogs of the run before
        own = Path(tempfile.mkdtemp(dir=self._folder))
        if one.module:
            group = f"{_GROUP}-{own.name}"
            return run_peer(
                one,
                python,
                kafka=self._cluster.bootstrap,
                redis=self._redis_url,
                topic=topics.EVENTS,
                group=group,
                events=events,
                folder=own,
            )
        return asyncio.run(self._run_ours(own))

    async def _run_ours(self, folder: Path) -> Run:
        self._empty_outputs()
        ends = loading.ends(self._cluster.bootstrap, topics.EVENTS)
        async with worker_on(self._cluster.bootstrap, self._redis_url, folder) as worker:
            found = await worker.drain(ends)
        run = Run(
            events=found.events,
            in_profiles=found.in_profiles,
            users=found.users,
            cpu_s=found.cpu_s,
            wall_s=found.wall_s,
        )
        return checked(run, asked=sum(ends.values()))

    def whole(self, events: int) -> tuple[Drained, Visible]:
        """Our worker on the whole amplified log, then kept busy by half."""
        self._say(f"Filling the topic with {events:,} events")
        records = amplified.amplified(self._log, self._plan)
        ends = self._fill(islice(records, events))
        self._say(f"Draining {events:,} events with one worker")
        own = Path(tempfile.mkdtemp(dir=self._folder))
        return asyncio.run(self._whole(records, ends, own))

    async def _whole(
        self, records: Iterator[tuple[bytes, bytes]], ends: Mapping[int, int], folder: Path
    ) -> tuple[Drained, Visible]:
        self._empty_outputs()
        async with worker_on(self._cluster.bootstrap, self._redis_url, folder) as worker:
            drained = await worker.drain(ends)
            rate = _PACE_SHARE * drained.events / drained.wall_s
            self._say(f"Sending {rate:,.0f} events/s for {_PACE_S:.0f} s")
            visible = await worker.pace(records, starts=ends, rate=rate, seconds=min(_PACE_S, PACED_EVENTS / rate))
        return drained, visible

    def _fill(self, records: Iterator[tuple[bytes, bytes]]) -> Mapping[int, int]:
        self._cluster.renew_topics()
        loading.fill_items(self._cluster.bootstrap, (line for _, line in self._log.items()))
        return loading.fill(self._cluster.bootstrap, topics.EVENTS, records).ends

    def _empty_outputs(self) -> None:
        for name in _OUTPUTS:
            topic = topics.TOPICS[name]
            self._cluster.renew(name, partitions=topic.partitions, settings=topic.settings)
