"""What a starting worker reads of `seren-scores`: the newest records, for a bounded time, without a consumer group."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from models.errors import BrokerUnavailable
from streams import topics
from streams.agents.clock import Clock
from streams.scores.log import ScoreLog

_FETCH_MS = 500
_LOOK_S = 0.1  # between two looks for the topic's partitions
_LOOKS = 20


class TopicRead(NamedTuple):
    """How many records were believed, how many not, and whether all that was to be read has been."""

    records: int
    refused: int
    complete: bool


async def read_topic(bootstrap: str, log: ScoreLog, *, records: int, seconds: float, clock: Clock) -> TopicRead:
    """Takes the newest records of the topic into a log, the oldest of them first, so that the newest stay longest.

    Args:
        bootstrap: the broker's address.
        log: takes them in; its own bound holds.
        records: most records, shared evenly by the partitions; offsets that compaction emptied count.
        seconds: most time; what was read until then is kept.
        clock: the machine's.

    Raises:
        BrokerUnavailable: Kafka is away, or there is no such topic.
    """
    deadline_s = clock.monotonic() + seconds
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False, auto_offset_reset="earliest")
    try:
        try:
            await consumer.start()
            partitions = await _partitions(consumer, bootstrap)
            consumer.assign(partitions)
            ends = await _seek(consumer, partitions, records // len(partitions))
            return await _read(consumer, log, ends, deadline_s, clock)
        finally:
            await consumer.stop()
    except (KafkaError, OSError) as error:
        message = f"{topics.SCORES} cannot be read from {bootstrap}: {error}"
        raise BrokerUnavailable(message) from error


async def _seek(consumer: AIOKafkaConsumer, partitions: list[TopicPartition], share: int) -> dict[TopicPartition, int]:
    """Puts each partition so many records before its end; gives the ends."""
    firsts = await consumer.beginning_offsets(partitions)
    ends: dict[TopicPartition, int] = await consumer.end_offsets(partitions)
    for partition in partitions:
        consumer.seek(partition, max(firsts[partition], ends[partition] - share))
    return ends


async def _read(
    consumer: AIOKafkaConsumer, log: ScoreLog, ends: dict[TopicPartition, int], deadline_s: float, clock: Clock
) -> TopicRead:
    believed = refused = 0
    while clock.monotonic() < deadline_s:
        if not any([await consumer.position(partition) < end for partition, end in ends.items()]):
            return TopicRead(believed, refused, complete=True)
        for records in (await consumer.getmany(timeout_ms=_FETCH_MS)).values():
            for record in records:
                if record.value is None:
                    continue  # a record that somebody took back: what was read before it stays, and is true all the same
                if log.read(record.value, key=record.key or b""):
                    believed += 1
                else:
                    refused += 1
    return TopicRead(believed, refused, complete=False)


async def _partitions(consumer: AIOKafkaConsumer, bootstrap: str) -> list[TopicPartition]:
    await consumer._client.set_topics([topics.SCORES])  # noqa: SLF001  # the public call asks only for known topics
    for _ in range(_LOOKS):
        numbers: set[int] = consumer.partitions_for_topic(topics.SCORES) or set()
        if numbers:
            return [TopicPartition(topics.SCORES, number) for number in sorted(numbers)]
        await asyncio.sleep(_LOOK_S)
    message = f"topic {topics.SCORES!r} does not exist on {bootstrap}; `seren topics` makes it"
    raise BrokerUnavailable(message)
