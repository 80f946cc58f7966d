"""Definition-1 labels from wherever they are: the topic, a file of its records, or a recorded log that is replayed.

Knows nothing about what they are used for. Lines and records that are no labels are counted, not followed.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

from models.entities import SerendipityLabel
from models.errors import BrokerError, BrokerUnavailable, DecodeError
from streams import codec, topics
from streams.deadletters.letter import FORGOTTEN
from streams.knowledge import Knowledge
from streams.marks import header_of
from streams.offline import Engine, Log, MemoryStates, Refusals, Router, read_items
from streams.partition import Partition, Rules
from streams.recorded.logs import read_lines

_POLL_MS, _POLL_RECORDS = 500, 500
_MAX_USERS = 1_000_000  # in memory while a log is replayed: one that is put out loses the profile that its label needs


@dataclass
class FoundLabels:
    """Labels in the order in which they were found, and how many records were none, or of users who were forgotten."""

    labels: list[SerendipityLabel] = field(default_factory=list)
    refused: int = 0
    forgotten: int = 0

    def add(self, value: bytes) -> None:
        """One record more."""
        try:
            self.labels.append(codec.decode_label(value))
        except DecodeError:
            self.refused += 1


def labels_of_files(paths: Sequence[Path]) -> FoundLabels:
    """The labels of JSON Lines files (`.jsonl`, `.jsonl.zst`). Raises `LogError` when one cannot be read."""
    found = FoundLabels()
    for path in paths:
        for _, line in read_lines(path):
            if line.strip():
                found.add(line)
    return found


async def labels_of_log(log: Log, rules: Rules, *, advance: Callable[[int], None]) -> FoundLabels:
    """The labels that a worker would have sent while it was fed this log, each of a day's first with its profile.

    Args:
        log: replayed from its beginning.
        rules: of the profile worker.
        advance: told of the events applied so far.
    """
    refused = Refusals()
    rules = replace(rules, check_clock=False, label_digests=True)
    knowledge = Knowledge(read_items(log, refused), max_tag_bytes=rules.profile.short_term.max_tag_bytes)
    states = _LabelStates()
    engine = Engine(states, knowledge=knowledge, rules=rules, partitions=1, max_users=_MAX_USERS)
    router = Router(1, refused)
    await engine.start()
    await engine.attributes(router.users(log.users()))
    await engine.events(_counted(router.events(log.events()), advance))
    await engine.end(router.last_ms, router.ends)
    return FoundLabels(states.labels, refused.count)


async def labels_of_topic(bootstrap: str) -> FoundLabels:
    """All labels that are on the topic now, without those of users who were forgotten since.

    Raises:
        BrokerUnavailable: Kafka is away.
        BrokerError: the topic does not exist.
    """
    found = FoundLabels()
    forgotten: dict[bytes, int] = {}
    async for record in _records(bootstrap, topics.DEAD_LETTERS):
        if record.key is not None and header_of(record, "error") == FORGOTTEN.encode():
            forgotten[record.key] = max(record.timestamp, forgotten.get(record.key, -1))
    async for record in _records(bootstrap, topics.LABELS):
        if record.timestamp <= forgotten.get(record.key or b"", -1):
            found.forgotten += 1
        elif record.value is not None:
            found.add(record.value)
    return found


class _LabelStates(MemoryStates):
    """States in memory whose checkpoints keep the labels."""

    def __init__(self) -> None:
        super().__init__()
        self.labels: list[SerendipityLabel] = []

    async def checkpoint(self, partition: Partition) -> None:
        self.labels.extend(partition.labels)
        await super().checkpoint(partition)


def _counted(routed: Iterator[Any], advance: Callable[[int], None]) -> Iterator[Any]:
    for number, one in enumerate(routed, start=1):
        if not number % 1_000:
            advance(number)
        yield one


async def _records(bootstrap: str, topic: str) -> AsyncIterator[Any]:
    """All records of a topic up to its end as it is now."""
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=bootstrap, enable_auto_commit=False, auto_offset_reset="earliest")
    try:
        await consumer.start()
        if not consumer.assignment():
            message = f"topic {topic!r} does not exist on {bootstrap}; `seren topics` makes it"
            raise BrokerError(message)
        await consumer.seek_to_beginning()
        ends = await consumer.end_offsets(consumer.assignment())
        while any([await consumer.position(one) < end for one, end in ends.items()]):
            for one, records in (await consumer.getmany(timeout_ms=_POLL_MS, max_records=_POLL_RECORDS)).items():
                for record in records:
                    if record.offset < ends[one]:
                        yield record
    except (KafkaError, OSError) as error:
        message = f"Kafka at {bootstrap}: {error}"
        raise BrokerUnavailable(message) from error
    finally:
        await consumer.stop()
