"""One run: servers, workers, records and faults; then all heals, what is left is worked off, and the end is verified."""

from __future__ import annotations

import asyncio
import random
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from confluent_kafka import KafkaException
from faust.types import TP
from redis.asyncio import Redis

from streams import codec, topics
from streams.admin import create_topics
from streams.chaos.evidence import GROUPS, Logs, stored_checkpoints, stored_profiles, stored_slates, stored_timers
from streams.chaos.faults import KILLS, Fault, make_plan
from streams.chaos.feeder import Feeder
from streams.chaos.fleet import Fleet, take_overs
from streams.chaos.records import Fed, Records
from streams.chaos.servers import CutRedis, Kafka, patient_client, wait_for
from streams.chaos.verifier import Check, Evidence, check, verify
from streams.chaos.watcher import Watcher
from streams.config import load_settings
from streams.knowledge import Knowledge
from streams.offline.route import Refusals, read_items
from streams.recorded.logs import RecordedLog
from streams.simulation.oracle import truth

TENANT = "chaos"
_TICK_S = 0.1
_COMMITTED_S = 1.0  # how often committed offsets are held against the state
_READY_S = 120.0
_NOBODY_S = 30.0  # how long a kill waits for somebody to kill
_JUDGING_SHARE = 0.25  # of the workers that are frozen or stopped, the judging ones
_END_MS = 4_102_444_800_000  # the year 2100: event time moves there in the end, so that every trigger fires
_OURS = ("models.errors.", "streams.")  # errors that end a worker on purpose; its supervisor starts it again


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a run is made of."""

    minutes: float = 15.0
    kills: int = 100
    seed: int = 1
    per_s: float = 300.0  # records a second: less than half of what two cores apply while half of the workers are down
    one_user_in: int = 8  # of the log: 545 users, so that everybody is seen often, and the small model keeps up
    profile_workers: int = 3
    fewest_profile_workers: int = 2
    most_profile_workers: int = 5  # a partition each, and one that has none until another dies
    judging_workers: int = 1
    session_s: float = 6.0  # Kafka's least by default; Faust's 60 s would let a run of minutes see few rebalances
    drain_minutes: float = 6.0


@dataclass(frozen=True, kw_only=True)
class Result:
    """How a run ended."""

    checks: list[Check]
    counts: dict[str, int]
    seconds: dict[str, float]

    @property
    def passed(self) -> bool:
        """Whether every check did."""
        return all(one.passed for one in self.checks)


class Course:
    """One run.

    Args:
        options: what it is made of.
        log: which events.
        folder: for everything that it writes.
        say: told how it goes.
    """

    def __init__(self, options: Options, log: RecordedLog, folder: Path, say: Callable[[str], None]) -> None:
        self._options = options
        self._log = log
        self._say = say
        self._plan = make_plan(
            random.Random(options.seed),  # noqa: S311  # repeatable
            lasting_s=options.minutes * 60,
            kills=options.kills,
            session_s=options.session_s,
        )
        self._config = folder / "seren.toml"
        self._kafka = Kafka(folder / "kafka")
        self._redis = CutRedis(folder / "redis")
        self._fleet = Fleet(folder, self._config)
        self._counts: Counter[str] = Counter()
        self._broker_lock, self._redis_lock = asyncio.Lock(), asyncio.Lock()
        self._lines = [line for _, line in log.events() if _is_chosen(line, options.one_user_in)]
        self._users = sorted({codec.decode_event(line).user_id for line in self._lines})

    async def run(self) -> Result:
        """From the first server to the last check; nothing is left running."""
        try:
            return await self._run()
        finally:
            self._fleet.kill_all()
            self._kafka.kill()
            self._redis.stop()

    async def _run(self) -> Result:
        options = self._options
        self._kafka.format()
        await self._kafka.start()
        await create_topics(self._kafka.bootstrap)
        self._config.write_text(_config(self._kafka.bootstrap, self._redis.url, options), encoding="utf-8")
        feeder = Feeder(self._kafka.bootstrap, self._records(), per_s=options.per_s)
        self._feed_tables(feeder)
        for number in range(options.profile_workers):
            self._fleet.add("profiles", static=number == 0)
        for _ in range(options.judging_workers):
            self._fleet.add("judging")
        client = patient_client(self._redis.url)
        impatient = Redis.from_url(self._redis.url, socket_timeout=2.0, socket_connect_timeout=1.0)
        watcher = Watcher(impatient, tenant=TENANT, surface="home", users=self._users, partitions=topics.USER_PARTITIONS)
        self._watcher = watcher
        logs = Logs(self._kafka.bootstrap)
        background = [asyncio.create_task(task) for task in (self._supervise(), self._watch(), self._watch_offsets(logs))]
        try:
            await self._wait_until_ready()
            begun_s = time.monotonic()
            await self._storm(feeder)
            fed_s = time.monotonic()
            drained = await self._drain(logs, client)
            drained_s = time.monotonic()
        finally:
            for task in background:
                task.cancel()
            await asyncio.gather(*background, return_exceptions=True)
        for task in background:
            if not task.cancelled():
                task.result()  # it ended on its own: by an error
        await self._fleet.stop_all()
        checks = await self._verify(feeder, logs, client, drained=drained)
        logs.close()
        await client.aclose()
        await impatient.aclose()
        seconds = {"storm": fed_s - begun_s, "drain": drained_s - fed_s, "verifier": time.monotonic() - drained_s}
        return Result(checks=checks, counts=self._all_counts(feeder), seconds=seconds)

    # ------------------------------------------------------------------ records

    def _records(self) -> Iterator[Fed]:
        about = self._log.about
        span_ms = about.last_ts_ms - about.first_ts_ms
        return iter(
            Records(
                random.Random(self._options.seed + 1),  # noqa: S311  # repeatable
                lambda: iter(self._lines),
                span_ms=span_ms,
                partitions=topics.USER_PARTITIONS,
            )
        )

    def _feed_tables(self, feeder: Feeder) -> None:
        """The catalogue, and what is known of the users."""
        for _, line in self._log.items():
            feeder.send(Fed("item", topics.ITEMS, codec.decode_item(line).item_id.encode(), line))
        users = set(self._users)
        for _, line in self._log.users():
            user_id = codec.decode_attributes(line).user_id
            if user_id in users:
                feeder.send(Fed("attributes", topics.ATTRIBUTES, user_id.encode(), line))
        feeder.flush()

    # ------------------------------------------------------------------ the storm

    async def _wait_until_ready(self) -> None:
        def ready() -> bool:
            taken = take_overs(slot.log for slot in self._fleet.of("profiles"))
            return taken >= topics.USER_PARTITIONS and self._fleet.generation_of("judging") > 0

        if not await wait_for(ready, within_s=_READY_S):
            message = f"the workers are not ready within {_READY_S:.0f} s; see {self._fleet.folder}/*.log"
            raise TimeoutError(message)

    async def _storm(self, feeder: Feeder) -> None:
        """Feeds while everything goes wrong, then lets everything heal."""
        self._say(
            f"{self._plan.kills} kills and {len(self._plan.faults) - self._plan.kills} other faults within "
            f"{self._options.minutes:g} minutes, {self._options.per_s:g} records/s of {len(self._users)} users"
        )
        feeder.start()
        begun_s = time.monotonic()
        tasks: list[asyncio.Task[None]] = []
        for place, fault in enumerate(self._plan.faults):
            await asyncio.sleep(max(0.0, begun_s + fault.at_s - time.monotonic()))
            if place % 10 == 0:
                now_s = time.monotonic() - begun_s
                self._say(f"{now_s:5.0f} s  {feeder.sent['event']:,} events sent, states at {self._positions()}")
            tasks.append(asyncio.create_task(self._break(fault)))
        await asyncio.sleep(max(0.0, begun_s + self._options.minutes * 60 - time.monotonic()))
        await asyncio.gather(*tasks)
        self._say(f"{time.monotonic() - begun_s:5.0f} s  everything heals")
        await asyncio.to_thread(feeder.stop)
        header = (topics.WATERMARK_HEADER, str(_END_MS).encode())
        for number in range(topics.USER_PARTITIONS):
            feeder.send(Fed("end", topics.EVENTS, None, None, number), headers=[header])
        await asyncio.to_thread(feeder.flush)

    async def _break(self, fault: Fault) -> None:
        done, deadline_s = await self._breaking(fault), time.monotonic() + _NOBODY_S
        while not done and fault.kind in KILLS and time.monotonic() < deadline_s:  # all are frozen or dead just now
            await asyncio.sleep(_TICK_S)
            done = await self._breaking(fault)
        self._counts[f"fault: {done}" if done else "faults that found nobody"] += 1
        self._counts["kills"] += done in KILLS

    async def _breaking(self, fault: Fault) -> str:
        """Does it; the kind that was done, nothing when there is nobody to do it to."""
        if fault.kind in {"kill broker", "restart broker"}:
            await self._break_broker(fault)
            return fault.kind
        if fault.kind in {"kill redis", "cut redis power", "restart redis"}:
            await self._break_redis(fault)
            return fault.kind
        if fault.kind in {"scale out", "scale in"}:
            return await self._scale(fault)
        return await self._break_worker(fault)

    async def _break_broker(self, fault: Fault) -> None:
        async with self._broker_lock:
            if fault.kind == "kill broker":
                self._kafka.kill()
            else:
                await self._kafka.stop()
            await asyncio.sleep(fault.lasting_s)
            await self._kafka.start()

    async def _break_redis(self, fault: Fault) -> None:
        async with self._redis_lock:
            if fault.kind == "restart redis":
                self._redis.stop()
            elif fault.kind == "kill redis":
                self._redis.kill()
            else:
                self._counts["bytes of Redis's writes lost"] += self._redis.cut_power(fault.share)
            self._watcher.monotonic.redis_starts_again(lossy=fault.kind != "restart redis")
            await asyncio.sleep(fault.lasting_s)
            self._redis.start()

    async def _scale(self, fault: Fault) -> str:
        """One worker more or less; the other way round at the bounds."""
        fleet, count = self._fleet, len(self._fleet.of("profiles"))
        fewest, most = self._options.fewest_profile_workers, self._options.most_profile_workers
        if count <= fewest or (fault.kind == "scale out" and count < most):
            fleet.add("profiles")
            return "scale out"
        slot = fleet.choose("profiles", fault.share)
        if slot is None:
            return ""
        await fleet.stop(slot, restart_after_s=None)
        del fleet.slots[slot.name]
        return "scale in"

    async def _break_worker(self, fault: Fault) -> str:
        fleet = self._fleet
        judging = fault.kind == "kill judging" or (fault.kind not in KILLS and fault.share < _JUDGING_SHARE)
        slot = fleet.choose("judging" if judging else "profiles", fault.share)
        if slot is None:
            return ""
        if fault.kind == "stop":
            await fleet.stop(slot, restart_after_s=fault.lasting_s)
        elif fault.kind in KILLS:
            fleet.kill(slot, restart_after_s=fault.lasting_s)
        else:
            await fleet.freeze(slot, lasting_s=fault.lasting_s)
        return fault.kind

    # ------------------------------------------------------------------ beside it

    async def _supervise(self) -> None:
        while True:
            self._fleet.look()
            self._redis.note()
            await asyncio.sleep(_TICK_S)

    async def _watch(self) -> None:
        while True:
            await self._watcher.look()
            await asyncio.sleep(_TICK_S)

    async def _watch_offsets(self, logs: Logs) -> None:
        while True:
            with suppress(KafkaException):  # the broker is away: that is what it is asked about in a second again
                ends = await asyncio.to_thread(logs.ends, topics.EVENTS)
                self._watcher.see_ends(ends)
                committed = {
                    topic: await asyncio.to_thread(logs.committed, topic) for topic in (topics.EVENTS, topics.ATTRIBUTES)
                }
                if await self._watcher.look():
                    for place, topic in enumerate(committed):
                        durable = {number: found[place] for number, found in self._watcher.checkpoints.items()}
                        self._watcher.compare_committed(topic, committed[topic], durable)
            await asyncio.sleep(_COMMITTED_S)

    # ------------------------------------------------------------------ the end

    async def _drain(self, logs: Logs, client: Redis) -> bool:
        """Waits until everything is worked off; whether it was in time."""
        deadline_s = time.monotonic() + self._options.drain_minutes * 60
        left = ""
        while time.monotonic() < deadline_s:
            try:
                left = await self._left(logs, client)
            except KafkaException as error:  # it has just started again: ask again
                left = f"Kafka: {error}"
            if not left:
                return True
            await asyncio.sleep(1.0)
        self._say(f"not worked off after {self._options.drain_minutes:g} minutes: {left}")
        return False

    async def _left(self, logs: Logs, client: Redis) -> str:
        places = await stored_checkpoints(client, TENANT, topics.USER_PARTITIONS)
        timers = await stored_timers(client, TENANT, topics.USER_PARTITIONS)
        for topic in GROUPS:
            ends, committed = await asyncio.to_thread(logs.ends, topic), await asyncio.to_thread(logs.committed, topic)
            for number, end in ends.items():
                if committed[number] < end:
                    return f"{topic}/{number}: {committed[number]} of {end} committed; the states end at {places}"
        if any(timers.values()):
            return f"timers: {timers}"
        return ""

    async def _verify(self, feeder: Feeder, logs: Logs, client: Redis, *, drained: bool) -> list[Check]:
        self._say("verifying")
        records = await asyncio.to_thread(logs.read)
        rules = replace(load_settings(self._config, {}).rules, label_digests=False)  # only which labels there are is compared
        items = Knowledge(read_items(self._log, Refusals()), max_tag_bytes=rules.profile.short_term.max_tag_bytes)
        expected = truth(records, partitions=topics.USER_PARTITIONS, knowledge=items, rules=rules)
        users = sorted(set(self._users) | expected.profiles.keys())
        committed = {
            TP(topic, number): offset
            for topic in GROUPS
            for number, offset in (await asyncio.to_thread(logs.committed, topic)).items()
        }
        evidence = Evidence(
            logs=records,
            delivered=[one for one in feeder.delivered if one.topic != topics.ITEMS],
            profiles=await stored_profiles(client, TENANT, users),
            slates=await stored_slates(client, TENANT, users, "home"),
            checkpoints=await stored_checkpoints(client, TENANT, topics.USER_PARTITIONS),
            committed=committed,
            timers=await stored_timers(client, TENANT, topics.USER_PARTITIONS),
            partitions=topics.USER_PARTITIONS,
        )
        self._counts.update(evidence.counts())
        return [*verify(evidence, expected), *self._run_checks(feeder, drained=drained)]

    def _run_checks(self, feeder: Feeder, *, drained: bool) -> list[Check]:
        monotonic, wanted, done = self._watcher.monotonic, self._plan.kills, self._counts["kills"]
        foreign = [
            f"{death.slot} ended with {death.code}: {death.error}"
            for death in self._fleet.deaths
            if not death.error.startswith(_OURS)
        ]
        starts = sum(count for name, count in self._fleet.counts.items() if name.startswith("starts"))
        backwards = "nothing that a reader saw went backwards, no commit was ahead of its state"
        return [
            check(backwards, monotonic.failures, looked_at=monotonic.counts["looks"]),
            check("everything was worked off in time", [] if drained else ["see above"], looked_at=1),
            check("the feeder sent everything", feeder.failures, looked_at=sum(feeder.sent.values())),
            check("workers ended only when killed, asked, or by an error of ours", foreign, looked_at=starts),
            check("as many kills as were asked for", [] if done >= wanted else [f"{done}"], looked_at=max(1, wanted)),
        ]

    def _all_counts(self, feeder: Feeder) -> dict[str, int]:
        fleet, monotonic = self._fleet, self._watcher.monotonic
        deaths = Counter(f"ended by itself: {death.error}" for death in fleet.deaths)
        named = {f"sent: {kind}": count for kind, count in sorted(feeder.sent.items())}
        groups = {f"rebalances of the {kind} group": fleet.generation_of(kind) for kind in ("profiles", "judging")}
        peaks = {f"peak RSS of a {kind} worker, MB": fleet.peak_rss_bytes[kind] // 2**20 for kind in ("profiles", "judging")}
        taken = {"partitions taken over": take_overs(fleet.folder.glob("profiles-*.log"))}
        still = {"longest standstill of a partition with a backlog, s": round(self._watcher.standstill.longest_s)}
        return {**named, **self._counts, **fleet.counts, **deaths, **groups, **taken, **monotonic.counts, **still, **peaks}

    def _positions(self) -> str:
        return " ".join(str(place[0]) for _, place in sorted(self._watcher.checkpoints.items()))


def _is_chosen(line: bytes, one_in: int) -> bool:
    return zlib.crc32(codec.decode_event(line).user_id.encode()) % one_in == 0


def _config(bootstrap: str, redis_url: str, options: Options) -> str:
    return f"""[kafka]
bootstrap = "{bootstrap}"
session_timeout_s = {options.session_s}
heartbeat_s = {options.session_s / 6:.2f}

[redis]
url = "{redis_url}"
tenant = "{TENANT}"

[profiles]
max_users = 200  # fewer than there are, so that users go to Redis and come back
release_s = 5.0
lost_s = {options.session_s * 2}

[rules]
check_clock = false  # a recorded log: everything is a function of the records alone

[rules.trigger]
cool_down_s = 86_400_000  # 1,000 days: each user asks about twice a minute of the run

[serve]  # small answers: the run is about which slate is there, not how good it is
imagine_count = 4
score_limit = 8
"""
