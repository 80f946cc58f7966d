"""The contract with aiokafka: records taken by whole batches are the records and the positions that aiokafka itself gives."""

from __future__ import annotations

import asyncio
import tomllib
from collections.abc import AsyncIterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.consumer.fetcher import Fetcher, FetchError, FetchResult, PartitionRecords
from aiokafka.errors import CorruptRecordException, TopicAuthorizationFailedError
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.record.util import calc_crc32c
from aiokafka.structs import TopicPartition
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.fetching import Batches, fetched

ROOT = Path(__file__).parents[2]
TP = TopicPartition("behaviour-events", 1)
COMMITTED, UNCOMMITTED = 1, 0
GZIP = 1
_ATTRIBUTES, _APPEND_TIME, _TRANSACTIONAL, _CONTROL = 21, 0x08, 0x10, 0x20
_ABORT, _COMMIT = b"\x00\x00\x00\x00", b"\x00\x00\x00\x01"


class Batch(NamedTuple):
    """A batch to be written; `offsets` are from its base, and `last` may lie behind them where compaction took some away."""

    offsets: tuple[int, ...]
    last: int
    codec: int = 0
    append_time: bool = False
    producer: int = -1
    marker: bytes | None = None


def written(batches: Sequence[Batch], *, first: int = 100) -> bytes:
    """The batches as a broker sends them, one behind the other."""
    data = b""
    for batch in batches:
        data += _written(batch, first)
        first += batch.last + 1
    return data


def _written(batch: Batch, first: int) -> bytes:
    builder = DefaultRecordBatchBuilder(2, batch.codec, int(batch.producer >= 0), batch.producer, 0, 0, 1 << 20)
    for offset in batch.offsets:
        key, value = (batch.marker, b"\x00" * 6) if batch.marker is not None else (b"k%d" % offset, b"v%d" % (first + offset))
        headers = [("traceparent", b"00-%d" % offset)] if offset % 3 == 0 else []
        builder.append(offset, 1_000 + offset, key, None if offset % 5 == 4 else value, headers)
    data = bytearray(builder.build())
    data[:8] = first.to_bytes(8, "big")
    data[23:27] = batch.last.to_bytes(4, "big")
    data[_ATTRIBUTES + 1] |= _APPEND_TIME * batch.append_time | _CONTROL * (batch.marker is not None)
    return _with_crc(bytes(data))


def _with_crc(data: bytes) -> bytes:
    checksum: int = calc_crc32c(data[_ATTRIBUTES:])
    return data[:17] + checksum.to_bytes(4, "big") + data[_ATTRIBUTES:]


def unread(data: bytes, *, position: int, isolation: int = UNCOMMITTED, aborted: Any = None) -> PartitionRecords:
    return PartitionRecords(TP, MemoryRecords(data), aborted, position, None, None, True, isolation)


def seen(record: Any) -> tuple[Any, ...]:
    return record.offset, record.timestamp, record.timestamp_type, record.key, record.value, tuple(record.headers)


def assert_as_aiokafka(data: bytes, *, position: int, most: int = 7, isolation: int = UNCOMMITTED, aborted: Any = None) -> int:
    """Takes everything both ways; gives how many records there were."""
    theirs = unread(data, position=position, isolation=isolation, aborted=aborted)
    expected = [seen(record) for record in theirs]
    ours = Batches(unread(data, position=position, isolation=isolation, aborted=aborted))
    came: list[tuple[Any, ...]] = []
    while not ours.is_over:
        taken = ours.take(most)
        assert len(taken) <= most
        came += [seen(record) for record in taken]
        if taken:
            assert ours.next_fetch_offset > taken[-1].offset
    assert came == expected
    assert ours.next_fetch_offset == theirs.next_fetch_offset
    assert ours.take(most) == []
    return len(came)


def test_fetching_runs_on_the_version_of_aiokafka_that_it_was_written_against() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    [pinned] = [name for name in project["dependencies"] if name.startswith("aiokafka")]
    assert version("aiokafka").startswith("0.14."), f"{pinned}: read Fetcher, FetchResult and PartitionRecords again"


BATCHES = [
    Batch(tuple(range(10)), 9),
    Batch((2, 3, 7), 9),  # compacted, in the middle and at the end
    Batch((), 4),  # compacted until nothing was left
    Batch(tuple(range(20)), 19, codec=GZIP),
    Batch((0, 1, 2), 2, append_time=True),
]


@pytest.mark.parametrize("most", [1, 2, 3, 10, 1_000])
@pytest.mark.parametrize("position", [100, 104, 109, 113, 119, 124, 131])
def test_batches_give_what_aiokafka_gives_from_any_position_in_any_portions(position: int, most: int) -> None:
    assert assert_as_aiokafka(written(BATCHES), position=position, most=most) > 0


@settings(max_examples=60, deadline=None)
@given(
    shapes=st.lists(
        st.tuples(st.sets(st.integers(0, 12), max_size=8), st.integers(0, 3), st.sampled_from([0, GZIP]), st.booleans()),
        min_size=1,
        max_size=6,
    ),
    behind=st.integers(0, 30),
    most=st.integers(1, 20),
)
def test_batches_of_any_shape_give_what_aiokafka_gives(shapes: list[Any], behind: int, most: int) -> None:
    batches = [
        Batch(tuple(sorted(offsets)), max(offsets, default=0) + gap, codec=codec, append_time=append_time)
        for offsets, gap, codec, append_time in shapes
    ]
    assert_as_aiokafka(written(batches), position=100 + behind, most=most)


@pytest.mark.parametrize("isolation", [COMMITTED, UNCOMMITTED])
def test_markers_are_no_records_and_aborted_ones_are_left_out_where_only_committed_are_wanted(isolation: int) -> None:
    transactions = [
        Batch((0, 1), 1, producer=7),  # 100 and 101, aborted
        Batch((0, 1, 2), 2, producer=8),  # 102 to 104, committed
        Batch((0,), 0, producer=7, marker=_ABORT),
        Batch((0,), 0, producer=8, marker=_COMMIT),
        Batch((0, 1), 1, producer=7),  # 107 and 108, another transaction of the same producer
        Batch((0,), 0, producer=7, marker=_COMMIT),
    ]
    count = assert_as_aiokafka(written(transactions), position=100, isolation=isolation, aborted=[(7, 100)])
    assert count == (5 if isolation == COMMITTED else 7)


def test_batch_that_is_not_as_it_was_written_is_refused_and_moves_nothing() -> None:
    data = bytearray(written([Batch((0, 1), 1), Batch((0, 1), 1)]))
    data[-3] ^= 0xFF
    batches = Batches(unread(bytes(data), position=100))
    with pytest.raises(CorruptRecordException, match="CRC"):
        batches.take(10)
    assert batches.next_fetch_offset == 100


# ---- the fetcher


@pytest.fixture
async def consumer() -> AsyncIterator[AIOKafkaConsumer]:
    """A consumer without a broker, whose fetcher is never asked to fetch."""
    made = AIOKafkaConsumer(bootstrap_servers="127.0.0.1:1")
    made._subscription.assign_from_user([TP, OTHER])
    made._fetcher = Fetcher(made._client, made._subscription)
    made._fetcher._fetch_task.cancel()
    await asyncio.gather(made._fetcher._fetch_task, return_exceptions=True)
    for tp in (TP, OTHER):
        made._subscription.subscription.assignment.state_value(tp).reset_to(100)
    yield made
    await made._fetcher.close()
    await made.stop()


OTHER = TopicPartition("behaviour-events", 2)


def put(consumer: AIOKafkaConsumer, tp: TopicPartition, count: int, first: int = 100) -> None:
    """What a fetch brought of a partition."""
    data = written([Batch(tuple(range(count)), count + 1)], first=first)  # two offsets behind the last one are gone
    consumer._fetcher._records[tp] = FetchResult(
        tp,
        assignment=consumer._subscription.subscription.assignment,
        partition_records=unread(data, position=first),
        backoff=0.1,
    )


def position(consumer: AIOKafkaConsumer, tp: TopicPartition) -> int:
    found: int = consumer._subscription.subscription.assignment.state_value(tp).position
    return found


async def test_fetched_gives_partitions_up_to_the_bound_of_all_together_and_moves_their_positions(
    consumer: AIOKafkaConsumer,
) -> None:
    put(consumer, TP, 6)
    put(consumer, OTHER, 6)
    first = await fetched(consumer._fetcher, {TP, OTHER}, timeout_s=0.0, most=8)
    assert {tp: len(taken.records) for tp, taken in first.items()} == {TP: 6, OTHER: 2}
    assert (position(consumer, TP), position(consumer, OTHER)) == (108, 102)  # behind the gap, and amid the batch
    assert [taken.position for taken in first.values()] == [108, 102]
    second = await fetched(consumer._fetcher, {TP, OTHER}, timeout_s=0.0, most=8)
    assert [record.offset for record in second[OTHER].records] == [102, 103, 104, 105]
    assert await fetched(consumer._fetcher, {TP, OTHER}, timeout_s=0.0, most=8) == {}


async def test_fetched_leaves_alone_what_is_not_wanted_and_drops_what_a_seek_made_void(consumer: AIOKafkaConsumer) -> None:
    put(consumer, TP, 3)
    put(consumer, OTHER, 3)
    consumer.seek(OTHER, 100_000)
    assert await fetched(consumer._fetcher, {OTHER}, timeout_s=0.0, most=8) == {}
    assert position(consumer, OTHER) == 100_000
    assert list(consumer._fetcher._records) == [TP]
    assert len((await fetched(consumer._fetcher, {TP}, timeout_s=0.0, most=8))[TP].records) == 3


async def test_fetched_waits_for_what_comes_and_no_longer_than_it_may(consumer: AIOKafkaConsumer) -> None:
    waiting = asyncio.ensure_future(fetched(consumer._fetcher, {TP}, timeout_s=30.0, most=8))
    await asyncio.sleep(0.01)
    put(consumer, TP, 3)
    for waiter in list(consumer._fetcher._fetch_waiters):
        consumer._fetcher._notify(waiter)
    assert len((await waiting)[TP].records) == 3
    assert await fetched(consumer._fetcher, {TP}, timeout_s=0.01, most=8) == {}
    await asyncio.sleep(0)
    assert not consumer._fetcher._fetch_waiters


async def test_fetched_raises_an_error_only_behind_the_records_that_came_before_it(consumer: AIOKafkaConsumer) -> None:
    put(consumer, TP, 3)
    consumer._fetcher._records[OTHER] = FetchError(error=TopicAuthorizationFailedError("t"), backoff=0.1)
    assert list(await fetched(consumer._fetcher, {TP, OTHER}, timeout_s=0.0, most=8)) == [TP]
    with pytest.raises(TopicAuthorizationFailedError):
        await fetched(consumer._fetcher, {TP, OTHER}, timeout_s=0.0, most=8)
    assert await fetched(consumer._fetcher, {TP, OTHER}, timeout_s=0.0, most=8) == {}
