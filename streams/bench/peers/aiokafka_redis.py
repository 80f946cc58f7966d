"""aiokafka and Redis without a framework: each poll's users are read from Redis, folded, written back, and then committed.

At least once: what was written and not yet committed is folded twice after a crash. Nobody is fenced off.
"""

from __future__ import annotations

import asyncio
from typing import Any

from aiokafka import AIOKafkaConsumer
from redis.asyncio import Redis

from models.profiles import Profile, decode, encode
from streams.bench.peers.fold import Fold
from streams.bench.peers.task import Tally, task

POLL_RECORDS = 500  # max.poll.records of the Java client


async def main() -> None:
    """Folds the task's events."""
    given, fold, tally = task(), Fold(), Tally()
    redis = Redis.from_url(given.redis)
    consumer = AIOKafkaConsumer(
        given.topic,
        bootstrap_servers=given.kafka,
        group_id=given.group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    await consumer.start()
    while tally.events < given.events:
        for records in (await consumer.getmany(timeout_ms=1_000, max_records=POLL_RECORDS)).values():
            tally.start()
            users = list(dict.fromkeys(record.key for record in records))
            stored: list[Any] = await redis.mget([b"profile:" + user for user in users])
            profiles = {user: decode(value) if value else Profile() for user, value in zip(users, stored, strict=True)}
            for record in records:
                profile = fold(profiles[record.key], record.value, record.offset)
                tally.add(record.key, profile.events)
            await redis.mset({b"profile:" + user: encode(profile) for user, profile in profiles.items()})
            await consumer.commit()
    tally.stop()
    await consumer.stop()
    await redis.aclose()


if __name__ == "__main__":
    asyncio.run(main())
