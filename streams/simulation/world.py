"""One world from its first record to its last check.

Knows nothing about what is real and what stands in for it.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import random
from collections import Counter
from dataclasses import dataclass
from functools import partial

from faust.types import TP

from models.errors import SerenError
from streams import topics
from streams.agents import retry
from streams.agents.limits import JudgingLimits, ProfilesLimits
from streams.keys import checkpoint_key, due_key, profile_key
from streams.simulation.broker import Broker, Record
from streams.simulation.chance import Chance
from streams.simulation.checker import Watcher, check_end, check_published
from streams.simulation.faults import Fault, Plan, away, make_plan
from streams.simulation.keyspace import Keyspace
from streams.simulation.loop import SERVERS, Deadlock, Process, VirtualLoop
from streams.simulation.model import WAYS
from streams.simulation.oracle import truth, without
from streams.simulation.redis import Server
from streams.simulation.workers import TENANT, Machinery, Running, start_judging, start_profiles
from streams.simulation.workload import Workload, knowledge, make_workload
from streams.state import PROFILE_HEADER_BYTES, claims_only

logger = logging.getLogger(__name__)

SESSION_S = 6.0  # the group notices a dead or frozen member after this
_RESTART_S = 1.5  # a supervisor starts a process again
_HEALED_S = 400.0  # a healed world has worked everything off by then, or it is stuck
_LOOK_S = 0.5
_KNOWLEDGE = knowledge()


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a world ended. `digest` is the same for the same seed, whatever else differs."""

    seed: int
    failures: tuple[str, ...]
    counts: Counter[str]
    lasted_s: float
    digest: str

    @property
    def passed(self) -> bool:
        """Whether everything was as promised."""
        return not self.failures


def simulate(seed: int, *, concurrency: int | None = None) -> Outcome:
    """Runs the world of a seed.

    Args:
        seed: any number.
        concurrency: how many tasks serve in a judging worker, where the seed should not decide.
    """
    loop = VirtualLoop()
    try:
        world = _World(seed, loop, concurrency)
        return world.run()
    finally:
        loop.end()


class _World:
    def __init__(self, seed: int, loop: VirtualLoop, concurrency: int | None) -> None:
        dice = random.Random(seed)  # noqa: S311 - a simulation must be repeatable
        retry.dice.seed(seed)
        self._seed = seed
        self._loop = loop
        self._workload: Workload = make_workload(dice)
        self._plan: Plan = make_plan(dice, lasting_s=self._workload.lasting_s)
        others = random.Random(f"model of {seed}")  # noqa: S311 - dice of its own, so that worlds without it stay as they were
        self._model_faults = away(others, lasting_s=self._workload.lasting_s)
        self._concurrency = concurrency or self._plan.concurrency
        self._chance = Chance(seed, self._plan.failures)
        self._failures: list[str] = []
        self._watcher = Watcher(self._failures)
        self._keyspace = Keyspace()
        self._keyspace.on_write = self._watcher.see
        self._redis = Server(loop, self._keyspace)
        self._broker = Broker(loop, self._chance)
        self._broker.on_append.append(self._tell)
        self._machinery = Machinery(
            loop=loop,
            chance=self._chance,
            redis=self._redis,
            broker=self._broker,
            partitions=self._workload.partitions,
            partition_of=self._workload.users,
        )
        self._counts: Counter[str] = Counter()
        self._corrupted: set[str] = set()
        self._healed = False
        self._slots: dict[str, Running | None] = {}
        self._profiles_limits = ProfilesLimits(
            checkpoint_s=dice.choice([0.5, 1.0, 3.0]),
            checkpoint_events=dice.randint(2, 30),
            max_users=dice.randint(1, 8),
            release_s=dice.choice([2.0, 8.0]),
            idle_s=5.0,
            lost_s=20.0,
        )
        self._judging_limits = JudgingLimits(batch=dice.randint(1, 4), max_waiting=dice.randint(1, 5))

    # ------------------------------------------------------------------ the course of things

    def run(self) -> Outcome:
        """From beginning to end."""
        main = self._loop.create_task(self._course(), context=SERVERS)
        try:
            self._loop.run_until_complete(main)
        except Deadlock as error:
            self._failures.append(f"deadlock: {error}")
        self._failures += self._loop.broken
        for running in self._slots.values():
            self._counts += Counter() if running is None else running.counts
        if not self._failures:
            self._failures += self._compare()
        return Outcome(
            seed=self._seed,
            failures=tuple(self._failures),
            counts=self._counts,
            lasted_s=self._loop.now_s,
            digest=self._digest(),
        )

    async def _course(self) -> None:
        for group in (self._machinery.profiles_group, self._machinery.judging_group):
            self._loop.create_task(group.coordinate(), context=SERVERS)
        for number in range(self._plan.profile_workers):
            self._start(f"profiles {number}")
        for number in range(self._plan.judging_workers):
            self._start(f"judging {number}")
        for sent in self._workload.sent:
            append = partial(
                self._broker.append, sent.tp, key=sent.key, value=sent.value, headers=sent.headers, ms=sent.timestamp_ms
            )
            self._loop.call_at(sent.at_s, append, context=SERVERS)
        faults = [*self._plan.faults, *self._model_faults]
        for fault in faults:
            self._loop.call_at(fault.at_s, self._break, fault, context=SERVERS)
        last_s = max([fault.at_s for fault in faults], default=0.0)
        await asyncio.sleep(max(self._workload.lasting_s, last_s) + self._chance.dice.uniform(0.1, 5.0))
        self._heal()
        await self._drain()

    async def _drain(self) -> None:
        deadline_s = self._loop.now_s + _HEALED_S
        while waits := self._unfinished():
            if self._loop.now_s > deadline_s:
                self._failures.append(f"stuck {_HEALED_S:.0f} s after everything was healed: {waits}")
                return
            if self._failures:
                return
            await asyncio.sleep(_LOOK_S)

    def _unfinished(self) -> str:
        """What is still to be done; nothing, when all is."""
        broker, profiles, judging = self._broker, self._machinery.profiles_group, self._machinery.judging_group
        for number in range(self._workload.partitions):
            events, attributes, requests = (TP(topic, number) for topic in (topics.EVENTS, topics.ATTRIBUTES, topics.REQUESTS))
            stored = self._keyspace.get(checkpoint_key(TENANT, number)) or {}
            if int(stored.get("next_offset", b"0")) < broker.wanted(events):
                return f"events of partition {number}: {stored} of {broker.wanted(events)}"
            if profiles.committed.get(attributes, 0) < broker.wanted(attributes):
                return f"attributes of partition {number}"
            timers = self._keyspace.get(due_key(TENANT, number)) or {}
            if {user.decode() for user in timers} - self._corrupted:
                return f"timers of partition {number}: {timers}"
            if judging.committed.get(requests, 0) < broker.wanted(requests):
                return f"requests of partition {number}: {judging.committed.get(requests)} of {broker.wanted(requests)}"
        return ""

    def _compare(self) -> list[str]:
        logs, workload = self._broker.logs, self._workload
        expected = truth(logs, partitions=workload.partitions, knowledge=_KNOWLEDGE, rules=workload.rules)
        expected = without(expected, self._corrupted)
        ignored = frozenset(self._corrupted)
        was_away = bool(self._model_faults)
        ends = check_end(
            self._keyspace,
            logs,
            expected,
            live=workload.live,
            partitions=workload.partitions,
            ignored=ignored,
            was_away=was_away,
        )
        return [*ends, *check_published(self._watcher.published, logs, was_away=was_away)]

    def _digest(self) -> str:
        whole = hashlib.sha256()
        for key, value in sorted(self._keyspace.values.items()):
            whole.update(repr((key, sorted(value.items()) if isinstance(value, dict) else value)).encode())
        for tp, log in sorted(self._broker.logs.items()):
            whole.update(repr((tp, log)).encode())
        whole.update(repr((self._loop.now_s, self._loop.callbacks, self._watcher.writes, self._failures)).encode())
        return whole.hexdigest()[:16]

    def _tell(self, record: Record) -> None:
        for running in self._slots.values():
            if running is not None:
                running.consumer.appended()

    # ------------------------------------------------------------------ processes

    def _start(self, name: str) -> None:
        logger.info("%s starts", name)
        process = Process(f"{name} of {self._loop.now_s:.3f} s", skew_s=self._chance.dice.uniform(-0.2, 0.2))
        ended = partial(self._ended, name, process)
        if name.startswith("profiles"):
            self._slots[name] = start_profiles(
                process,
                self._machinery,
                knowledge=_KNOWLEDGE,
                rules=self._workload.rules,
                limits=self._profiles_limits,
                ended=ended,
            )
        else:
            self._slots[name] = start_judging(
                process,
                self._machinery,
                limits=self._judging_limits,
                concurrency=self._concurrency,
                answer_s=self._plan.answer_s,
                ended=ended,
            )

    def _ended(self, name: str, process: Process, error: BaseException) -> None:
        """An error that nothing handles ends its process; only errors of ours may be expected to."""
        if not isinstance(error, SerenError):
            self._failures.append(f"{self._loop.now_s:.3f} s: {process.name} ended with {error!r}")
        logger.info("%s ends: %r", process.name, error)
        self._counts[f"ended by {type(error).__name__}"] += 1
        self._kill(name, restart_s=_RESTART_S, noticed_s=SESSION_S)

    def _kill(self, name: str, *, restart_s: float, noticed_s: float) -> None:
        running = self._slots.get(name)
        if running is None:
            return
        self._slots[name] = None
        self._counts += running.counts
        self._loop.kill(running.process)
        later = self._loop.call_later
        later(0.0 if self._healed else noticed_s, running.group.put_out, running.consumer, context=SERVERS)
        later(restart_s, self._start, name, context=SERVERS)

    # ------------------------------------------------------------------ faults

    def _break(self, fault: Fault) -> None:
        logger.info("%s", fault)
        self._counts[fault.kind] += 1
        if fault.kind == "redis":
            lost = self._redis.die(lost_s=fault.lost_s)
            logger.info("Redis has lost %d writes", lost)
            self._counts["writes lost"] += lost
            self._watcher.exact = self._watcher.exact and not lost
            self._loop.call_later(fault.lasting_s, self._redis.come_back, context=SERVERS)
        elif fault.kind == "corrupt":
            self._corrupt(fault)
        elif fault.kind == "model":
            self._machinery.model.away = WAYS[fault.target % len(WAYS)]
            self._loop.call_later(fault.lasting_s, self._model_comes_back, context=SERVERS)
        elif fault.kind == "broker":
            self._broker.up = False
            self._loop.call_later(fault.lasting_s, self._broker_comes_back, context=SERVERS)
        else:
            names = sorted(self._slots)
            name = names[fault.target % len(names)]
            running = self._slots[name]
            if running is not None:
                self._break_process(fault, name, running)

    def _corrupt(self, fault: Fault) -> None:
        """A user's stored profile cannot be read any more, as a disk or another program may have it."""
        users = sorted(self._workload.users)
        user_id = users[fault.target % len(users)]
        key = profile_key(TENANT, user_id)
        stored = self._keyspace.get(key)
        if stored is not None and not claims_only(stored):
            self._corrupted.add(user_id)
            self._redis.execute(partial(self._keyspace.put, key, stored[:PROFILE_HEADER_BYTES] + b"\xc1"))

    def _break_process(self, fault: Fault, name: str, running: Running) -> None:
        if fault.kind == "crash":
            self._kill(name, restart_s=fault.lasting_s, noticed_s=SESSION_S)
        elif fault.kind == "freeze":
            self._loop.freeze(running.process)
            self._loop.call_later(fault.lasting_s, self._loop.thaw, running.process, context=SERVERS)
            if fault.lasting_s > SESSION_S:
                self._loop.call_later(SESSION_S, running.group.put_out, running.consumer, context=SERVERS)
        elif fault.kind == "put out":
            running.group.put_out(running.consumer, told_after_s=fault.lasting_s)
        elif fault.kind == "stop" and running.process.state == "running":
            self._loop.start(running.process, self._stop(name, running, fault.lasting_s), "stops")

    async def _stop(self, name: str, running: Running, restart_s: float) -> None:
        """A graceful end: everything is let go, then the group is left at once."""
        try:
            await running.consumer.leave()
        except SerenError as error:
            self._counts[f"stopped with {type(error).__name__}"] += 1
        if self._slots.get(name) is running:
            self._kill(name, restart_s=restart_s, noticed_s=0.0)

    def _broker_comes_back(self) -> None:
        self._broker.up = True
        for running in self._slots.values():
            if running is not None:
                running.consumer.appended()

    def _model_comes_back(self) -> None:
        self._machinery.model.away = None

    def _heal(self) -> None:
        """From here on nothing goes wrong any more; what has been lost stays lost."""
        logger.info("everything heals")
        self._healed = True
        self._chance.heal()
        self._redis.come_back()
        self._broker_comes_back()
        self._model_comes_back()
        for running in self._slots.values():
            if running is not None:
                self._loop.thaw(running.process)
