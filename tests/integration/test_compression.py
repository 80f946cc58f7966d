"""A producer chooses how its batches are compressed, and a worker that lacks the codec cannot read the topic at all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from confluent_kafka import Producer

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
