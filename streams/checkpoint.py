"""The checkpoint: the order in which a partition's work becomes durable. The order is the correctness argument.

    1  dead letters, labels and requests go to their topics (at least once; each carries the id of its event, or its fence)
    2  timers are set                                 (one too many is harmless: it fires nothing)
    3  users' states are written, fenced; those of users who were forgotten deleted; redriven records noted
                                                      (a refusal means that we are a zombie: stop here, nothing is lost)
    4  the partition's checkpoint is recorded, fenced (offsets and event time; where the next owner starts)
    5  timers that are over are cleared               (nothing of theirs is pending since 3; not in another life of Redis)
    6  the offset is committed to Kafka               (for lag and for tools; 4 is what holds)

A crash between any two steps repeats work and loses none: until 3 a user's trigger is still pending in its stored state, so
its next owner fires it again, with the same question. A zombie's question comes with its old epoch, and so does its answer,
which the fence of the slates refuses. So does a Redis that restarts and has lost its last writes, as an
append-only file that is flushed once a second may: what survives is a prefix of the writes, so a recorded checkpoint has its
states. Step 4 sees that a restart came between (the server's run id is another): nothing is recorded, all users in memory are
written again. The bounds of this: one Redis, or one primary with replicas. In a Redis Cluster each node loses its own last
writes, and only the restart of the node with the partition's checkpoint is seen; states that another node lost stay behind
until their users' partition is replayed. A Redis that forgets more than `ProfilesLimits.durable_s` is beyond it, too.
Knows nothing about Faust.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from models.entities import SerendipityLabel
from models.errors import DecodeError, SerenError, StoreUnavailable, UnknownVersion
from models.profiles import Profile, decode
from streams import codec, topics
from streams.deadletters.letter import DeadLetter, pack
from streams.marks import Forgotten
from streams.observability.tracing import headers_of
from streams.partition import Partition
from streams.production import Outgoing, Produce
from streams.snapshot import Fired
from streams.state import PartitionStore, ProfileState, ProfileStore, ProfileWrite, Restarted

logger = logging.getLogger(__name__)

CAUSED_HEADER = "seren-caused-ms"


class PartitionLost(SerenError):
    """A newer owner has the partition: drop it, it is in good hands.

    Args:
        what: the write that was refused, in one word; empty where none was.
    """

    def __init__(self, message: str, what: str = "") -> None:
        super().__init__(message)
        self.what = what


class StoreRestarted(StoreUnavailable):
    """Redis is in another life than the one that acknowledged our writes.

    Args:
        life: the one that it is in now.
    """

    def __init__(self, message: str, life: str) -> None:
        super().__init__(message)
        self.life = life


async def take_over(number: int, partition: Partition, *, profiles: ProfileStore, partitions: PartitionStore) -> None:
    """Admits the users whose timers were left to us, so that their triggers fire without a next event."""
    users = [user_id for user_id, _ in await partitions.read_due(number)]
    await admit(partition, users, profiles=profiles)
    # A crash may have come before step 5: timers that fire nothing are cleared by the next checkpoint.
    for user_id in users:
        if user_id in partition.residents and partition.timer_of(user_id) is None:
            partition.dirty.add(user_id)


async def admit(partition: Partition, users: Sequence[str], *, profiles: ProfileStore) -> None:
    """Claims users and takes their profiles into memory; a user without a stored state gets a new profile.

    A user whose stored profile cannot be read is noted in `partition.unreadable` and not admitted: what is stored stays as it
    is, timer included, and is looked at again with the user's next records.

    Raises:
        PartitionLost: a newer owner has one of them.
        StoreUnavailable: try again.
        UnknownVersion: a newer release wrote one of them; this one must not go on.
    """
    for user_id, answer in zip(
        users, await profiles.claim(users, epoch=partition.epoch, partition=partition.number), strict=True
    ):
        if answer is None:
            partition.admit(user_id, Profile())
        elif isinstance(answer, ProfileState):
            try:
                _admit_state(partition, user_id, answer)
            except DecodeError as error:
                _refuse(partition, user_id, error)
        elif isinstance(answer, DecodeError):
            _refuse(partition, user_id, answer)
        else:
            message = (
                f"partition {partition.number}: user {user_id!r} belongs to epoch {answer.epoch}, ours is {partition.epoch}"
            )
            raise PartitionLost(message, "claim")


def _admit_state(partition: Partition, user_id: str, state: ProfileState) -> None:
    profile = decode(state.profile)
    if state.partition != partition.number or state.offset < profile.offset:
        # The topic has more partitions now, and the claim (or one before, from which nothing was written yet) has set
        # the stored offset to 0: the profile's own offsets mean nothing in this partition.
        profile.offset = profile.attributes_offset = -1
        if profile.inference is not None:
            profile.inference.offset = -1
    partition.admit(user_id, profile, state.context)


def _refuse(partition: Partition, user_id: str, error: DecodeError) -> None:
    if isinstance(error, UnknownVersion):
        message = (
            f"stored profile of user {user_id!r}: {error}. A newer release wrote it: run that one, "
            f"or `seren forget {user_id}` to give the profile up"
        )
        raise UnknownVersion(message) from error
    if user_id not in partition.unreadable:
        logger.error("stored profile of user %r: %s; its events go to the dead letters, the bytes stay", user_id, error)
    partition.unreadable[user_id] = str(error)


async def checkpoint(
    partition: Partition,
    *,
    number: int,
    profiles: ProfileStore,
    partitions: PartitionStore,
    produce: Produce,
    ttl_ms: int,
) -> int:
    """Makes durable all that the partition holds, in the order of the module's docstring (step 6 is the caller's).

    Returns:
        The offset that may be committed now.

    Raises:
        PartitionLost: a newer owner wrote; nothing of ours is needed.
        StoreRestarted: Redis may have lost what we wrote before. Where all that this partition rests on is in memory,
            `Partition.restore` and try again; every try before that is refused in the same way.
        StoreUnavailable, BrokerUnavailable: try again; what was written is written again without harm.
    """
    snapshot = partition.snapshot()
    timers = {user_id: partition.timer_of(user_id) for user_id in snapshot.users}
    due_ms = {user_id: due for user_id, due in timers.items() if due is not None}
    # Step 1
    await produce(topics.DEAD_LETTERS, [buried(letter) for letter in snapshot.dead_letters])
    await produce(topics.LABELS, [_labelled(label, partition.label_contexts) for label in snapshot.labels])
    forgotten = sorted(partition.forgotten.pending.items())
    told = [_told(user_id, offset, partition) for user_id, offset in forgotten]
    await produce(topics.REQUESTS, told + [_asked(user_id, fired) for user_id, fired in snapshot.requests])
    if partition.asks_model:
        questions = [Outgoing(user_id.encode(), question) for user_id, question in snapshot.questions]
        await produce(topics.PROFILING, told + questions)
    # Step 2
    if due_ms and not await partitions.write_due(partition.number, epoch=partition.epoch, due_ms=due_ms):
        raise _lost(partition, "timers")
    # Step 3
    if not await profiles.forget_up_to(dict(forgotten), epoch=partition.epoch, partition=partition.number):
        raise _lost(partition, "forgotten users")
    await partitions.write_redriven(partition.number, partition.redriven.pending)
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
        next_answer=partition.next_answer,
        life=partition.life,
    )
    if isinstance(recorded, Restarted):
        message = f"partition {partition.number}: Redis has started again; what it may have lost is written again"
        raise StoreRestarted(message, recorded.life)
    if not recorded:
        raise _lost(partition, "checkpoint")
    # Step 5
    over = [user_id for user_id, due in timers.items() if due is None]
    over += [user_id for user_id, _ in forgotten if due_ms.get(user_id) is None]
    if over:
        await partitions.write_due(partition.number, epoch=partition.epoch, due_ms={}, clear=over, life=partition.life)
    partition.settled(snapshot)
    return snapshot.next_offset


def _labelled(label: SerendipityLabel, contexts: Mapping[int, bytes]) -> Outgoing:
    return Outgoing(label.user_id.encode(), codec.encode(label), headers_of(contexts.get(label.offset, b"")))


def _told(user_id: str, offset: int, partition: Partition) -> Outgoing:
    """Tells the judging workers of a user who was forgotten."""
    told = codec.encode(Forgotten(partition.epoch, offset, partition.surface))
    return Outgoing(user_id.encode(), None, [(topics.FORGET_HEADER, told)])


def _asked(user_id: str, fired: Fired) -> Outgoing:
    headers = [(CAUSED_HEADER, str(fired.caused_ms).encode()), *headers_of(fired.context)]
    return Outgoing(user_id.encode(), fired.request, headers)


def buried(letter: DeadLetter) -> Outgoing:
    """A record that could not be used, as it goes to the dead-letter topic: with where it came from and why."""
    return Outgoing(*pack(letter))


def _write(partition: Partition, user_id: str, ttl_ms: int) -> ProfileWrite:
    resident = partition.residents[user_id]
    return ProfileWrite(user_id, max(resident.offset, 0), resident.pack(), ttl_ms, resident.context)


def _lost(partition: Partition, what: str) -> PartitionLost:
    message = f"partition {partition.number}: a newer owner refused the {what} of epoch {partition.epoch}"
    return PartitionLost(message, what)
