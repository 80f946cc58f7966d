"""What the promise leans on and the embedded servers cannot show: real topics, compaction, groups, a real Redis."""

from __future__ import annotations

import asyncio

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import for_code
from aiokafka.structs import OffsetAndMetadata

from streams.topics import TOPICS

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]
WAIT_S = 60.0  # compaction runs on Kafka's own clock: 1 to 20 s here


async def create(admin, name, *, partitions=1, settings=None):
    answer = await admin.create_topics([NewTopic(name, partitions, 1, topic_configs=settings or {})])
    for _, code, *_ in answer.topic_errors:
        assert code == 0, for_code(code)
    # The controller has answered; the broker that serves clients learns of the topic a moment later.
    async with asyncio.timeout(WAIT_S):
        while (await admin.describe_topics([name]))[0]["error_code"] != 0:  # noqa: ASYNC110 - another machine's state
            await asyncio.sleep(0.05)


def consuming(bootstrap, topic, *, group=None):
    return AIOKafkaConsumer(
        topic,
        bootstrap_servers=bootstrap,
        group_id=group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        session_timeout_ms=3_000,
        heartbeat_interval_ms=300,
    )


async def read(consumer, count):
    messages = []
    async with asyncio.timeout(WAIT_S):
        while len(messages) < count:
            for chunk in (await consumer.getmany(timeout_ms=100)).values():
                messages.extend(chunk)
    return messages


async def test_kafka_keeps_keys_headers_nulls_and_committed_offsets(kafka_bootstrap, kafka_admin, unique):
    topic, group = unique("events"), unique("profiles")
    await create(kafka_admin, topic, partitions=4)
    sent = [(b"u1", b"first", [("reason", b"\x00\xff")]), (b"u1", None, []), (None, b"third", [("empty", b"")])]
    async with AIOKafkaProducer(bootstrap_servers=kafka_bootstrap) as producer:
        for key, value, headers in sent:
            await producer.send_and_wait(topic, value, key=key, headers=headers, partition=2)
    async with consuming(kafka_bootstrap, topic, group=group) as first:
        got = await read(first, 3)
        assert [(m.key, m.value, list(m.headers)) for m in got] == sent
        await first.commit({TopicPartition(topic, 2): OffsetAndMetadata(1, "epoch 3")})
    async with consuming(kafka_bootstrap, topic, group=group) as second:
        assert [m.value for m in await read(second, 2)] == [None, b"third"]


async def test_kafka_compaction_keeps_the_newest_record_of_every_key(kafka_bootstrap, kafka_admin, unique):
    """Four records of two keys and, so that the segment is closed, a later one: item b's first and item a's first go."""
    topic = unique("items")
    settings = TOPICS["items"].settings | {
        "segment.ms": "200",
        "max.compaction.lag.ms": "500",
        "min.cleanable.dirty.ratio": "0.01",
    }
    await create(kafka_admin, topic, settings=settings)
    async with AIOKafkaProducer(bootstrap_servers=kafka_bootstrap) as producer:
        for key, value in [(b"a", b"old"), (b"b", b"old"), (b"a", b"new"), (b"b", b"new")]:
            await producer.send_and_wait(topic, value, key=key)
        values = []
        async with asyncio.timeout(WAIT_S):
            while values != [b"new", b"new"]:
                await asyncio.sleep(0.5)
                last = await producer.send_and_wait(topic, b"later", key=b"tail")
                async with consuming(kafka_bootstrap, topic) as consumer:
                    got = []
                    while not got or got[-1].offset < last.offset:
                        got += await read(consumer, 1)
                values = [m.value for m in got if m.key != b"tail"]


async def test_kafka_knows_our_topics_settings(kafka_admin, unique):
    """Every topic of ours can be made as it is written down, and comes back so."""
    for name, topic in TOPICS.items():
        made = unique(name)
        await create(kafka_admin, made, partitions=topic.partitions, settings=topic.settings)
        [described] = await kafka_admin.describe_topics([made])
        assert len(described["partitions"]) == topic.partitions
        [answer] = await kafka_admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, made)])
        values = {entry[0]: entry[1] for entry in answer.resources[0][4]}
        assert {key: values[key] for key in topic.settings} == topic.settings


async def test_kafka_refuses_a_topic_that_nobody_made(kafka_admin, unique):
    [described] = await kafka_admin.describe_topics([unique("misspelt")])
    assert for_code(described["error_code"]).__name__ == "UnknownTopicOrPartitionError"


async def test_redis_is_configured_to_lose_nothing_silently(real_redis, unique):
    for name, value in {"maxmemory-policy": "noeviction", "appendonly": "yes", "save": ""}.items():
        assert await real_redis.config_get(name) == {name: value}
    assert int((await real_redis.config_get("maxmemory"))["maxmemory"]) == 2**30
    await real_redis.set(unique("key"), b"\x00\xff", px=60_000)
    assert await real_redis.get(unique("key")) == b"\x00\xff"
