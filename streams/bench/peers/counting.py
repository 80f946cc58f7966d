"""aiokafka and orjson, nothing kept: what reading the topic and counting by user costs. No profile, nothing survives."""

from __future__ import annotations

import asyncio

import orjson
from aiokafka import AIOKafkaConsumer

from streams.bench.peers.task import Tally, task


async def main() -> None:
    """Counts the task's events."""
    given, tally = task(), Tally()
    consumer = AIOKafkaConsumer(given.topic, bootstrap_servers=given.kafka, group_id=given.group, auto_offset_reset="earliest")
    await consumer.start()
    counts: dict[str, int] = {}
    while tally.events < given.events:
        for records in (await consumer.getmany(timeout_ms=1_000)).values():
            tally.start()
            for record in records:
                user = orjson.loads(record.value)["user_id"]
                counts[user] = counts.get(user, 0) + 1
            tally.events += len(records)
    tally.of_user = {user.encode(): count for user, count in counts.items()}
    tally.stop()
    await consumer.stop()


if __name__ == "__main__":
    asyncio.run(main())
