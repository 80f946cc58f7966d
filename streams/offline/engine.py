"""A profile worker's partitions in this process, fed with routed lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from streams import topics
from streams.knowledge import Knowledge
from streams.offline.route import LogRecord
from streams.offline.states import States
from streams.partition import Partition, Rules
from streams.recorded.replay import DAY_MS


class Engine:
    """A profile worker's partitions, all in this process.

    Args:
        states: where states are kept.
        knowledge: the catalogue.
        rules: thresholds; `check_clock` must be off, a recorded log has no broker's clock.
        partitions: how many.
        batch: records of one partition that are applied together; shapes no result.
        checkpoint_events: of one partition between two checkpoints; shapes no result.
        max_users: profiles in memory, over all partitions; shapes no result.
    """

    def __init__(
        self,
        states: States,
        *,
        knowledge: Knowledge,
        rules: Rules,
        partitions: int,
        batch: int = 1_000,
        checkpoint_events: int = 50_000,
        max_users: int = 200_000,
    ) -> None:
        self.counts: Counter[str] = Counter()
        self._states = states
        self._knowledge = knowledge
        self._rules = rules
        self._count = partitions
        self._batch = batch
        self._checkpoint_events = checkpoint_events
        self._max_users = max(1, max_users // partitions)
        self._partitions: list[Partition] = []
        self._applied: Counter[int] = Counter()

    async def start(self) -> None:
        """Takes all partitions over. Raises `StoreUnavailable`."""
        for number in range(self._count):
            partition = await self._states.start(number, knowledge=self._knowledge, rules=self._rules, counts=self.counts)
            self._partitions.append(partition)

    async def attributes(self, routed: Iterable[tuple[int, LogRecord]]) -> None:
        """Folds changes of users' attributes in."""
        for number, records in self._batches(routed):
            partition = self._partitions[number]
            changes = partition.decode_attributes(records)
            await self._admit(partition, (change.user_id for _, change in changes))
            partition.apply_attributes(changes)

    async def events(self, routed: Iterable[tuple[int, LogRecord]]) -> None:
        """Applies events, with checkpoints between."""
        for number, records in self._batches(routed):
            await self._take(self._partitions[number], records)

    async def end(self, last_ms: int, ends: Mapping[int, int]) -> None:
        """Moves every partition's time past `last_ms`, as a replay into Kafka does, and keeps everything."""
        header = (topics.WATERMARK_HEADER, str(last_ms + DAY_MS).encode())
        for partition in self._partitions:
            await self._take(partition, [LogRecord(ends.get(partition.number, 0), b"", None, headers=[header])])
            await self._checkpoint(partition)

    async def _take(self, partition: Partition, records: Sequence[LogRecord]) -> None:
        batch = partition.decode(records)
        strangers = partition.strangers(batch)
        if strangers:
            await self._states.admit(partition, strangers)
        partition.apply(batch)
        self._applied[partition.number] += len(batch)
        if self._applied[partition.number] >= self._checkpoint_events:
            await self._checkpoint(partition)

    async def _admit(self, partition: Partition, user_ids: Iterable[str]) -> None:
        users = partition.missing(user_ids)
        if users:
            await self._states.admit(partition, users)

    async def _checkpoint(self, partition: Partition) -> None:
        await self._states.checkpoint(partition)
        self._applied[partition.number] = 0
        self.counts["checkpoints"] += 1
        self.counts["evicted"] += partition.evict(self._max_users)

    def _batches(self, routed: Iterable[tuple[int, LogRecord]]) -> Iterator[tuple[int, list[LogRecord]]]:
        waiting: list[list[LogRecord]] = [[] for _ in range(self._count)]
        for number, record in routed:
            records = waiting[number]
            records.append(record)
            if len(records) == self._batch:
                waiting[number] = []
                yield number, records
        for number, records in enumerate(waiting):
            if records:
                yield number, records
