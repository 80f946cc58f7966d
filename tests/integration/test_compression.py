"""A producer chooses how its batches are compressed, and a worker that lacks the codec cannot read the topic at all.

What it may not choose is how large they become, nor when they were written: the broker sees to both on topics of ours.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from confluent_kafka import KafkaError, Producer

from streams.topics import EVENTS, TOPICS

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]
WAIT_S = 60.0


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
async def test_consumer_of_the_workers_reads_batches_of_every_codec(
    codec: str, kafka_bootstrap: str, kafka_admin: AIOKafkaAdminClient, unique: Callable[[str], str]
) -> None:
    topic = unique(codec)
    await kafka_admin.create_topics([NewTopic(topic, 1, 1)])
    values = [b'{"event_id":"%d"}' % number * 20 for number in range(200)]
    producer = Producer({"bootstrap.servers": kafka_bootstrap, "compression.type": codec, "linger.ms": 50})
    for value in values:
        producer.produce(topic, value)
    assert await asyncio.to_thread(producer.flush, WAIT_S) == 0
    async with AIOKafkaConsumer(topic, bootstrap_servers=kafka_bootstrap, auto_offset_reset="earliest") as consumer:
        async with asyncio.timeout(WAIT_S):
            read = [(await consumer.getone()).value for _ in values]
    assert read == values


async def test_batch_that_unfolds_beyond_the_bound_is_refused_by_the_broker(
    kafka_bootstrap: str, kafka_admin: AIOKafkaAdminClient, unique: Callable[[str], str]
) -> None:
    """40 records of 64 KiB of zeros: 2.5 MiB, of which gzip makes a few KiB."""
    topic = unique("bomb")
    await kafka_admin.create_topics([NewTopic(topic, 1, 1, topic_configs=TOPICS[EVENTS].settings)])
    errors: list[int | None] = []
    producer = Producer(
        {
            "bootstrap.servers": kafka_bootstrap,
            "compression.type": "gzip",
            "linger.ms": 500,
            "message.max.bytes": 8_000_000,
            "batch.size": 8_000_000,
        }
    )
    for _ in range(40):
        producer.produce(topic, bytes(65_536), on_delivery=lambda error, _: errors.append(error and error.code()))
    assert await asyncio.to_thread(producer.flush, WAIT_S) == 0
    assert set(errors) == {KafkaError.MSG_SIZE_TOO_LARGE}


async def test_record_of_events_has_the_brokers_time_whatever_its_producer_says(
    kafka_bootstrap: str, kafka_admin: AIOKafkaAdminClient, unique: Callable[[str], str]
) -> None:
    topic, before_ms = unique("times"), time.time() * 1_000
    await kafka_admin.create_topics([NewTopic(topic, 1, 1, topic_configs=TOPICS[EVENTS].settings)])
    producer = Producer({"bootstrap.servers": kafka_bootstrap})
    producer.produce(topic, b"of the year 2001", timestamp=1_000_000_000_000)
    assert await asyncio.to_thread(producer.flush, WAIT_S) == 0
    async with AIOKafkaConsumer(topic, bootstrap_servers=kafka_bootstrap, auto_offset_reset="earliest") as consumer:
        async with asyncio.timeout(WAIT_S):
            record = await consumer.getone()
    assert before_ms - 1_000 <= record.timestamp <= time.time() * 1_000 + 1_000
