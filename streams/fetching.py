"""Records of aiokafka's fetcher by whole batches, as its own native reader made them.

aiokafka wraps each record in a `ConsumerRecord` and hands it through two generators of Python, which takes five times as long
as reading it. Here a batch becomes a list in one step. What is skipped is what aiokafka skips: control batches, aborted
transactions where only committed ones are asked for, records before the position, offsets that compaction emptied.

Written against aiokafka 0.14.0; `tests/streams/test_fetching.py` holds it against aiokafka's own way, record by record.
Knows nothing about Faust or what is in the records.
"""

# ruff: noqa: SLF001  # aiokafka offers nothing below one record

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection
from typing import Any, NamedTuple

from aiokafka.consumer import fetcher as driver
from aiokafka.errors import CorruptRecordException
from aiokafka.structs import TopicPartition

from streams.records import Record


class Fetched(NamedTuple):
    """Consecutive records of a partition, at least one, and the position behind them: past gaps and markers, too."""

    records: list[Record]
    position: int


class Batches:
    """Takes the place of aiokafka's `PartitionRecords` in a `FetchResult`: what one fetch brought of one partition.

    Args:
        source: not read from yet.

    Attributes:
        next_fetch_offset: behind what was taken; `FetchResult` reads it.
    """

    def __init__(self, source: driver.PartitionRecords) -> None:
        self.next_fetch_offset: int = source.next_fetch_offset
        self._source = source
        self._opened: list[Record] = []  # of the newest batch, what is not taken yet
        self._behind = self.next_fetch_offset  # the batch

    def take(self, most: int) -> list[Record]:
        """The next records, all of them or `most`.

        Raises:
            CorruptRecordException: a batch is not as it was written; nothing was taken.
        """
        taken: list[Record] = []
        position = self.next_fetch_offset
        while len(taken) < most:
            if not self._opened:
                if not self._source._records.has_next():
                    break
                self._open(position)
            room = most - len(taken)
            if len(self._opened) > room:
                taken += self._opened[:room]
                del self._opened[:room]
                position = taken[-1].offset + 1
            else:
                taken += self._opened
                self._opened = []
                position = self._behind
        self.next_fetch_offset = position
        return taken

    @property
    def is_over(self) -> bool:
        """Whether nothing is left."""
        return not self._opened and not self._source._records.has_next()

    def _open(self, position: int) -> None:
        """Reads one more batch; it may have no record for us."""
        source: Any = self._source
        batch = source._records.next_batch()
        if source._check_crcs and not batch.validate_crc():
            message = f"Invalid CRC - {source._tp}"
            raise CorruptRecordException(message)
        self._behind = batch.next_offset
        if not _is_for_us(source, batch):
            return
        self._opened = list(batch)
        if self._opened and self._opened[0].offset < position:  # the fetch began amid the batch
            self._opened = [record for record in self._opened if record.offset >= position]


def _is_for_us(source: Any, batch: Any) -> bool:
    """Whether a batch is of records that may be seen; called for each batch in turn, it follows the transactions."""
    if source._isolation_level == driver.READ_COMMITTED and batch.producer_id is not None:
        source._consume_aborted_up_to(batch.base_offset)
        if batch.is_control_batch and source._contains_abort_marker(batch):
            source._aborted_producers.discard(batch.producer_id)
        if batch.is_transactional and batch.producer_id in source._aborted_producers:
            return False
    return not batch.is_control_batch


async def fetched(
    fetcher: driver.Fetcher, partitions: Collection[TopicPartition], *, timeout_s: float, most: int
) -> dict[TopicPartition, Fetched]:
    """What came in, as `Fetcher.fetched_records` gives it; positions move on behind it.

    Args:
        fetcher: of a started consumer.
        partitions: of which records are wanted.
        timeout_s: how long to wait where there is nothing.
        most: records, of all partitions together.

    Raises:
        KafkaError: what aiokafka met with while it fetched.
    """
    subscriptions, deadline_s = fetcher._subscriptions, time.monotonic() + timeout_s
    while True:
        if subscriptions.reassignment_in_progress:
            await subscriptions.wait_for_assignment()
        drained = _drain(fetcher, partitions, most)
        left_s = deadline_s - time.monotonic()
        if drained or left_s <= 0:
            return drained
        waiter = fetcher._create_fetch_waiter()
        done, _ = await asyncio.wait([waiter], timeout=left_s)
        if not done or fetcher._closed:
            waiter.cancel()
            return {}
        waiter.result()  # an error of the group, if there is one


def _drain(fetcher: Any, partitions: Collection[TopicPartition], most: int) -> dict[TopicPartition, Fetched]:
    drained: dict[TopicPartition, Fetched] = {}
    for tp in list(fetcher._records):
        if tp not in partitions:
            if not fetcher._subscriptions.is_assigned(tp):
                del fetcher._records[tp]
            continue
        result = fetcher._records[tp]
        if type(result) is not driver.FetchResult:  # an error, which waits until what came before it is handed out
            if not drained:
                _forget(fetcher, tp)
                result.check_raise()
            return drained
        try:
            records = _take(result, tp, most)
        except CorruptRecordException:
            _forget(fetcher, tp)  # fetched again, from where the position still is
            raise
        if not result.has_more():
            _forget(fetcher, tp)
        if records:
            drained[tp] = Fetched(records, result._assignment.state_value(tp).position)
            most -= len(records)
            if most <= 0:
                break
    return drained


def _take(result: Any, tp: TopicPartition, most: int) -> list[Record]:
    """As `FetchResult.getall`."""
    if not result.has_more() or not result.check_assignment(tp):
        return []
    if type(result._partition_records) is driver.PartitionRecords:
        result._partition_records = Batches(result._partition_records)
    batches: Batches = result._partition_records
    records = batches.take(most)
    result._update_position()
    if batches.is_over:
        result._partition_records = None
    return records


def _forget(fetcher: Any, tp: TopicPartition) -> None:
    """Makes room for the next fetch of a partition."""
    del fetcher._records[tp]
    fetcher._notify(fetcher._wait_consume_future)
