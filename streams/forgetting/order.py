"""Having a user forgotten, from outside the workers: told to the log, deleted at once, and waited for.

    1  a null value on `user-attributes`, so that compaction takes the attributes away, too
    2  a null value on `behaviour-events`, with the mark that says "everything up to here": in order with the user's events
    3  what Redis holds is deleted, so that nobody reads it while the workers come to 2
    4  the partition's owner comes to both: it drops the user from memory, deletes what it wrote meanwhile, and tells the
       judging workers, who drop requests and slates from before

After 2 nothing can be lost any more: whoever owns the partition, now or after a crash, reads the mark. Knows nothing about
what a worker holds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from models.errors import BrokerUnavailable, DecodeError
from streams import topics
from streams.production import partition_of
from streams.slates.store import SlateStore
from streams.state import PartitionStore, ProfileStore

_LOOK_S = 0.2


class Told(NamedTuple):
    """Where the log says that the user is forgotten."""

    partition: int
    offset: int
    attributes_partition: int
    attributes_offset: int


async def tell(producer: AIOKafkaProducer, user_id: str, *, partition: int | None) -> Told:
    """Steps 1 and 2.

    Args:
        producer: started.
        user_id: who.
        partition: where the user's events are, if that is known: whoever sends them may spread keys in another way than we.

    Raises:
        BrokerUnavailable: tell again; twice does no harm.
    """
    key = user_id.encode()
    places = {}
    for topic in (topics.ATTRIBUTES, topics.EVENTS):
        with _translated():
            numbers = sorted(await producer.partitions_for(topic))
        places[topic] = partition if partition in numbers else partition_of(key, numbers)
    with _translated():
        first = await producer.send_and_wait(
            topics.ATTRIBUTES, None, key=key, partition=places[topics.ATTRIBUTES], headers=[(topics.FORGET_HEADER, b"")]
        )
        mark = (topics.FORGET_HEADER, str(first.offset).encode())
        second = await producer.send_and_wait(topics.EVENTS, None, key=key, partition=places[topics.EVENTS], headers=[mark])
    return Told(second.partition, second.offset, first.partition, first.offset)


async def partition_in(profiles: ProfileStore, user_id: str) -> int | None:
    """The partition that the user's stored state is from; None where there is none, or none that can be read."""
    try:
        state = await profiles.read(user_id)
    except DecodeError:
        return None
    return None if state is None else state.partition


async def delete(profiles: ProfileStore, slates: SlateStore, user_id: str, surfaces: list[str]) -> int:
    """Step 3; how many values there were."""
    return await slates.forget(user_id, surfaces) + await profiles.forget(user_id)


async def is_done(partitions: PartitionStore, told: Told) -> bool:
    """Whether checkpoints have passed both places (step 4)."""
    events = await partitions.read(told.partition)
    attributes = events if told.attributes_partition == told.partition else await partitions.read(told.attributes_partition)
    return (
        events is not None
        and (events.next_offset or 0) > told.offset
        and attributes is not None
        and attributes.next_attribute > told.attributes_offset
    )


async def wait_for(partitions: PartitionStore, told: Told, *, within_s: float) -> bool:
    """Waits for step 4; False when the time is up."""
    deadline_s = asyncio.get_running_loop().time() + within_s
    while not await is_done(partitions, told):
        if asyncio.get_running_loop().time() >= deadline_s:
            return False
        await asyncio.sleep(_LOOK_S)
    return True


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (KafkaError, OSError) as error:
        message = f"Kafka: {error}"
        raise BrokerUnavailable(message) from error
