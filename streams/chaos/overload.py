"""`python -m streams.chaos.overload`: more events than the workers bear, for minutes; then none, until all is worked off.

The backlog is Kafka's, on disk; what a worker holds in memory is bounded whatever waits. Ten minutes at ten times what it
bears are a hundred minutes of its work, whatever it bears. `--share` shortens the wait for them: until the flood is over the
workers get only this share of the time, and all of it for the recovery, as if others had joined them. Exit codes: 0 all held,
1 something did not, 2 an error.
"""

from __future__ import annotations

import asyncio
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import click

from models.errors import BrokerError, SerenError
from streams import codec, topics
from streams.admin import create_topics
from streams.chaos.evidence import Logs, stored_checkpoints, stored_profiles
from streams.chaos.feeder import Feeder
from streams.chaos.fleet import Fleet, rss_bytes, take_overs
from streams.chaos.flood import Flood, Pump
from streams.chaos.records import Fed
from streams.chaos.report import show_checks
from streams.chaos.servers import CutRedis, Kafka, patient_client, wait_for
from streams.chaos.verifier import Check, applied, check, differences
from streams.config import load_settings
from streams.knowledge import Knowledge
from streams.offline.route import Refusals, read_items
from streams.recorded.logs import RecordedLog, shipped_log
from streams.simulation.oracle import truth
from streams.state import decode_profile_state

TENANT = "overload"
_FACTOR = 10.0
_SAMPLE = 300_000  # events by which the sustainable rate is measured: half a minute or so
_SAMPLED_USERS = 40  # one in so many has its bytes compared, of one partition
_READY_S = 120.0
_LOOK_S = 0.5
_PERIOD_S = 0.5  # of the throttle: far below every timeout
# Interpreter and catalogue 90 MB; users in memory 20 KB each, as many as `max_users` and those of the last three seconds;
# 20,000 records that wait between the consumer and the agent, and what a fetch brings: 4 MB of each.
RSS_BOUND_BYTES = 640 * 2**20


@dataclass
class Figures:
    """What a run measured. Rates in events/s, sizes in bytes."""

    sustainable: float = 0.0
    offered: float = 0.0
    meanwhile: float = 0.0  # what the workers took while the flood was on
    fed: int = 0
    fed_s: float = 0.0
    backlog: int = 0
    recovery_s: float = 0.0
    disk: int = 0
    rss_before: int = 0
    rss_peak: int = 0
    redis_peak: int = 0
    stopped_by_disk: bool = False


class Overload:
    """One run.

    Args:
        log: which events.
        folder: for everything that it writes.
        workers: profile workers.
        share: of the time that they get until the flood is over, in (0, 1].
        say: told how it goes.
    """

    def __init__(self, log: RecordedLog, folder: Path, *, workers: int, share: float, say: Callable[[str], None]) -> None:
        self.figures = Figures()
        self._share = share
        self._sample = round(_SAMPLE * share)
        self._log = log
        self._workers = workers
        self._say = say
        self._config = folder / "seren.toml"
        self._kafka = Kafka(folder / "kafka")
        self._redis = CutRedis(folder / "redis")
        self._fleet = Fleet(folder, self._config)
        self._flood = Flood(line for _, line in log.events())

    async def run(self, *, minutes: float, disk_bytes: int, drain_minutes: float) -> list[Check]:
        """From the first server to the last check; nothing is left running."""
        try:
            return await self._run(minutes, disk_bytes, drain_minutes)
        finally:
            self._fleet.kill_all()
            self._kafka.kill()
            self._redis.stop()

    async def _run(self, minutes: float, disk_bytes: int, drain_minutes: float) -> list[Check]:
        figures = self.figures
        self._kafka.format()
        await self._kafka.start()
        await create_topics(self._kafka.bootstrap)
        self._config.write_text(_config(self._kafka.bootstrap, self._redis.url), encoding="utf-8")
        _feed_items(self._kafka.bootstrap, self._log)
        for _ in range(self._workers):
            self._fleet.add("profiles")
        self._client = patient_client(self._redis.url)
        self._logs = Logs(self._kafka.bootstrap)
        watching = asyncio.create_task(self._watch())
        try:
            ready = await wait_for(self._ready, within_s=_READY_S)
            if not ready:
                message = f"the workers are not ready within {_READY_S:.0f} s; see {self._fleet.folder}/*.log"
                raise TimeoutError(message)
            pump = Pump(self._kafka.bootstrap, self._flood)
            async with self._throttled():
                figures.sustainable = await self._measure(pump)
                figures.rss_before = figures.rss_peak
                rate = f"{figures.sustainable:,.0f} events/s"
                self._say(f"sustainable: {rate}; now {_FACTOR:g} times that for {minutes:g} minutes")
                await self._pour(pump, minutes * 60, disk_bytes)
            drained = await self._recover(pump, drain_minutes * 60)
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
        await self._fleet.stop_all()
        checks = await self._verify(pump, drained=drained)
        self._logs.close()
        await self._client.aclose()
        return checks

    def _ready(self) -> bool:
        return take_overs(slot.log for slot in self._fleet.of("profiles")) >= topics.USER_PARTITIONS

    @asynccontextmanager
    async def _throttled(self) -> AsyncIterator[None]:
        """Meanwhile the workers are stopped for most of each period, and run for their share of it."""
        if self._share == 1.0:
            yield
            return
        throttling = asyncio.create_task(self._throttle())
        try:
            yield
        finally:
            throttling.cancel()
            await asyncio.gather(throttling, return_exceptions=True)
            self._signal(signal.SIGCONT)

    async def _throttle(self) -> None:
        while True:
            self._signal(signal.SIGCONT)
            await asyncio.sleep(_PERIOD_S * self._share)
            self._signal(signal.SIGSTOP)
            await asyncio.sleep(_PERIOD_S * (1 - self._share))

    def _signal(self, number: signal.Signals) -> None:
        for slot in self._fleet.of("profiles"):
            if slot.process is not None:
                slot.process.send_signal(number)

    async def _watch(self) -> None:
        figures = self.figures
        while True:
            self._fleet.look()
            pids = [slot.process.pid for slot in self._fleet.of("profiles") if slot.process is not None]
            figures.rss_peak = max([figures.rss_peak, *map(rss_bytes, pids)])
            figures.redis_peak = max(figures.redis_peak, rss_bytes(self._redis.pid))
            await asyncio.sleep(_LOOK_S)

    async def _applied(self) -> int:
        places = await stored_checkpoints(self._client, TENANT, topics.USER_PARTITIONS)
        return sum(place[0] for place in places.values())

    async def _measure(self, pump: Pump) -> float:
        """Events a second out of a short backlog, while nothing is fed: of the middle of it, without start and end."""
        await asyncio.to_thread(pump.send, self._sample)
        await asyncio.to_thread(pump.flush)
        points: list[tuple[float, int]] = []
        while (at := await self._applied()) < self._sample:
            points.append((time.monotonic(), at))
            await asyncio.sleep(_LOOK_S / 5)
        middle = [(at_s, at) for at_s, at in points if at >= self._sample // 5]
        (first_s, first), (last_s, last) = middle[0], (time.monotonic(), self._sample)
        return (last - first) / (last_s - first_s)

    async def _pour(self, pump: Pump, lasting_s: float, disk_bytes: int) -> None:
        figures, stop = self.figures, threading.Event()
        before, sent_before, begun_s = await self._applied(), pump.sent, time.monotonic()
        pouring = asyncio.create_task(asyncio.to_thread(pump.pour, figures.sustainable * _FACTOR, stop=stop))
        try:
            while time.monotonic() - begun_s < lasting_s and not figures.stopped_by_disk:
                await asyncio.sleep(_LOOK_S)
                figures.disk = folder_bytes(self._kafka.data)
                figures.stopped_by_disk = figures.disk > disk_bytes
        finally:
            stop.set()
            await pouring
        figures.fed_s = time.monotonic() - begun_s
        figures.fed = pump.sent - sent_before
        figures.offered = figures.fed / figures.fed_s
        at = await self._applied()
        figures.meanwhile = (at - before) / figures.fed_s
        figures.backlog = pump.sent - at
        disk_mb = figures.disk / 2**20
        self._say(f"{figures.fed:,} events in {figures.fed_s:,.0f} s; {figures.backlog:,} wait, {disk_mb:,.0f} MB on disk")

    async def _recover(self, pump: Pump, within_s: float) -> bool:
        figures, begun_s = self.figures, time.monotonic()
        told_s = begun_s
        while (at := await self._applied()) < pump.sent:
            now_s = time.monotonic()
            if now_s - begun_s > within_s:
                self._say(f"not worked off after {within_s:,.0f} s: {pump.sent - at:,} events wait")
                return False
            if now_s - told_s > 30:
                told_s = now_s
                peak_mb = figures.rss_peak / 2**20
                self._say(f"{now_s - begun_s:5.0f} s  {pump.sent - at:,} events wait, peak RSS {peak_mb:,.0f} MB")
            await asyncio.sleep(_LOOK_S)
        figures.recovery_s = time.monotonic() - begun_s
        return True

    async def _verify(self, pump: Pump, *, drained: bool) -> list[Check]:
        self._say("verifying")
        figures, sent, expected = self.figures, pump.sent, self._flood.counts(pump.sent)
        ends = await asyncio.to_thread(self._logs.ends, topics.EVENTS)
        committed = await asyncio.to_thread(self._logs.committed, topics.EVENTS)
        stored = await stored_profiles(self._client, TENANT, sorted(expected))
        found = {user_id: applied(value) for user_id, value in stored.items()}
        in_log = [] if sum(ends.values()) == sent else [f"{sum(ends.values()):,} in the log, {sent:,} sent"]
        lag = [f"{number}: {committed[number]} of {end}" for number, end in ends.items() if committed[number] != end]
        deaths = [f"{death.slot}: {death.code}, {death.error}" for death in self._fleet.deaths]
        rss = [] if figures.rss_peak <= RSS_BOUND_BYTES else [f"{figures.rss_peak / 2**20:,.0f} MB"]
        sampled = sorted(expected)[::_SAMPLED_USERS]
        same = "sampled profiles equal the sequential oracle's, byte for byte"
        return [
            check("Kafka has every event that was sent", [*pump.failures, *in_log], looked_at=sent),
            check("all was worked off in time", [] if drained else ["see above"], looked_at=1),
            check("no event is lost", differences(expected, found, sign=-1), looked_at=sent),
            check("no event is applied twice", differences(expected, found, sign=1), looked_at=sent),
            check(same, await self._compare(stored, set(sampled)), looked_at=len(sampled)),
            check("committed offsets are at the ends", lag, looked_at=len(ends)),
            check(f"no worker held more than {RSS_BOUND_BYTES // 2**20} MB", rss, looked_at=self._workers),
            check("no worker ended", deaths, looked_at=self._workers),
        ]

    async def _compare(self, stored: Mapping[str, bytes], users: Collection[str]) -> list[str]:
        """Whose profile has other bytes than one pass over their events gives."""
        keys = {user_id.encode() for user_id in users}
        records = await asyncio.to_thread(self._logs.read, (topics.EVENTS,), keys.__contains__)
        rules = replace(load_settings(self._config, {}).rules, label_digests=False)
        knowledge = Knowledge(read_items(self._log, Refusals()), max_tag_bytes=rules.profile.short_term.max_tag_bytes)
        expected = truth(records, partitions=topics.USER_PARTITIONS, knowledge=knowledge, rules=rules).profiles
        found = {user_id: decode_profile_state(value).profile for user_id, value in stored.items() if user_id in users}
        return sorted(user_id for user_id in users if expected.get(user_id) != found.get(user_id))


def folder_bytes(folder: Path) -> int:
    """What the files of a folder hold; those that go away meanwhile are left out."""
    total = 0
    for path in folder.glob("*/*.log"):
        try:
            total += path.stat().st_size
        except FileNotFoundError:
            continue
    return total


def _feed_items(bootstrap: str, log: RecordedLog) -> None:
    """The catalogue, before any worker reads it."""
    records = [Fed("item", topics.ITEMS, codec.decode_item(line).item_id.encode(), line) for _, line in log.items()]
    feeder = Feeder(bootstrap, iter(()), per_s=1.0)
    for fed in records:
        feeder.send(fed)
    feeder.flush()
    if feeder.failures:
        raise BrokerError(feeder.failures[0])


def _config(bootstrap: str, redis_url: str) -> str:
    return f"""[kafka]
bootstrap = "{bootstrap}"

[redis]
url = "{redis_url}"
tenant = "{TENANT}"

[profiles]
max_users = 5_000  # fewer than the log has: memory is bounded by this, not by how many there are

[rules]
check_clock = false

[rules.trigger]
start_ms = 4_102_444_800_000  # the year 2100: all of it is history, nobody asks for slates
"""


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--minutes", type=click.FloatRange(0.05), default=10.0, show_default=True, help="Of the flood.")
@click.option("--workers", type=click.IntRange(1, topics.USER_PARTITIONS), default=1, show_default=True, help="Processes.")
@click.option("--disk-gb", type=click.FloatRange(0.1), default=8.0, show_default=True, help="Kafka's; past it the flood ends.")
@click.option(
    "--drain-minutes", type=click.FloatRange(0.1), default=150.0, show_default=True, help="For the recovery, at most."
)
@click.option(
    "--share", type=click.FloatRange(0.01, 1.0), default=1.0, show_default=True, help="Of the time, until the flood is over."
)
def main(*, minutes: float, workers: int, disk_gb: float, drain_minutes: float, share: float) -> None:
    """Flood real profile workers with ten times what they bear, and see them recover without loss."""
    folder = Path(tempfile.mkdtemp(prefix="seren-overload-"))
    _say(f"seren overload: folder {folder}")
    try:
        run = Overload(shipped_log("online-retail"), folder, workers=workers, share=share, say=_say)
        checks = asyncio.run(run.run(minutes=minutes, disk_bytes=int(disk_gb * 2**30), drain_minutes=drain_minutes))
    except (SerenError, TimeoutError) as error:
        click.echo(f"seren overload: {type(error).__name__}: {error}\nLook into {folder}", err=True)
        sys.exit(2)
    show_figures(run.figures, share=share)
    if show_checks(checks):
        shutil.rmtree(folder)
    else:
        _say(f"kept: {folder}")
        sys.exit(1)


def show_figures(figures: Figures, *, share: float) -> None:
    """The table."""
    alone = "nothing else running" if share == 1.0 else f"in {share:.0%} of the time"
    rows = [
        (f"sustainable, {alone}", figures.sustainable, "events/s"),
        ("offered", figures.offered, "events/s"),
        ("offered / sustainable", figures.offered / figures.sustainable, ""),
        ("taken meanwhile, beside the feeder", figures.meanwhile, "events/s"),
        ("events offered", figures.fed, ""),
        ("flood", figures.fed_s, "s"),
        ("backlog at its end", figures.backlog, "events"),
        ("recovery", figures.recovery_s, "s"),
        ("rate while recovering", figures.backlog / figures.recovery_s if figures.recovery_s else 0.0, "events/s"),
        ("Kafka on disk, at its end", figures.disk / 2**20, "MB"),
        ("worker's RSS before", figures.rss_before / 2**20, "MB"),
        ("worker's RSS, peak", figures.rss_peak / 2**20, "MB"),
        ("Redis's RSS, peak", figures.redis_peak / 2**20, "MB"),
    ]
    for name, value, unit in rows:
        click.echo(f"  {name:<40} {value:>16,.1f} {unit}")
    if figures.stopped_by_disk:
        click.echo("  the flood ended early, at the bound of the disk")


def _say(text: str) -> None:
    click.echo(text)
    sys.stdout.flush()


if __name__ == "__main__":
    main()
