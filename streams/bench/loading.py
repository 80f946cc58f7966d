"""Topics of a benchmark on a real Kafka, filled before anybody reads them.

A benchmark removes and makes topics, so it works only on a cluster that is its own: one without records on the topics of a
worker, which it marks with a topic of its own name, or one that it has marked before.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]  # a C type

from models.errors import BrokerError, BrokerUnavailable
from streams import codec, topics

MARK = "seren-bench"
_PATIENCE_S = 30.0  # a topic is removed or made within a second where nothing else runs
_LOOK_S = 0.1
PRODUCER: dict[str, object] = {
    "partitioner": "murmur2_random",  # as Java's and aiokafka's default; librdkafka's own is another
    "linger.ms": 20,
    "batch.size": 1_000_000,
    "queue.buffering.max.messages": 200_000,  # 40 MB of the amplified log
}


@dataclass(frozen=True)
class Loaded:
    """A topic as it was filled: the end of each partition, and how long that took."""

    topic: str
    ends: dict[int, int]
    seconds: float

    @property
    def records(self) -> int:
        """All of them; every partition began empty."""
        return sum(self.ends.values())


class Cluster:
    """A Kafka cluster that belongs to the benchmark.

    Args:
        bootstrap: its address.

    Raises:
        BrokerUnavailable: nobody answers there.
        BrokerError: it holds records that the benchmark did not put there.
    """

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap
        self._admin = AdminClient({"bootstrap.servers": bootstrap})
        existing = self._topics()
        if MARK in existing:
            return
        held = {name: ends(bootstrap, name) for name in topics.TOPICS if name in existing}
        for name, found in held.items():
            if any(found.values()):
                message = (
                    f"topic {name!r} at {bootstrap} holds {sum(found.values())} records of others, and the benchmark "
                    "empties its topics: give it a Kafka of its own ('make down up' makes an empty one)"
                )
                raise BrokerError(message)
        self._make(MARK, 1, {})

    def renew(self, name: str, *, partitions: int, settings: Mapping[str, str] | None = None) -> None:
        """Makes a topic empty: removes it where it exists, and makes it."""
        if name in self._topics():
            self._admin.delete_topics([name])[name].result(timeout=_PATIENCE_S)
            self._until(lambda: name not in self._topics(), f"topic {name!r} is not gone")
        self._make(name, partitions, settings or {})

    def remove(self, part: str) -> None:
        """Removes all topics whose names contain this."""
        names = [name for name in self._topics() if part in name]
        if names:
            for removed in self._admin.delete_topics(names).values():
                removed.result(timeout=_PATIENCE_S)

    def renew_topics(self) -> None:
        """Makes all topics of workers empty."""
        for topic in topics.TOPICS.values():
            self.renew(topic.name, partitions=topic.partitions, settings=topic.settings)

    def _topics(self) -> set[str]:
        try:
            return set(self._admin.list_topics(timeout=_PATIENCE_S).topics)
        except KafkaException as error:
            message = f"no Kafka at {self.bootstrap}: {error}"
            raise BrokerUnavailable(message) from error

    def _make(self, name: str, partitions: int, settings: Mapping[str, str]) -> None:
        new = NewTopic(name, num_partitions=partitions, replication_factor=1, config=dict(settings))
        self._until(lambda: self._made(new), f"topic {name!r} is not made")
        self._until(lambda: name in self._topics(), f"topic {name!r} is not seen")

    def _made(self, new: NewTopic) -> bool:
        try:
            self._admin.create_topics([new])[new.topic].result(timeout=_PATIENCE_S)
        except KafkaException as error:
            if error.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS:
                return False  # the one that was removed is not gone on every node
            message = f"topic {new.topic!r} cannot be made: {error}"
            raise BrokerError(message) from error
        return True

    def _until(self, done: Callable[[], bool], trouble: str) -> None:
        end_s = time.monotonic() + _PATIENCE_S
        while not done():
            if time.monotonic() > end_s:
                message = f"{trouble} after {_PATIENCE_S:.0f} s at {self.bootstrap}"
                raise BrokerUnavailable(message)
            time.sleep(_LOOK_S)


def fill(bootstrap: str, topic: str, records: Iterable[tuple[bytes, bytes]]) -> Loaded:
    """Sends keys and values to an empty topic, each to the partition that Kafka's default partitioner gives its key."""
    started_s = time.monotonic()
    failed: list[KafkaError] = []
    producer = Producer(
        PRODUCER
        | {
            "bootstrap.servers": bootstrap,
            "delivery.report.only.error": True,
            "on_delivery": lambda error, _: failed.append(error),
        }
    )
    sent = 0
    for key, value in records:
        while True:
            try:
                producer.produce(topic, value, key)
                break
            except BufferError:
                producer.poll(_LOOK_S)
        sent += 1
    producer.flush()
    loaded = Loaded(topic, ends(bootstrap, topic), time.monotonic() - started_s)
    if failed or loaded.records != sent:
        message = f"topic {topic!r} holds {loaded.records} of {sent} records: {failed[:1]}"
        raise BrokerError(message)
    return loaded


def fill_items(bootstrap: str, lines: Iterable[bytes]) -> None:
    """Puts a catalogue on its empty topic."""
    fill(bootstrap, topics.ITEMS, ((codec.decode_item(line).item_id.encode(), line) for line in lines))


def ends(bootstrap: str, topic: str) -> dict[int, int]:
    """The offset that the next record of each partition will get."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": MARK})
    try:
        metadata = consumer.list_topics(topic, timeout=_PATIENCE_S).topics[topic]
        return {
            number: consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=_PATIENCE_S)[1]
            for number in sorted(metadata.partitions)
        }
    finally:
        consumer.close()
