"""The whole walk on a real Kafka and a real Redis ends in the slates that it ends in on the embedded ones, byte for byte."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import redis.asyncio
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from streams import topics
from streams.admin import Progress, create_topics
from streams.demo.servers import Addresses
from streams.demo.walk import WalkOptions

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]
DAYS = 30.0  # of the small log's end in which slates are asked for
WAIT_S = 60.0


async def make_anew(bootstrap: str) -> None:
    """Our topics, empty: what an earlier run left would move every offset."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        there = set(await admin.list_topics()) & set(topics.TOPICS)
        if there:
            await admin.delete_topics(sorted(there))
        async with asyncio.timeout(WAIT_S):
            while set(await admin.list_topics()) & set(topics.TOPICS):  # noqa: ASYNC110 - another machine's state
                await asyncio.sleep(0.1)
        made = await create_topics(bootstrap)
        assert set(made) == set(topics.TOPICS)
        async with asyncio.timeout(WAIT_S):
            while any([one["error_code"] for one in await admin.describe_topics(sorted(topics.TOPICS))]):  # noqa: ASYNC110
                await asyncio.sleep(0.1)
    finally:
        await admin.close()


async def committed(bootstrap: str, group: str, topic: str) -> dict[int, int]:
    async with Progress(bootstrap, group=group, topic=topic, partitions=topics.USER_PARTITIONS) as progress:
        return await progress.committed()


async def end_offsets(bootstrap: str, topic: str) -> dict[int, int]:
    async with AIOKafkaConsumer(bootstrap_servers=bootstrap) as consumer:
        places = [TopicPartition(topic, number) for number in range(topics.USER_PARTITIONS)]
        return {place.partition: end for place, end in (await consumer.end_offsets(places)).items()}


@pytest.fixture
def given(kafka_bootstrap: str, redis_url: str) -> Addresses:
    """Real servers, as new. `make up` started them for these tests."""

    async def clean() -> None:
        client = redis.asyncio.Redis.from_url(redis_url)
        await client.flushdb()
        await client.aclose()
        await make_anew(kafka_bootstrap)

    asyncio.run(clean())
    return Addresses(kafka=kafka_bootstrap, redis=redis_url)


@pytest.fixture(scope="module")
def embedded(play: Any, small_log: Any) -> Any:
    return play(small_log, days=DAYS)


@pytest.mark.parametrize("workers", [1, 2])
def test_walk_on_kafka_and_redis_ends_in_the_same_slates_as_on_the_embedded_servers(
    play: Any, small_log: Any, embedded: Any, given: Addresses, workers: int
) -> None:
    options = WalkOptions(profile_workers=workers, judging_workers=workers)
    real = play(small_log, options, days=DAYS, given=given)
    assert real.walked.replayed.events == embedded.walked.replayed.events
    assert real.letters == []
    assert embedded.packed
    assert real.packed == embedded.packed
    assert given.kafka is not None
    for group, topic in (("seren-profiles", topics.EVENTS), ("seren-judging", topics.REQUESTS)):
        assert asyncio.run(committed(given.kafka, group, topic)) == asyncio.run(end_offsets(given.kafka, topic))
