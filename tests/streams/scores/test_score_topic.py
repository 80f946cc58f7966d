"""Laws of the score log's topic, on the embedded broker: what a starting worker reads, and when a worker writes."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import pytest
import redis.asyncio
from aiokafka import AIOKafkaProducer
from prometheus_client.core import Metric

from models.entities import Digest
from models.errors import BrokerUnavailable
from models.serengpt.address import Asked, cue_of
from streams import topics
from streams.embedded.broker import RunningBroker, start_broker
from streams.production import Outgoing, producer_of
from streams.scores.log import ScoreLog
from streams.scores.metrics import ScoresCollector
from streams.scores.record import Imagined, encode_record, imagined
from streams.scores.topic import TopicRead, read_topic
from streams.scores.writer import ScoreWriter
from tests.streams.agents.one_judging_worker import House, chunk, request, serving, until

PLENTY = 1 << 24


@pytest.fixture
def broker() -> Iterator[RunningBroker]:
    with start_broker({topics.SCORES: 2}) as running:
        yield running


def dream(seed: int) -> Imagined:
    return imagined(Asked("m", 1), "d", cue_of(Digest()), n=1, seed=seed, titles=(f"title {seed}",))


async def test_worker_that_starts_knows_what_another_one_was_answered(broker: RunningBroker) -> None:
    first = ScoreLog(cache_bytes=PLENTY, pending_bytes=PLENTY)
    for seed in range(300):
        first.add(dream(seed))
    async with AIOKafkaProducer(bootstrap_servers=broker.bootstrap) as producer:
        await ScoreWriter(first, producer_of(lambda: producer), record_s=10.0, clock=time).write()
    assert first.counts["sent"] == 300
    log = ScoreLog(cache_bytes=PLENTY)
    assert await read_topic(broker.bootstrap, log, records=1_000, seconds=10.0, clock=time) == TopicRead(300, 0, True)
    assert [log.imagined(dream(seed).address) for seed in range(300)] == [(f"title {seed}",) for seed in range(300)]


async def test_records_that_lie_are_refused_and_counted_and_the_others_believed(broker: RunningBroker) -> None:
    value = encode_record(dream(1))
    lies: list[tuple[bytes, bytes]] = [
        (dream(2).address.encode(), value),
        (dream(1).address.encode(), value.replace(b'"seed":1', b'"seed":2')),
        (b"", b"\xff\x00"),
        (dream(1).address.encode(), b"{}"),
    ]
    async with AIOKafkaProducer(bootstrap_servers=broker.bootstrap) as producer:
        for key, told in [*lies, (dream(1).address.encode(), value)]:
            await producer.send_and_wait(topics.SCORES, told, key=key, partition=0)
        await producer.send_and_wait(topics.SCORES, None, key=dream(1).address.encode(), partition=0)
    log = ScoreLog(cache_bytes=PLENTY)
    assert await read_topic(broker.bootstrap, log, records=100, seconds=10.0, clock=time) == TopicRead(1, 4, True)
    assert (log.counts["refused"], log.record_count) == (4, 1)


async def test_only_the_newest_records_are_read_and_for_a_bounded_time(broker: RunningBroker) -> None:
    async with AIOKafkaProducer(bootstrap_servers=broker.bootstrap) as producer:
        for seed in range(40):
            key = dream(seed).address.encode()
            await producer.send_and_wait(topics.SCORES, encode_record(dream(seed)), key=key, partition=seed % 2)
    log = ScoreLog(cache_bytes=PLENTY)
    assert await read_topic(broker.bootstrap, log, records=10, seconds=10.0, clock=time) == TopicRead(10, 0, True)
    assert [seed for seed in range(40) if log.imagined(dream(seed).address)] == list(range(30, 40))
    late = ScoreLog(cache_bytes=PLENTY)
    assert await read_topic(broker.bootstrap, late, records=10, seconds=0.0, clock=time) == TopicRead(0, 0, False)


async def test_topic_that_nobody_can_reach_is_an_error_that_may_be_passed_over() -> None:
    with pytest.raises(BrokerUnavailable, match="seren-scores cannot be read"):
        await read_topic("127.0.0.1:1", ScoreLog(cache_bytes=1), records=10, seconds=1.0, clock=time)


async def test_answers_are_written_down_behind_the_slates_and_before_the_commit(redis_client: redis.asyncio.Redis) -> None:
    house = House(redis_client)
    worker = await house.worker(0)
    order: list[tuple[int | None, int]] = []  # the slate's offset, and the commits so far, when answers were written down

    async def record() -> None:
        order.append((await house.offset_of("u"), len(house.commits)))

    worker.record = record
    async with serving(worker):
        await worker.take(chunk(request("u", 5)))
        await until(lambda: bool(house.commits))
    assert order == [(5, 0)]


async def test_worker_whose_answers_cannot_be_written_down_serves_all_the_same(redis_client: redis.asyncio.Redis) -> None:
    async def produce(_topic: str, _records: Sequence[Outgoing]) -> None:
        raise BrokerUnavailable("away")

    house, log = House(redis_client), ScoreLog(cache_bytes=PLENTY, pending_bytes=PLENTY)
    worker = await house.worker(0)
    worker.record = ScoreWriter(log, produce, record_s=1.0, clock=time).write
    log.add(dream(1))
    async with serving(worker):
        await worker.take(chunk(request("u", 5)))
        await until(lambda: bool(house.commits))
    assert await house.offset_of("u") == 5
    assert log.counts["unsent"] == 1


def test_metrics_show_hits_misses_bytes_and_entries() -> None:
    log = ScoreLog(cache_bytes=PLENTY)
    log.read(encode_record(dream(1)))
    log.read(b"garbage")
    log.count("score_hits", 7)
    families: list[Metric] = list(ScoresCollector(log).collect())
    found = {(one.name, *one.labels.values()): one.value for family in families for one in family.samples}
    assert found[("seren_score_log_answers_total", "score", "hit")] == 7
    assert found[("seren_score_log_answers_total", "imagine", "miss")] == 0
    assert found[("seren_score_log_records_total", "refused")] == 1
    assert found[("seren_score_log_entries",)] == 1
    assert found[("seren_score_log_bytes",)] == log.entry_bytes
