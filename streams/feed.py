"""The catalogue's feed: a compacted topic read from its beginning, then followed. No consumer group: each worker reads all."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from models.entities import Item
from models.errors import BrokerUnavailable, DecodeError
from streams import codec, topics
from streams.connecting import start

logger = logging.getLogger(__name__)

ItemChange = tuple[str, Item | None]  # an item's id, and the item; None where it is no longer offered


class ItemFeed:
    """Reads the `items` topic.

    Args:
        bootstrap: the broker's address.
        on_bad: called with each message that is no item (its key, where the value is null), and why.
    """

    def __init__(self, bootstrap: str, *, on_bad: Callable[[bytes, DecodeError], None]) -> None:
        self._bootstrap = bootstrap
        self._on_bad = on_bad

    async def load(self) -> list[Item]:
        """All items that the topic holds now.

        Raises:
            BrokerUnavailable: Kafka is away; try again.
            BrokerError: it refuses us.
        """
        by_id: dict[str, Item] = {}
        with self._translated():
            consumer = await self._started()
            try:
                end = await consumer.end_offsets(consumer.assignment())
                while any([await consumer.position(tp) < offset for tp, offset in end.items()]):
                    for item_id, item in await self._next(consumer):
                        by_id.pop(item_id, None)
                        if item is not None:
                            by_id[item_id] = item
            finally:
                await consumer.stop()
        return list(by_id.values())

    async def follow(self, on_changes: Callable[[list[ItemChange]], None]) -> None:
        """Hands new, changed and withdrawn items on as they come, until cancelled. Begins with all that the topic holds.

        Raises:
            BrokerUnavailable: Kafka is away; follow again, from the beginning.
            BrokerError: it refuses us.
        """
        with self._translated():
            consumer = await self._started()
            try:
                while True:
                    changes = await self._next(consumer)
                    if changes:
                        on_changes(changes)
            finally:
                await consumer.stop()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (KafkaError, OSError) as error:
            message = f"items cannot be read from {self._bootstrap}: {error}"
            raise BrokerUnavailable(message) from error

    async def _started(self) -> AIOKafkaConsumer:
        consumer = AIOKafkaConsumer(bootstrap_servers=self._bootstrap, enable_auto_commit=False, auto_offset_reset="earliest")
        try:
            await start(consumer)
            numbers = await self._partitions(consumer)
            consumer.assign([TopicPartition(topics.ITEMS, number) for number in sorted(numbers)])
            await consumer.seek_to_beginning()
        except BaseException:
            await consumer.stop()
            raise
        return consumer

    async def _partitions(self, consumer: AIOKafkaConsumer) -> set[int]:
        await consumer._client.set_topics([topics.ITEMS])  # noqa: SLF001  # the public call asks only for known topics
        for _ in range(50):
            numbers: set[int] = consumer.partitions_for_topic(topics.ITEMS) or set()
            if numbers:
                return numbers
            await asyncio.sleep(0.1)
        message = f"topic {topics.ITEMS!r} does not exist on {self._bootstrap}; `seren topics` makes it"
        raise BrokerUnavailable(message)

    async def _next(self, consumer: AIOKafkaConsumer) -> list[ItemChange]:
        changes: list[ItemChange] = []
        for records in (await consumer.getmany(timeout_ms=500)).values():
            for record in records:
                try:
                    if record.value is None:
                        changes.append((codec.decode_key(record.key, "item_id"), None))
                    else:
                        item = codec.decode_item(record.value)
                        changes.append((item.item_id, item))
                except DecodeError as error:
                    self._on_bad(record.value or record.key or b"", error)
        return changes
