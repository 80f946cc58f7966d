"""The contract with faust-streaming: all that `streams.transport` leans on, so that an upgrade that breaks it says so."""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import subprocess
import sys
import tomllib
from collections.abc import AsyncIterator, Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import faust
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.structs import ConsumerRecord
from faust.transport.consumer import Fetcher
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from streams.embedded.broker import RunningBroker, start_broker
from streams.transport import Chunk, ChunkApp, ChunkConsumer, ChunkSchema, ChunkTransport

ROOT = Path(__file__).parents[2]
TOPIC = "chunks"
# Records by partition. Twelve chunks of partition 0 fill the agent's buffer of four while the other two have nothing to read.
COUNTS = {0: 6_000, 1: 700, 2: 1}

pytestmark = pytest.mark.timeout(120)


# ---- the versions and the names


@pytest.fixture
async def app() -> AsyncIterator[ChunkApp]:
    """An app that is never started."""
    made = ChunkApp("contract", broker="kafka://127.0.0.1:1", store="memory://", web_enabled=False, autodiscover=False)
    yield made
    made.consumer._thread.thread_loop.close()


@pytest.mark.parametrize("package", ["faust-streaming", "mode-streaming"])
def test_transport_runs_on_the_version_that_is_pinned(package: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert f"{package}=={version(package)}" in project["dependencies"], f"{package} is pinned to another version"


@pytest.mark.parametrize(
    ("name", "parameters", "is_async"),
    [
        ("_drain_messages", ["self", "fetcher"], True),
        ("_getmany", ["self", "active_partitions", "timeout"], True),
        ("_get_active_partitions", ["self"], False),
        ("_commit", ["self", "offsets"], True),
        ("commit", ["self", "topics", "start_new_transaction"], True),
        ("perform_seek", ["self"], True),
        ("seek_wait", ["self", "partitions"], True),
        ("assignment", ["self"], False),
        ("highwater", ["self", "tp"], False),
        ("wait_first", ["self", "coros", "timeout"], True),
        ("sleep", ["self", "n"], True),
        ("wait", ["self", "coros", "timeout"], True),
    ],
)
def test_faust_consumer_has_the_method_with_these_parameters(name: str, parameters: list[str], is_async: bool) -> None:
    method = getattr(driver.Consumer, name)
    assert list(inspect.signature(method).parameters) == parameters
    assert inspect.iscoroutinefunction(method) == is_async


def test_faust_fetcher_drains_the_consumer_by_the_method_that_is_replaced() -> None:
    assert "_drain_messages" in Fetcher._fetcher.fun.__code__.co_names
    assert ChunkConsumer._drain_messages is not driver.Consumer._drain_messages


async def test_faust_transport_makes_the_consumer_that_its_class_names(app: ChunkApp) -> None:
    made = app.transport
    assert type(made) is ChunkTransport
    assert made.Consumer is ChunkConsumer
    assert type(app.consumer) is ChunkConsumer


async def test_faust_consumer_starts_with_the_state_that_draining_reads(app: ChunkApp) -> None:
    consumer = app.consumer
    assert consumer.flow_active is True
    assert not consumer.can_resume_flow.is_set()
    assert not consumer.suspend_flow.is_set()
    assert consumer.callback == app.topics.on_message
    assert consumer._get_active_partitions() == set()
    assert isinstance(app.consumer_generation_id, int)
    held = TP(TOPIC, 1)
    consumer._set_active_tps({held, TP(TOPIC, 2)})
    consumer.on_buffer_full(held)
    assert consumer._get_active_partitions() == {TP(TOPIC, 2)}, "a partition whose buffer is full is not fetched"
    assert consumer._buffered_partitions == {held}
    consumer.on_buffer_drop(held)
    assert consumer._get_active_partitions() == {held, TP(TOPIC, 2)}


@pytest.mark.parametrize("had", [set(), {TP(TOPIC, 1)}])
async def test_rebalance_stops_the_flow_whether_or_not_there_were_partitions(
    app: ChunkApp, had: set[TP], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A flow that goes on fetches the next assignment's records before it is known where they start: events were lost."""
    consumer = app.consumer
    consumer.resume_flow()
    monkeypatch.setattr(consumer, "_on_partitions_revoked", _nothing)
    await consumer.on_partitions_revoked(had)
    assert consumer.flow_active is False
    assert consumer.suspend_flow.is_set()


async def test_nothing_is_fetched_before_it_is_known_where_an_assignment_starts(
    app: ChunkApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is fetched before the seek is passed over, and what is fetched after it then comes behind a gap."""
    consumer, held, asked = app.consumer, TP(TOPIC, 1), []

    async def nothing_there(**asked_for: object) -> dict[TP, list[object]]:
        asked.append(asked_for)
        return {}

    async def starts(assigned: set[TP]) -> dict[TP, int]:
        await consumer._drain_once()  # the fetcher goes on meanwhile
        return {held: 7}

    monkeypatch.setattr(consumer, "_getmany", nothing_there)
    monkeypatch.setattr(consumer, "seek_to_committed", _none)
    monkeypatch.setattr(consumer, "seek_wait", _nothing)
    monkeypatch.setattr(consumer, "assignment", lambda: {held})
    app.take_over = starts
    consumer.resume_flow()
    consumer._set_active_tps({held})
    app.consumer_generation_id = 5
    await consumer._drain_once()
    await consumer.perform_seek()
    assert asked == []
    await consumer._drain_once()
    assert len(asked) == 1
    app.consumer_generation_id = 6
    await consumer._drain_once()
    assert len(asked) == 1


async def _none() -> dict[TP, int]:
    """No committed offsets."""
    return {}


async def _nothing(*_: object, **__: object) -> None:
    """The app's own part, which needs a broker."""


def test_faust_schema_hands_the_chunk_through_as_it_is() -> None:
    for name in ("loads_key", "loads_value"):
        assert list(inspect.signature(getattr(faust.Schema, name)).parameters) == [
            "self",
            "app",
            "message",
            "loads",
            "serializer",
        ]
    message = SimpleNamespace(key=b"k", value=Chunk(TOPIC, 0, [], 0))
    schema = ChunkSchema()
    assert schema.loads_value(None, message) is message.value
    assert schema.loads_key(None, message) == b"k"


async def test_chunk_message_carries_the_chunk_and_the_last_record_s_place(app: ChunkApp) -> None:
    records = [
        ConsumerRecord(TOPIC, 2, offset, 1_000, 0, b"k%d" % offset, b"v", None, 2, 1, [("name", b"value")])
        for offset in (4, 5)
    ]
    chunk = Chunk(TOPIC, 2, records, 9)
    message = app.consumer._to_chunk_message(TP(TOPIC, 2), chunk)
    assert message.value is chunk
    assert (message.tp, message.offset, message.key) == (TP(TOPIC, 2), 5, b"k5")


# ---- the behaviour, on the embedded broker


class Run(NamedTuple):
    """What `chunk_walk.py` printed."""

    chunks: list[tuple[int, list[int], list[str], int]]
    assignments: list[list[int]]
    fetches: list[tuple[bool, float]]
    answers: list[bool]
    answer_after_stop: bool
    committed: list[list[int | None]]
    committed_after_stop: list[int | None]
    crashed: bool
    most_buffered: int
    work_ends: dict[str, int]


@pytest.fixture(scope="module")
def broker() -> Iterator[RunningBroker]:
    with start_broker({TOPIC: len(COUNTS)}) as running:
        asyncio.run(_fill(running.bootstrap))
        yield running


async def _fill(bootstrap: str) -> None:
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, linger_ms=5) as producer:
        for number, count in COUNTS.items():
            for offset in range(count):
                await producer.send(TOPIC, b"%d/%d" % (number, offset), partition=number)


@pytest.fixture(scope="module")
def run(broker: RunningBroker, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Run]:
    """One life of a chunk app, in a process of its own: Faust touches the event loop, the signals and the log."""

    def running(*, starts: dict[int, int], until: int, commits: list[dict[int, int]], ends: list[int]) -> Run:
        plan = {"bootstrap": broker.bootstrap, "starts": starts, "until": until, "commits": commits, "ends": ends}
        folder = tmp_path_factory.mktemp("life")
        ended = subprocess.run(
            [sys.executable, str(ROOT / "tests" / "streams" / "chunk_walk.py"), json.dumps(plan)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )
        assert ended.returncode == 0, ended.stderr
        assert list(folder.iterdir()) == [], "Faust left a folder where the process stood"
        said: dict[str, Any] = json.loads(ended.stdout)
        return Run(**said)

    return running


@pytest.fixture(scope="module")
def first(run: Callable[..., Run]) -> Run:
    """A life from the beginning, which commits: two partitions of three, then one that is not its own."""
    return run(starts={}, until=sum(COUNTS.values()), commits=[{0: 4_000, 1: 650}, {7: 1}], ends=[6_000, 705, 1])


@pytest.fixture(scope="module")
def second(run: Callable[..., Run], first: Run) -> Run:
    """The next life: its state says where partition 0 starts, and nothing of the others."""
    assert first.answers[0]
    return run(starts={0: 5_500}, until=500 + 50 + 1, commits=[], ends=[6_000, 700, 1])


def test_chunks_bring_every_record_once_and_in_order(first: Run) -> None:
    """Also those of a fetch that outlasted a rebalance; the plan has three of them."""
    for number, count in COUNTS.items():
        values = [value for partition, _, texts, _ in first.chunks if partition == number for value in texts]
        assert values == [f"{number}/{offset}" for offset in range(count)]


def test_chunk_holds_consecutive_records_of_one_partition_up_to_the_poll_s_bound(first: Run) -> None:
    for number, offsets, texts, end in first.chunks:
        assert offsets == list(range(offsets[0], offsets[-1] + 1))
        assert {text.split("/")[0] for text in texts} == {str(number)}
        assert len(offsets) <= 500
        assert end == COUNTS[number]


def test_fetch_waits_milliseconds_while_a_partition_is_held_back_and_a_second_otherwise(first: Run) -> None:
    """A fetch that began while one partition's buffer was full does not see that it has drained before it ends."""
    held_back = [timeout for some_held, timeout in first.fetches if some_held]
    free = [timeout for some_held, timeout in first.fetches if not some_held]
    assert held_back, "no partition was ever held back: the test shows nothing"
    assert max(held_back) <= 0.01
    assert set(free) == {1.0}


def test_work_ends_behind_the_last_record_that_came_or_at_the_end_that_is_still_ahead(first: Run) -> None:
    """Partition 1 is said to end at 705, and gave 700 records: five wait. The others gave all that they have."""
    assert first.work_ends == {"0": 6_000, "1": 705, "2": 1}


def test_buffered_chunks_are_counted_up_to_the_buffer_s_bound(first: Run) -> None:
    assert 1 <= first.most_buffered <= 4


def test_acknowledgements_of_faust_commit_nothing(first: Run) -> None:
    assert first.committed[0] == [None, None, None]


def test_commit_offsets_commits_what_it_is_given_and_nothing_else(first: Run) -> None:
    assert first.answers[0] is True
    assert first.committed[1] == [4_000, 650, None]
    assert first.committed_after_stop == [4_000, 650, None]


def test_commit_offsets_of_a_partition_that_moved_on_is_refused_and_ends_nothing(first: Run) -> None:
    assert first.answers[1] is False
    assert not first.crashed


def test_commit_offsets_after_the_end_is_refused(first: Run) -> None:
    assert first.answer_after_stop is False
    assert first.committed_after_stop[0] == 4_000


async def test_fetcher_that_is_cancelled_ends_quietly_where_its_worker_ends_and_not_otherwise(app: ChunkApp) -> None:
    """Faust crashes a worker whose fetcher is cancelled amid a rebalance."""
    consumer = app.consumer

    async def drained() -> None:
        await consumer._drain_messages(consumer)

    consumer.flow_active = False  # it waits for its partitions
    for ending in (False, True):
        draining = asyncio.create_task(drained())
        await asyncio.sleep(0)
        if ending:
            app._stopped.set()
        draining.cancel()
        [outcome] = await asyncio.gather(draining, return_exceptions=True)
        assert isinstance(outcome, asyncio.CancelledError) is not ending


def test_assignment_asks_take_over_once_for_all_partitions(first: Run, second: Run) -> None:
    assert first.assignments == [[0, 1, 2]]
    assert second.assignments == [[0, 1, 2]]


def test_start_is_where_take_over_says_else_the_committed_offset_else_the_beginning(second: Run) -> None:
    offsets: dict[int, list[int]] = {}
    for number, found, _, _ in second.chunks:
        offsets.setdefault(number, []).extend(found)
    assert offsets == {0: list(range(5_500, 6_000)), 1: list(range(650, 700)), 2: [0]}
