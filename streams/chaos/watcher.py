"""Looks at Redis and Kafka all the time while a run goes on, and notes whatever goes backwards.

Profiles and slates carry (epoch, offset). In one life of Redis neither the epoch nor the offset ever falls, as a reader sees
them. A Redis that was killed may have forgotten its last writes: what is older then is counted, and is no failure; after a
clean restart it is one.
"""

from __future__ import annotations

import asyncio
import struct
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from redis.asyncio import Redis
from redis.exceptions import RedisError

from streams.keys import checkpoint_key, profile_key, slate_key

_AT_ONCE = 400  # users of one look: about 10 ms of this process
_FENCE = struct.Struct(">8xIQ")  # of a profile's value and of a slate: epoch u32, offset u64 behind eight bytes
_KEPT_FAILURES = 50


class Seen(NamedTuple):
    """A fence as it was seen, and in which life of Redis, counted from 0."""

    life: int
    epoch: int
    offset: int


class Monotonic:
    """Holds what is seen under a name against what was seen of it before."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.failures: list[str] = []
        self.life = 0
        self._lossy: set[int] = set()  # lives that began with a loss
        self._seen: dict[str, Seen] = {}

    def redis_starts_again(self, *, lossy: bool) -> None:
        """Another life of Redis begins; `lossy`: the last writes of the one before may be gone."""
        self.life += 1
        if lossy:
            self._lossy.add(self.life)

    def see(self, name: str, epoch: int, offset: int) -> None:
        """One look at one value."""
        self.counts["looks"] += 1
        before, now = self._seen.get(name), Seen(self.life, epoch, offset)
        if before is not None and (epoch < before.epoch or offset < before.offset):
            if self.may_have_lost(since=before.life):
                self.counts["forgotten by a killed Redis"] += 1
            else:
                lives = "" if before.life == self.life else f", from life {before.life} of Redis to {self.life}"
                self.fail(f"{name} went back from ({before.epoch}, {before.offset}) to ({epoch}, {offset}){lives}")
        elif before is not None and (epoch, offset) != before[1:]:
            self.counts["changes seen"] += 1
        self._seen[name] = now

    def may_have_lost(self, *, since: int) -> bool:
        """Whether a life after `since` began with a loss."""
        return any(life > since for life in self._lossy)

    def fail(self, what: str) -> None:
        """Notes a failure, the first ones with their words."""
        self.counts["failures"] += 1
        if len(self.failures) < _KEPT_FAILURES:
            self.failures.append(what)


class Standstill:
    """The longest time that each partition's checkpoint stood still while records waited."""

    def __init__(self) -> None:
        self.longest_s = 0.0
        self._last: dict[int, tuple[int, float]] = {}

    def see(self, partition: int, *, next_offset: int, end: int, now_s: float) -> None:
        """One look."""
        before = self._last.get(partition)
        if before is None or before[0] != next_offset or next_offset >= end:
            self._last[partition] = (next_offset, now_s)
        else:
            self.longest_s = max(self.longest_s, now_s - before[1])


class Watcher:
    """Looks at Redis.

    Args:
        client: of the run's Redis; gives up quickly.
        tenant: of the run.
        surface: of the slates.
        users: whose profiles and slates are looked at, some at each look.
        partitions: how many.
    """

    def __init__(self, client: Redis, *, tenant: str, surface: str, users: Sequence[str], partitions: int) -> None:
        self.monotonic = Monotonic()
        self.standstill = Standstill()
        self.checkpoints: dict[int, tuple[int, int]] = {}
        self._client = client
        self._tenant = tenant
        self._surface = surface
        self._users = users
        self._partitions = range(partitions)
        self._at = 0
        self._behind: dict[tuple[str, int], int] = {}
        self._looking = asyncio.Lock()

    async def look(self) -> bool:
        """Looks at some users and at all checkpoints; False where Redis is away.

        One look at a time: of two, the one asked first may be answered last, and its older values would seem to go back.
        """
        async with self._looking:
            return await self._look()

    async def _look(self) -> bool:
        users = [self._users[(self._at + step) % len(self._users)] for step in range(min(_AT_ONCE, len(self._users)))]
        self._at = (self._at + len(users)) % len(self._users)
        names = [(f"profile of {user}", profile_key(self._tenant, user)) for user in users]
        names += [(f"slate of {user}", slate_key(self._tenant, user, self._surface)) for user in users]
        life, pipeline = self.monotonic.life, self._client.pipeline(transaction=False)
        for _, key in names:
            pipeline.getrange(key, 0, _FENCE.size - 1)
        for number in self._partitions:
            pipeline.hmget(checkpoint_key(self._tenant, number), "epoch", "next_offset", "next_attribute")
        try:
            answers = await pipeline.execute()
        except (RedisError, OSError):
            self.monotonic.counts["looks at a Redis that is away"] += 1
            return False
        if life != self.monotonic.life:
            return False  # asked in one life and answered in the next: which one is not known
        for (name, _), value in zip(names, answers, strict=False):
            if value:
                self.monotonic.see(name, *_FENCE.unpack(value))
        self._see_checkpoints(answers[len(names) :])
        return True

    def _see_checkpoints(self, rows: Sequence[Sequence[bytes | None]]) -> None:
        for number, (epoch, next_offset, next_attribute) in zip(self._partitions, rows, strict=True):
            if epoch is not None:
                place = (int(next_offset or 0), int(next_attribute or 0))
                self.monotonic.see(f"checkpoint of partition {number}", int(epoch), place[0])
                self.checkpoints[number] = place

    def compare_committed(self, what: str, committed: Mapping[int, int], durable: Mapping[int, int]) -> None:
        """Holds offsets that were committed against the durable ones that were read after them."""
        monotonic = self.monotonic
        for number, offset in committed.items():
            monotonic.counts["committed offsets held against the state"] += 1
            if offset <= durable.get(number, 0):
                self._behind[what, number] = monotonic.life
            elif not monotonic.may_have_lost(since=self._behind.get((what, number), 0)):
                monotonic.fail(
                    f"{what}, partition {number}: {offset} is committed, the state ends at {durable.get(number, 0)}"
                )

    def see_ends(self, ends: Mapping[int, int]) -> None:
        """Tells how far the partitions of the events go, for the longest standstill."""
        for number, end in ends.items():
            self.standstill.see(number, next_offset=self.checkpoints.get(number, (0, 0))[0], end=end, now_s=time.monotonic())
