"""The profile workers' durable state in Redis: profiles, partition epochs and checkpoints, timers.

Two promises, each kept by small Lua scripts. A user's state never goes back: a write is accepted only from the newest owner
that has claimed the user, and never with an older offset. A partition has one owner: `acquire` hands out a new epoch, and
whatever still writes with an older one is refused.

A profile's value is a fixed header, big-endian, then the profile's own bytes:

    0  4  magic `SRNP`      4  2  version = 1      6  2  0; 1: claimed by its owner, without a state yet; 2: traced
    8  4  epoch u32        12  8  offset u64      20  4  partition u32      24  the profile

In a traced one a trace context comes before the profile, its length before it as a u16 (`streams.observability.tracing`).
Knows nothing about what a profile holds, nor when a checkpoint is due.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from redis.asyncio import Redis

from models.errors import DecodeError, UnknownVersion
from streams.keys import checkpoint_key, due_key, profile_key, redriven_key
from streams.lua.scripts import CALLS_PER_ROUND_TRIP, Argument, Script, translating

PROFILE_MAGIC = b"SRNP"
PROFILE_VERSION = 1
EPOCHS = 2**32
PARTITIONS = 2**32
OFFSETS = 2**63  # Kafka's offsets are signed 64-bit integers

# Timers per call of the script: a call of this size runs well below a millisecond, so it holds up nobody else's commands.
TIMERS_PER_CALL = 500

# A claim without a state outlives every checkpoint that its owner may be late with, and every zombie that sleeps for less.
CLAIM_TTL_MS = 86_400_000

# A dead letter's topic keeps it for 14 days; whoever keeps it for longer may redrive within this.
REDRIVEN_TTL_MS = 60 * 86_400_000
SENT = b"sent"  # in place of an offset: sent again, and not yet seen by the partition's owner

_PLACES = ("next_offset", "watermark_ms", "next_attribute", "next_answer")

_CLAIMED_ONLY = (1).to_bytes(2, "big")
_TRACED = 2
_LENGTH = struct.Struct(">H")
_HEADER = struct.Struct(">4sHHIQI")
_CLAIM = struct.Struct(">IQI")
PROFILE_HEADER_BYTES = _HEADER.size


class ProfileState(NamedTuple):
    """One user's state as it was stored: who wrote it (epoch, partition), up to which offset, and the profile's bytes.

    `context` is that of the trace behind its pending trigger; empty where there is none.
    """

    epoch: int
    partition: int
    offset: int
    profile: bytes
    context: bytes = b""


class ProfileWrite(NamedTuple):
    """One user's state to store, true up to and including `offset`."""

    user_id: str
    offset: int
    profile: bytes
    ttl_ms: int
    context: bytes = b""


class Fenced(NamedTuple):
    """A newer owner, of `epoch`, has claimed this user: whoever gets this answer is a zombie and must stop."""

    epoch: int


class Checkpoint(NamedTuple):
    """What a partition's owner starts from. `number` is 0 and `next_offset` None before the first checkpoint.

    `next_attribute` is where the attributes of the partition's users go on, `next_answer` where a language model's tags do.
    `life` is Redis's when the partition was acquired: a server that starts again, or a replica that takes over, has another
    one; empty where a server tells none.
    """

    epoch: int
    number: int
    next_offset: int | None
    watermark_ms: int | None
    next_attribute: int = 0
    life: str = ""
    next_answer: int = 0


class Restarted(NamedTuple):
    """Redis is in another life than the writer knew: what was acknowledged in the one before may be lost."""

    life: str


class ProfileStore:
    """Profile states, many users per round trip. It may be cancelled and repeated: every operation bears being done twice.

    Args:
        client: a Redis (or Redis Cluster) client with bytes answers.
        tenant: the first part of every key.
    """

    def __init__(self, client: Redis, *, tenant: str) -> None:
        self._client = client
        self._tenant = tenant
        self._claim = Script("claim_profile")
        self._write = Script("write_profile")
        self._forget = Script("forget_profile")

    async def claim(
        self, users: Sequence[str], *, epoch: int, partition: int
    ) -> list[ProfileState | Fenced | DecodeError | None]:
        """Reads each user's state and, in the same atomic step, closes it to older epochs.

        A state that was written for another partition (the topic was given more partitions) is handed over whatever its epoch;
        its stored offset starts again from 0, and the old partition's owner is refused from then on. The answer still names
        the old partition, because its offset means nothing in the new one. For a user without a state the claim alone is
        stored, so that a zombie cannot write one, either.

        Returns:
            One answer per user, in their order: the state as it was stored; None when there is none; `Fenced` when a newer
            epoch of this partition has it; `DecodeError` (or `UnknownVersion`) when the stored bytes are no state of ours.

        Raises:
            StoreUnavailable: Redis is away; claim again.
        """
        packed = _CLAIM.pack(_bounded("epoch", epoch, EPOCHS), 0, _bounded("partition", partition, PARTITIONS))
        calls: list[tuple[Argument, ...]] = [
            (1, profile_key(self._tenant, user), epoch, partition, packed, CLAIM_TTL_MS) for user in users
        ]
        return [_claimed(answer) for answer in await self._claim.run(self._client, calls)]

    async def write(self, states: Sequence[ProfileWrite], *, epoch: int, partition: int) -> list[bool]:
        """Stores states, each accepted only when no newer epoch, no newer offset and no other partition has the user.

        Returns:
            One answer per state, in their order: False is a refusal, which tells the writer that it is a zombie.

        Raises:
            StoreUnavailable: Redis is away; write again, nothing may be acknowledged meanwhile.
        """
        calls: list[tuple[Argument, ...]] = [
            (
                1,
                profile_key(self._tenant, state.user_id),
                encode_profile_state(ProfileState(epoch, partition, state.offset, state.profile, state.context)),
                state.ttl_ms,
            )
            for state in states
        ]
        return [answer == 1 for answer in await self._write.run(self._client, calls)]

    async def read(self, user_id: str) -> ProfileState | None:
        """One user's state as it is, claiming nothing.

        Raises:
            StoreUnavailable: Redis is away.
            DecodeError: the stored bytes are no state of ours.
        """
        with translating():
            value: Any = await self._client.get(profile_key(self._tenant, user_id))
        return None if value is None or claims_only(value) else decode_profile_state(value)

    async def forget_up_to(self, offsets: Mapping[str, int], *, epoch: int, partition: int) -> bool:
        """Deletes the states of users who were claimed, each up to an offset; newer ones stay.

        Returns:
            False when a newer owner or another partition has one of them.
        """
        calls: list[tuple[Argument, ...]] = [
            (1, profile_key(self._tenant, user_id), _CLAIM.pack(epoch, offset, partition))
            for user_id, offset in offsets.items()
        ]
        return all(answer == 1 for answer in await self._forget.run(self._client, calls))

    async def forget(self, user_id: str) -> bool:
        """Deletes one user's state; True when there was one. An owner that holds the user in memory may write it again."""
        with translating():
            return bool(await self._client.delete(profile_key(self._tenant, user_id)))


class PartitionStore:
    """Epochs, checkpoints and timers of partitions.

    Args:
        client: a Redis (or Redis Cluster) client with bytes answers.
        tenant: the first part of every key.
    """

    def __init__(self, client: Redis, *, tenant: str) -> None:
        self._client = client
        self._tenant = tenant
        self._acquire = Script("acquire")
        self._write = Script("write_checkpoint")
        self._write_due = Script("write_due")
        self._life = Script("life")
        self._write_redriven = Script("write_redriven")

    async def acquire(self, partition: int, *, floor: int = 0) -> Checkpoint:
        """Takes the partition over with a new epoch, atomically.

        Args:
            partition: the partition that the broker has assigned.
            floor: the new epoch is at least this. Seconds since 1970 keep epochs rising even when Redis has lost the
                checkpoint but not the profiles (a failover of one cluster node); 0 gives 1, 2, 3..., as a replay needs.

        Returns:
            The new epoch, with the last checkpoint of whoever had the partition before.
        """
        call = (1, checkpoint_key(self._tenant, partition), _bounded("floor", floor, EPOCHS))
        [(*fields, life)] = await self._acquire.run(self._client, [call])
        return _checkpoint(*fields)._replace(life=life.decode())

    async def read(self, partition: int) -> Checkpoint | None:
        """The partition's checkpoint as it is, acquiring nothing; None when nobody ever had the partition."""
        with translating():
            fields: list[Any] = await self._client.hmget(
                checkpoint_key(self._tenant, partition),
                ["epoch", "number", *_PLACES],
            )
        return None if fields[0] is None else _checkpoint(*fields)

    async def life(self, partition: int) -> str:
        """Redis's life as it is now (`Checkpoint.life`)."""
        [life] = await self._life.run(self._client, [(1, checkpoint_key(self._tenant, partition))])
        return str(life.decode())

    async def write(
        self,
        partition: int,
        *,
        epoch: int,
        number: int,
        next_offset: int,
        watermark_ms: int,
        next_attribute: int = 0,
        next_answer: int = 0,
        life: str = "",
    ) -> bool | Restarted:
        """Records checkpoint `number`.

        Args:
            partition: the partition.
            epoch: the owner's.
            number: of this checkpoint.
            next_offset: where the next owner starts.
            watermark_ms: event time there.
            next_attribute: where the next owner starts in the users' attributes.
            next_answer: and in a language model's tags.
            life: of the Redis that holds what this checkpoint rests on; empty for whichever it is.

        Returns:
            False when a newer owner, or a newer checkpoint of ours, is there already. `Restarted` when Redis is in another
            life: nothing was recorded.
        """
        key = checkpoint_key(self._tenant, partition)
        call = (1, key, epoch, number, life, next_offset, watermark_ms, next_attribute, next_answer)
        [answer] = await self._write.run(self._client, [call])
        return Restarted(answer.decode()) if isinstance(answer, bytes) else answer == 1

    async def write_due(
        self, partition: int, *, epoch: int, due_ms: Mapping[str, int], clear: Iterable[str] = (), life: str = ""
    ) -> bool:
        """Sets the timers of `due_ms` and clears those of `clear`; False when a newer owner has the partition.

        With `life`, also False when Redis is in another one: the states for which timers are cleared may be lost, and older
        ones be back whose triggers are pending.

        Many timers go in several calls, so a takeover may fall between them: what was refused is the new owner's to decide.
        """
        pairs = [(user, str(due)) for user, due in due_ms.items()] + [(user, "") for user in clear]
        keys = (2, checkpoint_key(self._tenant, partition), due_key(self._tenant, partition), epoch, life)
        calls: list[tuple[Argument, ...]] = [
            keys + tuple(part for pair in pairs[start : start + TIMERS_PER_CALL] for part in pair)
            for start in range(0, len(pairs), TIMERS_PER_CALL)
        ]
        return all(answer == 1 for answer in await self._write_due.run(self._client, calls))

    async def read_due(self, partition: int, *, until_ms: int | None = None) -> list[tuple[str, int]]:
        """The partition's timers, earliest first (then by user id): all of them, or those due at or before `until_ms`."""
        key, last = due_key(self._tenant, partition), "+inf" if until_ms is None else until_ms
        timers: list[tuple[str, int]] = []
        with translating():
            while True:
                page: list[Any] = await self._client.zrange(
                    key, "-inf", last, byscore=True, withscores=True, offset=len(timers), num=CALLS_PER_ROUND_TRIP
                )
                timers += [(user.decode(), int(due)) for user, due in page]
                if len(page) < CALLS_PER_ROUND_TRIP:
                    return timers

    async def read_redriven(self, partition: int, origins: Sequence[str]) -> dict[str, int | None]:
        """Where the records of these origins came to lie in the partition; None: sent again, and nobody has seen it yet."""
        if not origins:
            return {}
        with translating():
            values: list[Any] = await self._client.mget([redriven_key(self._tenant, partition, origin) for origin in origins])
        return {
            origin: None if value == SENT else int(value)
            for origin, value in zip(origins, values, strict=True)
            if value is not None
        }

    async def write_redriven(self, partition: int, offsets: Mapping[str, int]) -> None:
        """Notes where the records of these origins came to lie. Whoever reads the log in order notes the same."""
        await self._note_redriven(partition, {origin: str(offset).encode() for origin, offset in offsets.items()}, "")

    async def note_sent(self, partition: int, origins: Sequence[str]) -> None:
        """Notes that these were sent again, unless more is known of them."""
        await self._note_redriven(partition, dict.fromkeys(origins, SENT), "NX")

    async def _note_redriven(self, partition: int, values: Mapping[str, bytes], condition: str) -> None:
        calls: list[tuple[Argument, ...]] = [
            (1, redriven_key(self._tenant, partition, origin), REDRIVEN_TTL_MS, condition, value)
            for origin, value in values.items()
        ]
        await self._write_redriven.run(self._client, calls)


def encode_profile_state(state: ProfileState) -> bytes:
    """The value that is stored for a state.

    >>> encode_profile_state(ProfileState(epoch=2, partition=3, offset=70, profile=b"!")).hex()
    '53524e50000100000000000200000000000000460000000321'
    """
    header = _HEADER.pack(
        PROFILE_MAGIC,
        PROFILE_VERSION,
        _TRACED if state.context else 0,
        _bounded("epoch", state.epoch, EPOCHS),
        _bounded("offset", state.offset, OFFSETS),
        _bounded("partition", state.partition, PARTITIONS),
    )
    context = _LENGTH.pack(len(state.context)) + state.context if state.context else b""
    return header + context + bytes(state.profile)


def claims_only(value: bytes) -> bool:
    """Whether a stored value is an owner's claim of a user who has no state yet."""
    return len(value) == _HEADER.size and value[:4] == PROFILE_MAGIC and value[6:8] == _CLAIMED_ONLY


def decode_profile_state(value: bytes) -> ProfileState:
    """The state in a stored value.

    Raises:
        UnknownVersion: a later build wrote it.
        DecodeError: no state of ours.
    """
    if len(value) < _HEADER.size or value[:4] != PROFILE_MAGIC:
        message = f"profile state of {len(value)} bytes starts with {value[:4]!r}, not with {PROFILE_MAGIC!r} and a header"
        raise DecodeError(message)
    _, version, kind, epoch, offset, partition = _HEADER.unpack_from(value)
    if version != PROFILE_VERSION:
        message = f"profile state has version {version}, this build reads version {PROFILE_VERSION}"
        raise UnknownVersion(message)
    if offset >= OFFSETS:
        message = f"profile state has offset {offset}, the bound is {OFFSETS}"
        raise DecodeError(message)
    start = _HEADER.size
    if kind != _TRACED:
        return ProfileState(epoch, partition, offset, value[start:])
    if len(value) < start + _LENGTH.size:
        message = f"profile state of {len(value)} bytes is traced and has no context"
        raise DecodeError(message)
    end = start + _LENGTH.size + _LENGTH.unpack_from(value, start)[0]
    return ProfileState(epoch, partition, offset, value[end:], value[start + _LENGTH.size : end])


def _claimed(answer: bytes | int | None) -> ProfileState | Fenced | DecodeError | None:
    if answer is None:
        return None
    if isinstance(answer, int):
        return Fenced(answer)
    try:
        return decode_profile_state(answer)
    except DecodeError as error:
        return error


def _checkpoint(epoch: bytes, number: bytes | None, *places: bytes | None) -> Checkpoint:
    next_offset, watermark_ms, next_attribute, next_answer = (None if place is None else int(place) for place in places)
    return Checkpoint(
        int(epoch), int(number or 0), next_offset, watermark_ms, next_attribute or 0, next_answer=next_answer or 0
    )


def _bounded(name: str, value: int, bound: int) -> int:
    if not 0 <= value < bound:
        message = f"{name} = {value} is not within 0 <= {name} < {bound}"
        raise ValueError(message)
    return value
