"""The checkpoint: the order in which a partition's work becomes durable. The order is the correctness argument.

    1  dead letters and labels go to their topics     (at least once; each carries the id of its event)
    2  timers are set                                 (one too many is harmless: it fires nothing)
    3  users' states are written, fenced              (a refusal means that we are a zombie: stop here, nothing is lost)
    4  the partition's checkpoint is recorded, fenced (offsets and event time; where the next owner starts)
    5  timers that are over are cleared               (nothing of theirs is pending or unsent since 3)
    6  requests go to their topic                     (each is inside its user's state since 3, so a crash sends it again)
    7  the offset is committed to Kafka               (for lag and for tools; 4 is what holds)

A crash between any two steps repeats work and loses none. So does a Redis that restarts and has lost its last writes, as an
append-only file that is flushed once a second may: what survives is a prefix of the writes, so a recorded checkpoint has its
states. Step 4 sees that a restart came between (the server's run id is another): nothing is recorded, all users in memory are
written again. The bounds of this: one Redis, or one primary with replicas. In a Redis Cluster each node loses its own last
writes, and only the restart of the node with the partition's checkpoint is seen; states that another node lost stay behind
until their users' partition is replayed. A Redis that forgets more than `ProfilesLimits.durable_s` is beyond it, too.
Knows nothing about Faust.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Awaitable, Sequence
from typing import Protocol

from models.errors import DecodeError, SerenError, StoreUnavailable
from models.profiles import Profile, decode, encode
from streams import codec, topics
from streams.partition import NO_CONTEXTS, DeadLetter, Partition
from streams.state import PartitionStore, ProfileState, ProfileStore, ProfileWrite, Restarted
from streams.tracing import Contexts, headers_of, pack_contexts, unpack_contexts

ATTEMPT_HEADER = "seren-attempt"
CAUSED_HEADER = "seren-caused-ms"
_LETTER_BYTES = 65_536  # a dead letter keeps at most this much of the key and of the value
_FRAME = struct.Struct("<I")
_TRACED = 1 << 31  # in the frame: trace contexts come before the request; a request has at most 2^18 bytes


class PartitionLost(SerenError):
    """A newer owner has the partition: drop it, it is in good hands."""


class StoreRestarted(StoreUnavailable):
    """Redis is in another life than the one that acknowledged our writes."""


class Produce(Protocol):
    """Puts one record on a topic; returns when the broker has it."""

    def __call__(
        self, topic: str, *, key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes]] = ...
    ) -> Awaitable[None]:
        """Sends one record."""
        ...


async def take_over(number: int, partition: Partition, *, profiles: ProfileStore, partitions: PartitionStore) -> None:
    """Admits the users whose timers were left to us, so that their triggers fire without a next event."""
    users = [user_id for user_id, _ in await partitions.read_due(number)]
    await admit(partition, users, profiles=profiles)
    # A crash may have come before step 5: timers that fire nothing are cleared by the next checkpoint.
    partition.dirty.update(user_id for user_id in users if partition.timer_of(user_id) is None)


async def admit(partition: Partition, users: Sequence[str], *, profiles: ProfileStore) -> None:
    """Claims users and takes their profiles into memory; a user without a stored state gets a new profile.

    Raises:
        PartitionLost: a newer owner has one of them.
        StoreUnavailable: try again.
        DecodeError: a stored profile cannot be read; it would be lost by going on.
    """
    for user_id, answer in zip(
        users, await profiles.claim(users, epoch=partition.epoch, partition=partition.number), strict=True
    ):
        if answer is None:
            partition.admit(user_id, Profile())
        elif isinstance(answer, ProfileState):
            request, profile = unframe(answer.profile)
            if answer.partition != partition.number or answer.offset < profile.offset:
                # The topic has more partitions now, and the claim (or one before, from which nothing was written yet) has set
                # the stored offset to 0: the profile's own offsets mean nothing in this partition.
                profile.offset = profile.attributes_offset = -1
            partition.admit(user_id, profile, request, contexts_in(answer.profile))
        elif isinstance(answer, DecodeError):
            raise answer
        else:
            message = (
                f"partition {partition.number}: user {user_id!r} belongs to epoch {answer.epoch}, ours is {partition.epoch}"
            )
            raise PartitionLost(message)


async def checkpoint(
    partition: Partition,
    *,
    number: int,
    profiles: ProfileStore,
    partitions: PartitionStore,
    produce: Produce,
    ttl_ms: int,
) -> int:
    """Makes durable all that the partition holds, in the order of the module's docstring (step 7 is the caller's).

    Returns:
        The offset that may be committed now.

    Raises:
        PartitionLost: a newer owner wrote; nothing of ours is needed.
        StoreRestarted: Redis may have lost what we wrote before; try again, everything in memory is written again.
        StoreUnavailable, BrokerUnavailable: try again; what was written is written again without harm.
    """
    snapshot = partition.snapshot()
    timers = {user_id: partition.timer_of(user_id) for user_id in snapshot.users}
    due_ms = {user_id: due for user_id, due in timers.items() if due is not None}
    # Step 1
    await asyncio.gather(*(bury(produce, letter) for letter in snapshot.dead_letters))
    await asyncio.gather(
        *(
            produce(
                topics.LABELS,
                key=label.user_id.encode(),
                value=codec.encode(label),
                headers=headers_of(partition.label_contexts.get(label.offset, b"")),
            )
            for label in snapshot.labels
        )
    )
    # Step 2
    if due_ms and not await partitions.write_due(partition.number, epoch=partition.epoch, due_ms=due_ms):
        raise _lost(partition, "timers")
    # Step 3
    writes = [_write(partition, user_id, ttl_ms) for user_id in snapshot.users]
    if not all(await profiles.write(writes, epoch=partition.epoch, partition=partition.number)):
        raise _lost(partition, "profiles")
    # Step 4
    recorded = await partitions.write(
        partition.number,
        epoch=partition.epoch,
        number=number,
        next_offset=snapshot.next_offset,
        watermark_ms=snapshot.watermark_ms,
        next_attribute=partition.next_attribute,
        life=partition.life,
    )
    if isinstance(recorded, Restarted):
        partition.restore(recorded.life)
        message = f"partition {partition.number}: Redis has started again; what it may have lost is written again"
        raise StoreRestarted(message)
    if not recorded:
        raise _lost(partition, "checkpoint")
    # Step 5
    over = [user_id for user_id, due in timers.items() if due is None]
    if over:
        await partitions.write_due(partition.number, epoch=partition.epoch, due_ms={}, clear=over)
    partition.settled(snapshot)
    # Step 6
    await _send_requests(partition, produce)
    return snapshot.next_offset


async def _send_requests(partition: Partition, produce: Produce) -> None:
    unsent = [(user_id, partition.residents[user_id]) for user_id in sorted(partition.unsent)]
    await asyncio.gather(
        *(
            produce(
                topics.REQUESTS,
                key=user_id.encode(),
                value=resident.request,
                headers=[
                    (CAUSED_HEADER, str(resident.caused_ms).encode()),
                    *headers_of(resident.contexts.request),
                ],
            )
            for user_id, resident in unsent
        )
    )
    for user_id, _ in unsent:
        partition.sent(user_id)


async def bury(produce: Produce, letter: DeadLetter) -> None:
    """Puts a record that could not be used on the dead-letter topic, with where it came from and why."""
    headers = [
        ("topic", letter.topic.encode()),
        ("partition", str(letter.partition).encode()),
        ("offset", str(letter.offset).encode()),
        ("error", letter.error.encode()),
        ("reason", letter.reason.encode(errors="replace")[:1024]),
        (ATTEMPT_HEADER, b"1"),
        *headers_of(letter.context),
    ]
    key, value = (part[:_LETTER_BYTES] if part is not None else None for part in (letter.key, letter.value))
    await produce(topics.DEAD_LETTERS, key=key, value=value, headers=headers)


def _write(partition: Partition, user_id: str, ttl_ms: int) -> ProfileWrite:
    resident = partition.residents[user_id]
    state = frame(resident.request, resident.profile, resident.contexts)
    return ProfileWrite(user_id, max(resident.profile.offset, 0), state, ttl_ms)


def frame(request: bytes, profile: Profile, contexts: Contexts = NO_CONTEXTS) -> bytes:
    """What is stored for a user: the unsent request's length, trace contexts if there are any, the request, the profile."""
    if any(contexts):
        return _FRAME.pack(len(request) | _TRACED) + pack_contexts(contexts) + request + encode(profile)
    return _FRAME.pack(len(request)) + request + encode(profile)


def unframe(data: bytes) -> tuple[bytes, Profile]:
    """The request and the profile in a stored value. Raises `DecodeError`."""
    if len(data) < _FRAME.size:
        message = f"profile state of {len(data)} bytes has no frame"
        raise DecodeError(message)
    [length], start = _FRAME.unpack_from(data), _FRAME.size
    if length & _TRACED:
        length, start = length ^ _TRACED, start + unpack_contexts(data[start:])[1]
    return data[start : start + length], decode(data[start + length :])


def contexts_in(data: bytes) -> Contexts:
    """The trace contexts in a stored value that `unframe` could read."""
    is_traced = _FRAME.unpack_from(data)[0] & _TRACED
    return unpack_contexts(data[_FRAME.size :])[0] if is_traced else NO_CONTEXTS


def _lost(partition: Partition, what: str) -> PartitionLost:
    message = f"partition {partition.number}: a newer owner refused the {what} of epoch {partition.epoch}"
    return PartitionLost(message)
