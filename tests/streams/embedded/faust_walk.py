"""Run by test_embedded.py: a Faust worker against the broker in argv[1]; prints what its agent got and what it committed."""

from __future__ import annotations

import asyncio
import sys

import faust
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition


async def walk(bootstrap: str) -> None:
    app = faust.App(
        "walk",
        broker=f"kafka://{bootstrap}",
        topic_allow_declare=False,
        topic_disable_leader=True,
        web_enabled=False,
        broker_commit_interval=0.1,
        consumer_auto_offset_reset="earliest",
    )
    topic = app.topic("behaviour-events", value_type=bytes, value_serializer="raw", key_serializer="raw")
    got: list[bytes] = []
    done = asyncio.Event()

    @app.agent(topic, name="walk", concurrency=1)
    async def agent(values):
        async for value in values:
            got.append(value)
            if len(got) == 3:
                done.set()

    async with AIOKafkaProducer(bootstrap_servers=bootstrap) as producer:
        for number in range(3):
            await producer.send_and_wait("behaviour-events", b"%d" % number, partition=0)
    async with app, asyncio.timeout(30):
        await done.wait()
    async with AIOKafkaConsumer(bootstrap_servers=bootstrap, group_id="walk", enable_auto_commit=False) as consumer:
        committed = await consumer.committed(TopicPartition("behaviour-events", 0))
    print(*(value.decode() for value in got), "committed", committed)


if __name__ == "__main__":
    asyncio.run(walk(sys.argv[1]))
