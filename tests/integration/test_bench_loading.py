"""The benchmark's topics on a real Kafka: each key where a worker expects it, and never on a cluster that others use."""

from __future__ import annotations

import asyncio

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import NewTopic

from models.errors import BrokerError
from streams import topics
from streams.bench.loading import MARK, Cluster, fill
from streams.production import partition_of

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]


async def test_filled_topic_has_each_key_in_the_partition_of_a_replay(kafka_bootstrap, kafka_admin, unique):
    topic, keys = unique("bench"), [b"17850.%d.%d" % (copy, hand) for copy in range(100) for hand in range(3)]
    await kafka_admin.create_topics([NewTopic(topic, 4, 1)])
    loaded = await asyncio.to_thread(fill, kafka_bootstrap, topic, ((key, b"value of " + key) for key in keys))
    assert (loaded.records, len(loaded.ends)) == (300, 4)
    async with AIOKafkaConsumer(bootstrap_servers=kafka_bootstrap, auto_offset_reset="earliest") as consumer:
        consumer.assign([TopicPartition(topic, number) for number in range(4)])
        found = []
        while len(found) < 300:
            found += [record for records in (await consumer.getmany(timeout_ms=100)).values() for record in records]
    assert {record.key: record.partition for record in found} == {key: partition_of(key, range(4)) for key in keys}
    assert all(record.value == b"value of " + record.key for record in found)


async def test_cluster_that_others_use_is_refused(kafka_bootstrap, kafka_admin):
    if MARK in await kafka_admin.list_topics():
        await kafka_admin.delete_topics([MARK])  # this Kafka was a benchmark's; from now on it is the tests'
    await kafka_admin.create_topics([NewTopic(topics.EVENTS, topics.USER_PARTITIONS, 1)])
    async with AIOKafkaProducer(bootstrap_servers=kafka_bootstrap) as producer:
        await producer.send_and_wait(topics.EVENTS, b"of another", b"user")
    with pytest.raises(BrokerError, match=rf"topic '{topics.EVENTS}' at .* holds \d+ records of others"):
        await asyncio.to_thread(Cluster, kafka_bootstrap)
    assert MARK not in await kafka_admin.list_topics()
