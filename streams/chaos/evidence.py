"""Reads what is in Kafka and Redis. Knows nothing about what should be there."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from confluent_kafka import Consumer, TopicPartition
from faust.types import TP
from redis.asyncio import Redis

from models.errors import BrokerError
from streams import topics
from streams.keys import checkpoint_key, due_key, profile_key, slate_key
from streams.simulation.broker import Record

_SILENCE_S = 60.0  # a log that has more and gives nothing for so long is not read any further
_AT_ONCE = 500
_TIMEOUT_S = 10.0
TOPICS_READ = (topics.EVENTS, topics.ATTRIBUTES, topics.REQUESTS, topics.DEAD_LETTERS, topics.LABELS)
GROUPS = {topics.EVENTS: "seren-profiles", topics.ATTRIBUTES: "seren-profiles", topics.REQUESTS: "seren-judging"}


class Logs:
    """Kafka's logs and its groups' offsets, read without a group. Blocking.

    Args:
        bootstrap: Kafka's address.
    """

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap
        self._readers = {group: _consumer(bootstrap, group) for group in sorted(set(GROUPS.values()))}

    def close(self) -> None:
        """Lets the connections go."""
        for reader in self._readers.values():
            reader.close()

    def ends(self, topic: str) -> dict[int, int]:
        """The end of each partition. Raises `KafkaException` while the broker is away."""
        reader = self._readers["seren-profiles"]
        return {
            number: reader.get_watermark_offsets(TopicPartition(topic, number), timeout=_TIMEOUT_S)[1]
            for number in range(topics.TOPICS[topic].partitions)
        }

    def committed(self, topic: str) -> dict[int, int]:
        """The committed offsets of the topic's group. Raises `KafkaException` while the broker is away."""
        places = [TopicPartition(topic, number) for number in range(topics.TOPICS[topic].partitions)]
        found = self._readers[GROUPS[topic]].committed(places, timeout=_TIMEOUT_S)
        return {place.partition: max(0, place.offset) for place in found}

    def read(
        self, names: Iterable[str] = TOPICS_READ, is_wanted: Callable[[bytes | None], bool] | None = None
    ) -> dict[TP, list[Record]]:
        """Every record of these topics, or those whose key is wanted.

        Raises:
            BrokerError: a log ends early.
        """
        ends = {TP(name, number): end for name in names for number, end in self.ends(name).items()}
        logs: dict[TP, list[Record]] = {tp: [] for tp in ends}
        left = {tp for tp, end in ends.items() if end}
        reader = _consumer(self._bootstrap, "seren-chaos-evidence")
        reader.assign([TopicPartition(tp.topic, tp.partition, 0) for tp in left])
        heard_s = time.monotonic()
        try:
            while left:
                for message in reader.consume(10_000, timeout=1.0):
                    if message.error():
                        continue
                    heard_s = time.monotonic()
                    tp, offset = TP(str(message.topic()), int(message.partition() or 0)), int(message.offset() or 0)
                    if is_wanted is None or is_wanted(_key(message)):
                        logs[tp].append(_record(message))
                    if offset + 1 >= ends[tp]:
                        left.discard(tp)
                if time.monotonic() - heard_s > _SILENCE_S:
                    text = f"{sorted(left)}: nothing more comes, and the logs do not end there"
                    raise BrokerError(text)
        finally:
            reader.close()
        return logs


def _consumer(bootstrap: str, group: str) -> Consumer:
    return Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": group,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "reconnect.backoff.max.ms": 500,
            "log_level": 0,
        }
    )


def _key(message: Any) -> bytes | None:
    key: bytes | None = message.key()
    return key


def _record(message: Any) -> Record:
    return Record(
        message.topic(),
        message.partition(),
        message.offset(),
        message.timestamp()[1],
        message.key(),
        message.value(),
        message.headers() or (),
    )


async def stored(client: Redis, keys: Mapping[str, str]) -> dict[str, bytes]:
    """The values of these keys by their names; what is not there is left out."""
    names = list(keys)
    found: dict[str, bytes] = {}
    for start in range(0, len(names), _AT_ONCE):
        part = names[start : start + _AT_ONCE]
        values: list[Any] = await client.mget([keys[name] for name in part])
        found.update({name: value for name, value in zip(part, values, strict=True) if value is not None})
    return found


async def stored_profiles(client: Redis, tenant: str, users: Sequence[str]) -> dict[str, bytes]:
    """The users' stored states."""
    return await stored(client, {user: profile_key(tenant, user) for user in users})


async def stored_slates(client: Redis, tenant: str, users: Sequence[str], surface: str) -> dict[str, bytes]:
    """The users' packed slates."""
    return await stored(client, {user: slate_key(tenant, user, surface) for user in users})


async def stored_checkpoints(client: Redis, tenant: str, partitions: int) -> dict[int, tuple[int, int]]:
    """Where each partition's state ends: in the events and in the attributes."""
    found = {}
    for number in range(partitions):
        next_offset, next_attribute = await client.hmget(checkpoint_key(tenant, number), "next_offset", "next_attribute")
        found[number] = (int(next_offset or 0), int(next_attribute or 0))
    return found


async def stored_timers(client: Redis, tenant: str, partitions: int) -> dict[int, int]:
    """How many timers each partition has."""
    return {number: int(await client.zcard(due_key(tenant, number))) for number in range(partitions)}
