"""Faust as its guide shows it: an agent over a stream of events that keeps profiles in a Table, with a changelog topic.

Profiles are kept as bytes: a Table logs what is assigned to it, so every event assigns its user's profile.
"""

from __future__ import annotations

import asyncio
from typing import Any

import faust

from models.profiles import Profile, decode, encode
from streams.bench.peers.fold import Fold
from streams.bench.peers.task import Tally, Task, task


def make_app(given: Task, fold: Fold, tally: Tally, done: asyncio.Event) -> faust.App:
    """The app; `done` is set when it has folded the task's events."""
    app = faust.App(
        given.group,
        broker=f"kafka://{given.kafka}",
        datadir=given.folder,
        topic_partitions=4,  # a Table has as many partitions as the topic that it follows
        key_serializer="raw",
        value_serializer="raw",
        consumer_auto_offset_reset="earliest",
        web_enabled=False,
    )
    source = app.topic(given.topic, key_type=bytes, value_type=bytes)
    profiles: Any = app.Table("profiles", key_type=bytes, value_type=bytes)

    @app.agent(source)
    async def fold_events(stream: Any) -> None:
        async for event in stream.events():
            tally.start()
            stored = profiles.get(event.key)
            profile = fold(Profile() if stored is None else decode(stored), event.value, event.message.offset)
            profiles[event.key] = encode(profile)
            tally.add(event.key, profile.events)
            if tally.events == given.events:
                done.set()

    return app


async def main() -> None:
    """Folds the task's events."""
    given, fold, tally, done = task(), Fold(), Tally(), asyncio.Event()
    app = make_app(given, fold, tally, done)
    await app.start()
    await done.wait()
    await app.producer.flush()
    await app.consumer.commit()
    tally.stop()
    await app.stop()


if __name__ == "__main__":
    asyncio.run(main())
