"""Failure drills: a judging worker on a real Redis, its model in a real process, and all that can go wrong with a model.

After each drill the same is asked: every request is finished with, nobody is lost, no slate is published twice, and every
slate is exactly what its tier answers to its request, whatever went wrong around it.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
import redis.asyncio

from models.catalogue import Catalogue
from models.entities import Event, Item, PackedRequest
from models.fallback import FallbackPolicy
from models.pipeline import Answer, ServePolicy
from models.pretrained import distilled_folder, serengpt_folder, tower_folder
from models.profiles import Profile, ProfilePolicy, encode, item_features, update
from models.retrieval import Retriever
from models.selection import SelectionPolicy
from models.serengpt import embedded
from models.serengpt.checkpoint import MANIFEST, make_manifest
from models.tiers import TierPolicy
from streams.agents.answering import LowerTiers, Serve
from streams.agents.judging import JudgingWorker
from streams.engines.hosting.engine import HostedEngine, HostPolicy
from streams.engines.named import LoadedEngine
from streams.serve import load_judge, load_rungs
from tests.streams.agents.one_judging_worker import House, Record, chunk, request, until
from tests.streams.engines.misbehaving_engine import HANGS, KILLED, NAN, NO_MEMORY, note

pytestmark = pytest.mark.timeout(120)

_LEAVES = {"kitchen": ("mugs", "plates", "teapots"), "garden": ("spades", "lanterns"), "paper": ("cards", "wraps")}
CATALOGUE = Catalogue(
    Item(item_id=f"{leaf}-{kind}", title=f"{kind} {leaf}", category=(department, leaf))
    for department, leaves in _LEAVES.items()
    for leaf in leaves
    for kind in ("blue", "folding", "striped", "wooden")
)
RETRIEVER = Retriever.build(CATALOGUE, tower_folder())
POLICY = ServePolicy(selection=SelectionPolicy(slate_size=5))
USERS = [f"user-{number}" for number in range(12)]
# Steps down after two failures, and up after two good probes.
TIERS = TierPolicy(failures_count=2, probe_s=0.05, probes_count=2, steady_s=0.0)


def asked(user: str, offset: int) -> PackedRequest:
    """A question about a user who bought something that depends on their name."""
    items = CATALOGUE.items
    item = items[sum(user.encode()) % len(items)]
    profile = Profile()
    event = Event(event_id="e", user_id=user, type="purchase", ts_ms=500, item_id=item.item_id)
    update(profile, event, item_features(item, max_tag_bytes=64), (), offset=1, policy=ProfilePolicy())
    return msgspec.structs.replace(request(user, offset), profile=encode(profile))


class Drill:
    """A worker whose model misbehaves as noted in a folder."""

    def __init__(self, house: House, engine: LoadedEngine, folder: Path, restarts: dict[str, int]) -> None:
        self.house = house
        self.engine = engine
        self.folder = folder
        self.restarts = restarts
        self.sent: dict[str, PackedRequest] = {}
        self._count = 0

    @asynccontextmanager
    async def working(self, policy: TierPolicy = TIERS, **limits: Any) -> AsyncIterator[JudgingWorker]:
        judge = partial(load_judge, CATALOGUE, retriever=RETRIEVER, policy=POLICY, profile=ProfilePolicy())
        self.house.judge = judge(engine=self.engine)  # type: ignore[assignment]
        self.house.clock = time
        lower = LowerTiers(rungs(), policy)
        self.worker = await self.house.worker(0, lower=lower, attempt_s=0.0, **limits)
        task = asyncio.create_task(self.worker.serve_forever())
        try:
            yield self.worker
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def send(self, users: list[str]) -> None:
        """A question about each of these users."""
        now_ms = int(time.time() * 1000)
        requests = [asked(user, self._count + place) for place, user in enumerate(users)]
        sent = chunk(*requests, first=self._count)
        records = [Record(*record[:5], timestamp=now_ms) for record in sent.records]  # type: ignore[misc]
        self._count += len(requests)
        self.sent.update((one.user_id, one) for one in requests)
        await self.worker.take(sent._replace(records=records))  # type: ignore[arg-type]

    async def answered(self) -> None:
        """Waits until every question is finished with."""
        await until(lambda: self.house.commits[-1:] == [{0: self._count}], within_s=60)

    async def tiers(self) -> dict[str, int]:
        """How many users have a slate of which tier; each slate is what that tier answers to the user's newest question."""
        truth: dict[str, Serve] = {rung.tier: rung.serve for rung in rungs()} | {"serengpt": serengpt()}
        found: dict[str, int] = {}
        for user, newest in self.sent.items():
            slate = await self.house.slates.read(user, "home")
            assert slate is not None, f"{user} is lost"
            assert (slate.epoch, slate.offset) == (newest.epoch, newest.offset)
            [right] = truth[slate.tier]([newest])
            assert isinstance(right, Answer)
            assert [item.item_id for item in slate.items] == [item.item_id for item in right.items]
            assert slate.model_id == right.model_id
            trace = await self.house.slates.why(user, "home")
            assert trace is not None
            assert trace.tier == slate.tier
            found[slate.tier] = found.get(slate.tier, 0) + 1
        counts = self.worker.counts
        assert counts["slates_accepted"] + counts["coalesced"] == self._count, "one slate a question, and none twice"
        assert self.house.letters == []
        return found


def rungs() -> Any:
    return load_rungs(
        CATALOGUE,
        retriever=RETRIEVER,
        distilled=distilled_folder(),
        policy=POLICY,
        profile=ProfilePolicy(),
        fallback=FallbackPolicy(),
    )


def serengpt() -> Serve:
    engine = embedded.load_engine(serengpt_folder(), threads=1)
    return load_judge(CATALOGUE, engine=engine, retriever=RETRIEVER, policy=POLICY, profile=ProfilePolicy())


Make = Callable[..., Drill]


@pytest.fixture
def drill(redis_client: redis.asyncio.Redis, tmp_path: Path) -> Iterator[Make]:
    made: list[Drill] = []

    def make(maker: str = "tests.streams.engines.misbehaving_engine:make", stall_s: float = 3.0, **arguments: Any) -> Drill:
        restarts: dict[str, int] = {}

        def count(why: str) -> None:
            restarts[why] = restarts.get(why, 0) + 1

        engine = HostedEngine(
            maker, arguments or {"folder": str(tmp_path)}, policy=HostPolicy(stall_s=stall_s), on_restart=count
        )
        made.append(Drill(House(redis_client), engine, tmp_path, restarts))
        return made[-1]

    yield make
    for one in made:
        one.engine.close()


async def test_engine_that_is_killed_in_the_middle_of_a_batch_costs_nobody_anything(drill: Make) -> None:
    one = drill()
    note(one.folder, KILLED)
    async with one.working():
        await one.send(USERS)
        await one.answered()
    assert await one.tiers() == {"serengpt": 12}
    assert (one.restarts, one.worker.tier) == ({"lost": 1}, "serengpt")


async def test_engine_that_is_killed_again_and_again_gives_way_and_comes_back(drill: Make) -> None:
    one = drill()
    cause = note(one.folder, KILLED, always=True)
    async with one.working() as worker:
        await one.send(USERS)
        await one.answered()
        assert worker.tier == "distilled"
        cause.unlink()
        await until(lambda: worker.tier == "serengpt", within_s=60)
        await one.send(USERS[:4])
        await one.answered()
    assert await one.tiers() == {"serengpt": 4, "distilled": 8}
    assert (worker.counts["tier_failed"], worker.counts["tier_recovered"]) == (1, 1)


async def test_memory_that_is_full_once_is_borne_and_memory_that_stays_full_is_left_to_a_lower_tier(drill: Make) -> None:
    one = drill()
    note(one.folder, NO_MEMORY)
    async with one.working() as worker:
        await one.send(USERS[:6])
        await one.answered()
        assert (await one.tiers(), worker.tier) == ({"serengpt": 6}, "serengpt")
        note(one.folder, NO_MEMORY, always=True)
        await one.send(USERS[6:])
        await one.answered()
    assert await one.tiers() == {"serengpt": 6, "distilled": 6}
    assert one.restarts == {}


async def test_engine_that_hangs_is_replaced_while_its_users_are_answered_from_below(drill: Make) -> None:
    one = drill(stall_s=1.0)
    note(one.folder, HANGS)
    async with one.working() as worker:
        await one.send(USERS[:8])
        await one.answered()
        await until(lambda: worker.tier == "serengpt", within_s=60)
        await one.send(USERS[8:])
        await one.answered()
    assert await one.tiers() == {"distilled": 8, "serengpt": 4}
    assert (one.restarts, worker.counts["tier_hung"]) == ({"hung": 1}, 1)


async def test_engine_that_is_stopped_from_outside_is_replaced(drill: Make) -> None:
    one = drill(stall_s=1.0)
    async with one.working() as worker:
        await one.send(USERS[:4])
        await one.answered()
        os.kill(one.engine.pid, signal.SIGSTOP)  # type: ignore[attr-defined]
        await one.send(USERS[4:])
        await one.answered()
    assert await one.tiers() == {"serengpt": 4, "distilled": 8}
    assert (one.restarts, worker.counts["tier_hung"]) == ({"hung": 1}, 1)


async def test_scores_that_are_no_numbers_are_in_no_slate(drill: Make) -> None:
    one = drill()
    cause = note(one.folder, NAN, always=True)
    async with one.working() as worker:
        await one.send(USERS[:10])
        await one.answered()
        assert await one.tiers() == {"distilled": 10}
        assert worker.counts["tier_unsound"] == 1
        cause.unlink()
        await until(lambda: worker.tier == "serengpt", within_s=60)
        await one.send(USERS[10:])
        await one.answered()
    assert await one.tiers() == {"distilled": 10, "serengpt": 2}


async def test_burst_of_a_hundred_times_the_usual_is_answered_whole_in_bounded_memory(drill: Make) -> None:
    """Of 400 questions where four are usual: the queue grows too old, the tier below takes it, and SerenGPT comes back."""
    one = drill()
    burst = [f"burst-{number % 360}" for number in range(400)]
    policy = TierPolicy(queue_age_s=1.0, queue_young_s=0.5, probe_s=0.05, probes_count=2, steady_s=0.0)
    waiting: list[int] = []
    async with one.working(policy, max_waiting=40) as worker:
        await one.send(USERS[:4])
        await one.answered()
        taking = asyncio.create_task(one.send(burst))
        while not taking.done():
            waiting.append(worker.waiting_count)
            await asyncio.sleep(0.01)
        await taking
        await one.answered()
        await until(lambda: worker.tier == "serengpt", within_s=60)
        await one.send(USERS[4:8])
        await one.answered()
    found = await one.tiers()
    assert sum(found.values()) == 368
    assert found["distilled"] > 100, "not everybody waited for SerenGPT"
    assert max(waiting) <= 40
    assert worker.counts["tier_queue"] >= 1


async def test_checkpoint_that_is_spoilt_while_it_serves_is_noticed_at_the_next_start(drill: Make, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(serengpt_folder(), folder, ignore=shutil.ignore_patterns("*.safetensors"))
    one = drill("streams.engines.named:load_engine", engine="ctranslate2", model=str(folder), threads=1)
    model = folder / "ct2" / "model.bin"
    good = model.read_bytes()
    async with one.working() as worker:
        model.write_bytes(b"\0" + good[1:])
        await one.send(USERS[:4])
        await one.answered()
        assert await one.tiers() == {"serengpt": 4}, "what is loaded stays"
        os.kill(one.engine.pid, signal.SIGKILL)  # type: ignore[attr-defined]
        await until(lambda: bool(one.restarts))
        await one.send(USERS[4:8])
        await one.answered()
        assert (worker.tier, worker.counts["tier_dead"]) == ("distilled", 1)
        model.write_bytes(good)
        await until(lambda: worker.tier == "serengpt", within_s=60)
        await one.send(USERS[8:])
        await one.answered()
    assert await one.tiers() == {"serengpt": 8, "distilled": 4}


@pytest.mark.parametrize("spoilt", ["changed byte", "other architecture"])
def test_worker_does_not_start_with_a_checkpoint_that_is_corrupt_or_of_another_architecture(
    tmp_path: Path, spoilt: str
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(serengpt_folder(), folder, ignore=shutil.ignore_patterns("*.safetensors"))
    model = folder / "ct2" / "model.bin"
    if spoilt == "changed byte":
        model.write_bytes(b"\0" + model.read_bytes()[1:])
        said = "model.bin is not the file that ct2/manifest.json names"
    else:  # the runtime's header names the architecture's class
        data = model.read_bytes()
        assert b"TransformerDecoderSpec" in data
        model.write_bytes(data.replace(b"TransformerDecoderSpec", b"WhateverDecoderSpecial"))
        (folder / MANIFEST).write_bytes(msgspec.json.encode(make_manifest(folder, name="other")))
        said = "the runtime cannot load it"
    environment = {**os.environ, "SEREN_SERENGPT_MODEL": str(folder), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-m", "streams", "worker", "judging"]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr
