"""Questions and orders to a Kafka cluster that no worker needs while it works: topics, ends, lags."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from models.errors import BrokerError, BrokerUnavailable
from streams.topics import TOPICS


async def create_topics(bootstrap: str, *, replication: int = 1) -> list[str]:
    """Makes the topics that do not exist yet.

    Returns:
        The names of those that were made.

    Raises:
        BrokerUnavailable: Kafka is away.
        BrokerError: Kafka refused one; the message names it.
    """
    made = []
    try:
        admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
        await admin.start()
        try:
            existing = set(await admin.list_topics())
            for topic in TOPICS.values():
                if topic.name not in existing and await _create(
                    admin, topic.name, topic.partitions, topic.settings, replication
                ):
                    made.append(topic.name)
        finally:
            await admin.close()
    except (KafkaError, OSError) as error:
        message = f"Kafka at {bootstrap}: {error}"
        raise BrokerUnavailable(message) from error
    return made


async def _create(
    admin: AIOKafkaAdminClient, name: str, partitions: int, settings: Mapping[str, str], replication: int
) -> bool:
    new = NewTopic(name=name, num_partitions=partitions, replication_factor=replication, topic_configs=dict(settings))
    answer = await admin.create_topics([new])
    for _, code, *text in answer.topic_errors:
        if code == TopicAlreadyExistsError.errno:
            return False
        if code:
            message = f"topic {name!r} cannot be made: {for_code(code).__name__} {text}"
            raise BrokerError(message)
    return True


class Progress:
    """How far consumers have come, seen from outside their groups.

    Args:
        bootstrap: the broker's address.
        group: the consumer group whose committed offsets are read.
        topic: the topic that it reads.
        partitions: how many the topic has.
    """

    def __init__(self, bootstrap: str, *, group: str, topic: str, partitions: int) -> None:
        self._consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, group_id=group, enable_auto_commit=False)
        self._partitions = [TopicPartition(topic, number) for number in range(partitions)]

    async def __aenter__(self) -> Progress:
        """Connects.

        Raises:
            BrokerUnavailable: Kafka is away.
        """
        try:
            with _translated():
                await self._consumer.start()
                self._consumer.assign(self._partitions)
        except BaseException:
            await self._consumer.stop()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._consumer.stop()

    async def ends(self) -> dict[int, int]:
        """The offset that the next record of each partition will get."""
        with _translated():
            return {tp.partition: offset for tp, offset in (await self._consumer.end_offsets(self._partitions)).items()}

    async def committed(self) -> dict[int, int]:
        """The group's committed offsets; 0 where there is none."""
        with _translated():
            return {tp.partition: await self._consumer.committed(tp) or 0 for tp in self._partitions}

    async def lag(self) -> int:
        """Records that the group has not finished."""
        committed = await self.committed()
        return sum(end - committed[number] for number, end in (await self.ends()).items())


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (KafkaError, OSError) as error:
        message = f"Kafka: {error}"
        raise BrokerUnavailable(message) from error
