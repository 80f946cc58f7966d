"""Worlds that fail in every way end as the oracle says; and the checker sees the bugs that we plant."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import pytest

from models.serengpt.address import imagine_address
from models.tiers import Ladder
from streams.agents import profiles, unfinished
from streams.agents.ledger import OffsetLedger
from streams.agents.limits import JudgingLimits
from streams.checkpoint import checkpoint
from streams.partition import Partition
from streams.scores import engine, record
from streams.simulation import keyspace, world
from streams.simulation.keyspace import Keyspace
from streams.simulation.world import Outcome, simulate
from streams.slates.packed import decode_slate
from streams.state import PartitionStore

WORLDS = 2_000
PART = 250


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Every world warns some hundred times, rightly."""
    logger = logging.getLogger("streams")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    yield
    logger.setLevel(before)


def failed(seeds: range) -> list[str]:
    """What went wrong, with how to see it again."""
    outcomes = [simulate(seed) for seed in seeds]
    return [f"python -m streams.simulation --seed {one.seed}: {one.failures}" for one in outcomes if not one.passed]


@pytest.mark.parametrize("first", range(0, WORLDS, PART))
def test_every_world_ends_as_the_oracle_says(first: int) -> None:
    assert failed(range(first, first + PART)) == []


def test_worlds_fail_in_every_way() -> None:
    """So that the law above is about something."""
    counts: Counter[str] = Counter()
    for seed in range(150):
        counts += simulate(seed).counts
    assert {"crash", "freeze", "put out", "stop", "redis", "broker"} <= {name for name, count in counts.items() if count > 50}
    assert counts["writes lost"] > 20
    assert {"slates_accepted", "slates_refused", "slates_repeated", "slates_restored", "store_restarts"} <= counts.keys()
    assert {"partitions_lost", "releases_abandoned", "already_applied", "evicted", "coalesced", "labels"} <= counts.keys()
    assert {"requests_visit", "requests_search", "requests_drift", "duplicates", "requests_superseded"} <= counts.keys()
    assert {"dead_letters_DecodeError", "dead_letters_RequestError"} <= counts.keys()
    known = {f"score_log_{name}" for name in ("imagine_hits", "imagine_misses", "sent", "unsent", "evicted")}
    assert known <= counts.keys()
    assert {"answers_serengpt", "answers_category", "answers_last_good", "answers_nothing"} <= counts.keys()
    assert {"tier_failed", "tier_dead", "tier_hung", "tier_late", "tier_unsound", "tier_recovered"} <= counts.keys()


def test_world_is_the_same_in_every_process() -> None:
    def told(hash_seed: str) -> str:
        command = [sys.executable, "-m", "streams.simulation", "--seed", "357"]
        environment = os.environ | {"PYTHONHASHSEED": hash_seed}
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout

    assert told("1") == told("2")
    assert told("1").endswith("1 passed, 0 failed\n")


# ---- planted bugs: each must be seen, and for what it is


def seen(simulated: Callable[[int], Outcome], like: str, *, within: int) -> bool:
    """Whether the checker says something like this of one of the first worlds."""
    return any(like in failure for seed in range(within) for failure in simulated(seed).failures)


def test_committing_before_the_checkpoint_is_seen_as_lost_events(monkeypatch: pytest.MonkeyPatch) -> None:
    async def hasty(partition: Partition, *, number: int, partitions: PartitionStore, **ports: Any) -> int:
        await partitions.write(
            partition.number,
            epoch=partition.epoch,
            number=number,
            next_offset=partition.next_offset,
            watermark_ms=partition.watermark_ms,
        )
        return await checkpoint(partition, number=number, partitions=partitions, **ports)

    monkeypatch.setattr(profiles, "checkpoint", hasty)
    assert seen(simulate, ": events ", within=200)


def test_score_log_that_mixes_up_questions_is_seen_as_wrong_slates(monkeypatch: pytest.MonkeyPatch) -> None:
    def careless(asked: Any, decoding: str, cue: str, *, n: int, seed: int) -> str:
        return imagine_address(asked, decoding, cue, n=n, seed=seed % 7)

    monkeypatch.setattr(engine, "imagine_address", careless)
    monkeypatch.setattr(record, "imagine_address", careless)
    assert seen(simulate, "slate of ", within=200)


def test_unfenced_publish_is_seen_as_a_slate_that_goes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    def unfenced(space: Keyspace, keys: Sequence[str], args: Sequence[bytes]) -> int:
        space.put(keys[0], args[0])
        return 2

    monkeypatch.setitem(keyspace.TWINS, "publish", unfenced)
    assert seen(simulate, ":slate:home went back from ", within=200)


def test_tier_that_overwrites_what_is_newer_is_seen_as_a_slate_that_goes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    def worse(space: Keyspace, keys: Sequence[str], args: Sequence[bytes]) -> int | bytes:
        if decode_slate(args[0]).tier != "serengpt":
            space.put(keys[0], args[0])
            return 2
        return keyspace.publish(space, keys, args)

    monkeypatch.setitem(keyspace.TWINS, "publish", worse)
    assert seen(simulate, ":slate:home went back from ", within=400)


def test_empty_slate_over_a_good_one_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def never_kept(space: Keyspace, keys: Sequence[str], args: Sequence[bytes]) -> int | bytes:
        return keyspace.publish(space, keys, args[:3])

    monkeypatch.setitem(keyspace.TWINS, "publish", never_kept)
    assert seen(simulate, "nothing was put over ", within=400)


def test_lower_tier_without_need_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Ladder, "is_down", True)
    assert seen(simulate, "although the model was never away", within=20)


class FaustsLedger(OffsetLedger):
    """What faust-streaming 0.15.3 commits (`Consumer._new_offset`): the first run of finished offsets.

    An unfinished one before it holds it back only where something was committed and the run begins more than one after that.
    """

    def __init__(self, next_offset: int) -> None:
        super().__init__(next_offset)
        self._order: list[int] = []
        self._acked: list[int] = []
        self._committed = 0

    def take(self, offset: int) -> None:
        super().take(offset)
        self._order.append(offset)

    def finish(self, offset: int) -> None:
        super().finish(offset)
        if offset in self._order:
            self._acked.append(offset)

    @property
    def committable(self) -> int:
        self._look()
        return self._look()

    def _look(self) -> int:
        """Faust looks whenever it commits, which is more often than we do."""
        acked = sorted(set(self._acked))
        if acked and not (self._committed and self._gap_before(acked[0]) > 1):
            places = [self._order.index(offset) for offset in acked]
            run = next((at for at, (one, other) in enumerate(pairwise(places), 1) if other > one + 1), len(places))
            self._committed = max(self._committed, acked[run - 1] + 1)
            self._acked = acked[run:]
        return self._committed

    def _gap_before(self, offset: int) -> int:
        return sum(self._committed <= taken < offset for taken in self._order)


def test_faust_s_own_ledger_at_concurrency_two_is_seen_as_a_lost_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unfinished, "OffsetLedger", FaustsLedger)
    assert seen(partial(simulate, concurrency=2), "slate of ", within=800)


def test_ledger_of_ours_at_concurrency_two_loses_no_request() -> None:
    outcomes = [simulate(seed, concurrency=2) for seed in range(200)]
    assert [one.seed for one in outcomes if not one.passed] == []


def test_checkpoint_that_is_blind_to_a_restart_of_redis_is_seen_as_lost_events(monkeypatch: pytest.MonkeyPatch) -> None:
    def blind(space: Keyspace, keys: Sequence[str], args: Sequence[bytes]) -> int | bytes:
        return keyspace.write_checkpoint(space, keys, [*args[:2], b"", *args[3:]])

    monkeypatch.setitem(keyspace.TWINS, "write_checkpoint", blind)
    assert seen(simulate, ": events ", within=800)


def test_slates_that_are_published_once_are_seen_to_be_lost_with_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(world, "JudgingLimits", partial(JudgingLimits, settle_s=0.0))
    assert seen(simulate, "slate of ", within=800)
