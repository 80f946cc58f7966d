"""Where an offline engine keeps users' states, and how the states of two replays are compared."""

from __future__ import annotations

import hashlib
import struct
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from models.profiles import Profile, decode
from streams import topics
from streams.checkpoint import admit, checkpoint, take_over
from streams.knowledge import Knowledge
from streams.partition import Partition, Rules
from streams.production import Outgoing
from streams.recorded.replay import DAY_MS
from streams.state import PartitionStore, ProfileStore

PROFILE_TTL_MS = 400 * DAY_MS  # as a worker's default
_LENGTHS = struct.Struct(">II")


class States(Protocol):
    """Where the users' states are kept between checkpoints. `requests` holds the newest of each user, where kept."""

    requests: dict[str, bytes]

    async def start(self, number: int, *, knowledge: Knowledge, rules: Rules, counts: Counter[str]) -> Partition:
        """The partition as its last checkpoint left it."""

    async def admit(self, partition: Partition, users: Sequence[str]) -> None:
        """Takes the users' profiles into the partition's memory."""

    async def checkpoint(self, partition: Partition) -> None:
        """Keeps what the partition has changed, and lets its requests go."""

    async def profiles(self, users: Iterable[str]) -> dict[str, bytes]:
        """The bytes of these users' profiles; who has none is left out."""


class MemoryStates:
    """States as the bytes that would be stored."""

    def __init__(self) -> None:
        self.requests: dict[str, bytes] = {}
        self._values: dict[str, bytes] = {}

    async def start(self, number: int, *, knowledge: Knowledge, rules: Rules, counts: Counter[str]) -> Partition:
        """A new partition."""
        return Partition(number, epoch=1, next_offset=0, watermark_ms=0, knowledge=knowledge, rules=rules, counts=counts)

    async def admit(self, partition: Partition, users: Sequence[str]) -> None:
        """See `States.admit`."""
        for user_id in users:
            value = self._values.get(user_id)
            partition.admit(user_id, Profile() if value is None else decode(value))

    async def checkpoint(self, partition: Partition) -> None:
        """See `States.checkpoint`."""
        snapshot = partition.snapshot()
        residents = partition.residents
        for user_id in snapshot.users:
            self._values[user_id] = residents[user_id].pack()
        self.requests.update((user_id, fired.request) for user_id, fired in snapshot.requests)
        partition.settled(snapshot)

    async def profiles(self, users: Iterable[str]) -> dict[str, bytes]:
        """See `States.profiles`."""
        return {user_id: self._values[user_id] for user_id in users if user_id in self._values}


class RedisStates:
    """States in Redis, fenced as a worker's are. A second run over the same log finds everything applied and changes nothing.

    Args:
        profiles, partitions: the stores.
    """

    def __init__(self, profiles: ProfileStore, partitions: PartitionStore) -> None:
        self.requests: dict[str, bytes] = {}
        self._profiles = profiles
        self._partitions = partitions
        self._numbers: dict[int, int] = {}

    async def start(self, number: int, *, knowledge: Knowledge, rules: Rules, counts: Counter[str]) -> Partition:
        """Takes the partition over with a new epoch, with the timers that were left to us."""
        found = await self._partitions.acquire(number)
        partition = Partition(
            number,
            epoch=found.epoch,
            next_offset=found.next_offset or 0,
            watermark_ms=found.watermark_ms or 0,
            knowledge=knowledge,
            rules=rules,
            counts=counts,
        )
        self._numbers[number] = found.number
        await take_over(number, partition, profiles=self._profiles, partitions=self._partitions)
        return partition

    async def admit(self, partition: Partition, users: Sequence[str]) -> None:
        """See `streams.checkpoint.admit`."""
        await admit(partition, users, profiles=self._profiles)

    async def checkpoint(self, partition: Partition) -> None:
        """See `streams.checkpoint.checkpoint`."""
        await checkpoint(
            partition,
            number=self._numbers[partition.number] + 1,
            profiles=self._profiles,
            partitions=self._partitions,
            produce=self._produce,
            ttl_ms=PROFILE_TTL_MS,
        )
        self._numbers[partition.number] += 1

    async def profiles(self, users: Iterable[str]) -> dict[str, bytes]:
        """See `States.profiles`."""
        return await stored_profiles(self._profiles, users)

    async def _produce(self, topic: str, records: Sequence[Outgoing]) -> None:
        """Keeps requests; labels and dead letters have nobody here who wants more than their number."""
        if topic == topics.REQUESTS:
            self.requests.update((record.key.decode(), record.value) for record in records if record.key and record.value)


async def stored_profiles(profiles: ProfileStore, users: Iterable[str]) -> dict[str, bytes]:
    """The bytes of these users' profiles as Redis holds them; who has none is left out."""
    found = {}
    for user_id in users:
        state = await profiles.read(user_id)
        if state is not None:
            found[user_id] = state.profile
    return found


def profiles_digest(profiles: Mapping[str, bytes]) -> str:
    """SHA-256 over users and bytes, in the order of the users' ids. Who wrote them (epoch, partition) is not in it.

    Example:
        >>> profiles_digest({"b": b"2", "a": b"1"}) == profiles_digest({"a": b"1", "b": b"2"})
        True
        >>> profiles_digest({"a": b"b1"}) == profiles_digest({"ab": b"1"})
        False
    """
    whole = hashlib.sha256()
    for user_id in sorted(profiles):
        name, value = user_id.encode(), profiles[user_id]
        whole.update(_LENGTHS.pack(len(name), len(value)) + name + value)
    return whole.hexdigest()
