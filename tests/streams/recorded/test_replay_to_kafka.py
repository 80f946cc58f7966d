"""Laws of a replay: what reaches the topics, at which offsets, how far ahead of its consumers, and how fast."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any, NamedTuple

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.partitioner import DefaultPartitioner
from hypothesis import given, settings
from hypothesis import strategies as st

from models.entities import Event, Item, UserAttributes
from models.errors import BrokerUnavailable
from streams import codec, topics
from streams.embedded.broker import RunningBroker, start_broker
from streams.recorded import replay
from streams.recorded.replay import DAY_MS, Pace, Replay, Replayed, partition_of

START_MS = 1_600_000_000_000
STABLE = settings(max_examples=60, deadline=None, derandomize=True)
NUMBERS = list(range(topics.USER_PARTITIONS))


def line(number: int, user: str, at_s: float = 0.0, kind: Any = "visit", **fields: Any) -> bytes:
    return codec.encode(Event(event_id=f"e{number}", user_id=user, type=kind, ts_ms=START_MS + round(at_s * 1000), **fields))


# Line 3 is torn, line 5 is no JSON object, line 7 is of a type that nobody knows.
LINES = [
    line(1, "ann", 0),
    line(2, "bob", 1),
    b'{"event_id":"e3","user_id":"cy',
    line(4, "ann", 2),
    b"\xff\xfe",
    line(6, "cyd", 5),
    line(7, "dee", 6).replace(b'"visit"', b'"stare"'),
    line(8, "bob", 4),
]
GOOD = [number for number in range(1, 9) if number not in {3, 5, 7}]


# ---- on the embedded broker


async def nothing_consumed() -> Mapping[int, int]:
    return {}


def new_replay(producer: Any, starts: Mapping[int, int], progress: list[int] | None = None, **pace: Any) -> Replay:
    note = (lambda count: None) if progress is None else progress.append
    return Replay(producer, starts=starts, consumed=nothing_consumed, pace=Pace(**pace), on_progress=note)


async def records_of(broker: RunningBroker, topic: str) -> dict[int, list[Any]]:
    async with AIOKafkaConsumer(bootstrap_servers=broker.bootstrap, auto_offset_reset="earliest") as consumer:
        places = [TopicPartition(topic, number) for number in range(topics.TOPICS[topic].partitions)]
        consumer.assign(places)
        await consumer.seek_to_beginning()
        ends = await consumer.end_offsets(places)
        found: dict[int, list[Any]] = defaultdict(list)
        while any([await consumer.position(place) < end for place, end in ends.items()]):
            for place, records in (await consumer.getmany(timeout_ms=200)).items():
                found[place.partition] += records
        return found


class Twice(NamedTuple):
    """One log played twice into new topics, and what they hold then."""

    first: Replayed
    again: Replayed
    progress: list[int]
    records: dict[str, dict[int, list[Any]]]


ITEM = Item(item_id="i1", title="thing", category=("shop",))
CHANGES = [UserAttributes(user_id=user, attributes={"age": "30s"}) for user in ("ann", "bob", "cyd")]


@pytest.fixture(scope="module")
def twice() -> Twice:
    with start_broker({topic.name: topic.partitions for topic in topics.TOPICS.values()}) as broker:
        return asyncio.run(_play_twice(broker))


async def _play_twice(broker: RunningBroker) -> Twice:
    progress: list[int] = []
    async with AIOKafkaProducer(bootstrap_servers=broker.bootstrap) as producer:
        replaying = new_replay(producer, dict.fromkeys(NUMBERS, 0), progress)
        await replaying.items([ITEM])
        await replaying.attributes(CHANGES)
        first = await replaying.events(enumerate(LINES, start=1))
        again = await new_replay(producer, first.ends).events(enumerate(LINES, start=1))
    return Twice(first, again, progress, {topic: await records_of(broker, topic) for topic in topics.TOPICS})


def test_replay_keeps_each_partition_s_lines_in_order_byte_for_byte_under_their_users_keys(twice: Twice) -> None:
    default = DefaultPartitioner()
    users = {at: codec.decode_event(LINES[at - 1]).user_id.encode() for at in GOOD}
    for number in NUMBERS:
        here = [at for at in GOOD if default(users[at], NUMBERS, NUMBERS) == number]
        records = twice.records[topics.EVENTS][number][: len(here)]
        assert [record.value for record in records] == [LINES[at - 1] for at in here]
        assert [record.key for record in records] == [users[at] for at in here]


def test_replay_counts_its_events_and_tells_their_times(twice: Twice) -> None:
    assert (twice.first.events, twice.first.first_ts_ms, twice.first.last_ts_ms) == (5, START_MS, START_MS + 5_000)
    assert twice.progress[-1] == 5


def test_replay_ends_every_partition_with_the_end_of_the_log_s_time(twice: Twice) -> None:
    for number in NUMBERS:
        records = twice.records[topics.EVENTS][number][: twice.first.ends[number]]
        assert records[-1].value is None
        assert dict(records[-1].headers) == {topics.WATERMARK_HEADER: str(START_MS + 5_000 + DAY_MS).encode()}
        assert all(not record.headers for record in records[:-1])


def test_replay_promises_the_offsets_that_its_records_get(twice: Twice) -> None:
    assert twice.first.starts == dict.fromkeys(NUMBERS, 0)
    assert twice.again.starts == twice.first.ends
    for number in NUMBERS:
        records = twice.records[topics.EVENTS][number]
        assert [record.offset for record in records] == list(range(twice.again.ends[number]))
        middle = twice.first.ends[number]
        values = [record.value for record in records]
        assert values[:middle] == values[middle:], "two replays of one log are the same records"


def test_corrupt_line_is_dead_lettered_by_its_number_and_the_rest_flows(twice: Twice) -> None:
    letters = twice.records[topics.DEAD_LETTERS][0][:3]
    assert twice.first.dead_letters == 3
    assert [letter.value for letter in letters] == [LINES[2], LINES[4], LINES[6]]
    headers = [dict(letter.headers) for letter in letters]
    assert [header["reason"].split(b":")[0] for header in headers] == [b"line 3", b"line 5", b"line 7"]
    assert {header["error"] for header in headers} == {b"DecodeError"}
    assert {header["topic"] for header in headers} == {b"replay"}


def test_catalogue_and_attributes_go_to_their_topics_and_users_to_the_partition_of_their_events(twice: Twice) -> None:
    [stored] = twice.records[topics.ITEMS][0]
    assert (stored.key, codec.decode_item(stored.value)) == (b"i1", ITEM)
    placed = twice.records[topics.ATTRIBUTES]
    found = {record.key.decode(): number for number, records in placed.items() for record in records}
    assert found == {user: partition_of(user.encode(), NUMBERS) for user in ("ann", "bob", "cyd")}


async def test_broker_that_goes_away_is_unavailable_and_not_a_traceback_of_kafka() -> None:
    with start_broker({topics.EVENTS: len(NUMBERS)}) as broker:
        async with AIOKafkaProducer(bootstrap_servers=broker.bootstrap, request_timeout_ms=500) as producer:
            broker.stop()
            with pytest.raises(BrokerUnavailable):
                await new_replay(producer, dict.fromkeys(NUMBERS, 0)).events(enumerate(LINES, start=1))


# ---- pace, with a producer that takes everything at once


class Outbox:
    """Stands for the broker: keeps what is sent, and may look at each event as it comes."""

    def __init__(self) -> None:
        self.sent: list[tuple[int, int]] = []  # partition and size of each event
        self.at_s: list[float] = []
        self.now_s = 0.0
        self.outstanding: dict[int, list[int]] = defaultdict(list)
        self.most_bytes: Counter[int] = Counter()
        self.most_messages: Counter[int] = Counter()

    async def send(self, topic: str, value: Any, key: bytes, *, partition: int, headers: Any) -> asyncio.Future[None]:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        if topic == topics.EVENTS and value is not None:
            size = len(key) + len(value)
            self.sent.append((partition, size))
            self.at_s.append(self.now_s)
            waiting = self.outstanding[partition]
            waiting.append(size)
            self.most_bytes[partition] = max(self.most_bytes[partition], sum(waiting))
            self.most_messages[partition] = max(self.most_messages[partition], len(waiting))
        return done

    async def flush(self) -> None:
        """Nothing is held back."""


@given(
    users=st.lists(st.integers(0, 6), min_size=1, max_size=80),
    queries=st.lists(st.integers(0, 200), min_size=1, max_size=80),
    ahead_bytes=st.integers(50, 2_000),
    ahead_messages=st.integers(1, 12),
    step=st.integers(1, 5),
)
@STABLE
def test_replay_is_never_further_ahead_than_its_bounds(
    users: list[int], queries: list[int], ahead_bytes: int, ahead_messages: int, step: int
) -> None:
    """An event that is larger than the bound goes when nothing else is under way."""
    lines = [
        line(at, f"user {user}", kind="search", query="q" * (1 + queries[at % len(queries)])) for at, user in enumerate(users)
    ]
    outbox = Outbox()
    done: Counter[int] = Counter()

    async def consumed() -> Mapping[int, int]:
        for number, waiting in outbox.outstanding.items():
            finished = min(step, len(waiting))
            del waiting[:finished]
            done[number] += finished
        return dict(done)

    pace = Pace(ahead_bytes=ahead_bytes, ahead_messages=ahead_messages, poll_s=0.0)
    made: Any = Replay(
        outbox,  # type: ignore[arg-type]
        starts=dict.fromkeys(NUMBERS, 0),
        consumed=consumed,
        pace=pace,
        on_progress=lambda count: None,
    )
    played = asyncio.run(made.events(enumerate(lines, start=1)))
    assert played.events == len(lines) == len(outbox.sent)
    largest = max(size for _, size in outbox.sent)
    for number in outbox.most_bytes:
        assert outbox.most_messages[number] <= ahead_messages
        assert outbox.most_bytes[number] <= max(ahead_bytes, largest)


async def test_log_without_events_still_ends_every_partition() -> None:
    played = await new_replay(Outbox(), dict.fromkeys(NUMBERS, 7)).events([])
    assert played.events == 0
    assert played.ends == dict.fromkeys(NUMBERS, 8)


class HandTime:
    """The clock and the sleep of a replay: only sleeping takes time."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox

    def monotonic(self) -> float:
        return self._outbox.now_s

    async def sleep(self, delay_s: float) -> None:
        self._outbox.now_s += delay_s


async def test_speed_is_seconds_of_event_time_per_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """At 10 seconds a second, events of 0, 30, 20 and 100 s go at 0, 3, 3 (it is late already) and 10 s."""
    outbox = Outbox()
    clock = HandTime(outbox)
    monkeypatch.setattr(replay.asyncio, "sleep", clock.sleep)
    monkeypatch.setattr(replay.time, "monotonic", clock.monotonic)
    replaying = new_replay(outbox, dict.fromkeys(NUMBERS, 0), speed=10.0)
    await replaying.events(enumerate([line(1, "u", 0), line(2, "u", 30), line(3, "v", 20), line(4, "u", 100)], start=1))
    assert outbox.at_s == pytest.approx([0.0, 3.0, 3.0, 10.0])
