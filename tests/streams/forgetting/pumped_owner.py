"""Run by tests, in a process of its own: a profile worker fed by a plain consumer, without Faust's group protocol.

Arguments: the broker, the Redis, the tenant. Takes partitions 0 to 3; says "owns" when it does; runs until it is killed.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping

import redis.asyncio
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from faust.types import TP

from models.entities import Item
from streams import topics
from streams.agents.limits import ProfilesLimits
from streams.agents.profiles import ProfilesWorker
from streams.knowledge import Knowledge
from streams.partition import Rules
from streams.production import producer_of
from streams.state import PartitionStore, ProfileStore
from streams.transport import Chunk


async def commit(_: Mapping[TP, int]) -> bool:
    return True


async def own(bootstrap: str, url: str, tenant: str) -> None:
    client = redis.asyncio.Redis.from_url(url)
    async with (
        AIOKafkaProducer(bootstrap_servers=bootstrap) as producer,
        AIOKafkaConsumer(bootstrap_servers=bootstrap) as consumer,
    ):
        worker = ProfilesWorker(
            knowledge=Knowledge([Item(item_id="i0", title="lamp", category=("home", "light"))], max_tag_bytes=48),
            profiles=ProfileStore(client, tenant=tenant),
            partitions=PartitionStore(client, tenant=tenant),
            produce=producer_of(lambda: producer),
            commit=commit,
            rules=Rules(check_clock=False),
            limits=ProfilesLimits(checkpoint_s=0.2),
        )
        tps = [TP(topic, number) for topic in (topics.EVENTS, topics.ATTRIBUTES) for number in range(4)]
        starts = await worker.take_over(set(tps))
        consumer.assign([TopicPartition(*tp) for tp in tps])
        for tp in tps:
            consumer.seek(TopicPartition(*tp), starts[tp])
        print("owns", flush=True)
        while True:
            for tp, records in (await consumer.getmany(timeout_ms=100)).items():
                await worker.take(Chunk(tp.topic, tp.partition, records, records[-1].offset + 1))
            await worker.tick()


if __name__ == "__main__":
    asyncio.run(own(*sys.argv[1:]))
