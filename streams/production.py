"""Records out: many at a time, in batches packed here. On its own a record costs a future, which costs more than the record.

Knows nothing about what the records say.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple, Protocol

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from aiokafka.partitioner import DefaultPartitioner
from aiokafka.producer.message_accumulator import BatchBuilder

from models.errors import BrokerError, BrokerUnavailable

# Of one batch. A broker takes 1 MiB by default; more than this makes no record cheaper.
BATCH_BYTES = 262_144
_KEYS_KNOWN = 65_536  # whose partition is remembered: hashing a key in Python takes 5 us
_partitioner = DefaultPartitioner()


class Outgoing(NamedTuple):
    """One record to send."""

    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()


class Produce(Protocol):
    """Puts records on a topic, those of one key in their order; returns when the broker has them all.

    After an error some of them may be there: whoever sends again sends them all.
    """

    def __call__(self, topic: str, records: Sequence[Outgoing]) -> Awaitable[None]:
        """Sends the records."""
        ...


def partition_of(key: bytes, numbers: Sequence[int]) -> int:
    """The partition that Kafka's default partitioner gives a key."""
    partition: int = _partitioner(key, numbers, numbers)
    return partition


@lru_cache(maxsize=_KEYS_KNOWN)
def _known_partition(key: bytes, count: int) -> int:
    return partition_of(key, range(count))


def producer_of(producer: Callable[[], AIOKafkaProducer]) -> Produce:
    """A started producer behind our port.

    Args:
        producer: gives it; asked at every call, for a producer may be made after whoever uses it.

    Raises:
        BrokerUnavailable: (when called) send again.
        BrokerError: (when called) sending again cannot help.
    """

    async def produce(topic: str, records: Sequence[Outgoing]) -> None:
        if not records:
            return
        try:
            await _send(producer(), topic, records)
        except KafkaError as error:
            kind = BrokerUnavailable if error.retriable else BrokerError
            message = f"topic {topic!r}: {error}"
            raise kind(message) from error

    return produce


async def _send(producer: AIOKafkaProducer, topic: str, records: Sequence[Outgoing]) -> None:
    count = len(await producer.partitions_for(topic))
    sent = []
    for partition, ours in _by_partition(records, count).items():
        for batch in _batches(producer, ours):
            sent.append(await producer.send_batch(batch, topic, partition=partition))
    for done in sent:
        await done


def _by_partition(records: Iterable[Outgoing], count: int) -> Mapping[int, list[Outgoing]]:
    found: defaultdict[int, list[Outgoing]] = defaultdict(list)
    for record in records:
        found[_known_partition(record.key or b"", count)].append(record)
    return found


def _batches(producer: AIOKafkaProducer, records: Iterable[Outgoing]) -> Iterable[BatchBuilder]:
    """Packs records until a batch is full; the first record of a batch always fits, whatever its size."""
    batch = producer.create_batch()
    for record in records:
        # Kafka's clients refuse a record that is neither key nor value; an empty key says the same.
        key = b"" if record.key is None and record.value is None else record.key
        while batch.append(timestamp=None, key=key, value=record.value, headers=list(record.headers)) is None:
            yield batch
            batch = producer.create_batch()
    yield batch
