"""Laws of redriving, on the embedded broker and a real Redis: back to the same place, once, whatever is interrupted."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import redis.asyncio
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from click.testing import CliRunner

from models.errors import BrokerUnavailable
from streams import topics
from streams.cli.redrive import redrive as command
from streams.deadletters.letter import FORGOTTEN, DeadLetter, pack
from streams.deadletters.redrive import Choice, Redriven, redrive
from streams.embedded.broker import RunningBroker, start_broker
from streams.embedded.redis import RunningRedis
from streams.state import PartitionStore

PARENT = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

Found = tuple[int, bytes | None, bytes | None, dict[str, bytes]]  # partition, key, value, headers


@pytest.fixture
def broker() -> Iterator[RunningBroker]:
    names = (topics.EVENTS, topics.ATTRIBUTES, topics.REQUESTS)
    with start_broker(dict.fromkeys(names, 4) | {topics.DEAD_LETTERS: 1}) as running:
        yield running


def dead(offset: int, key: bytes = b"u", value: bytes | None = b"{}", **fields: Any) -> DeadLetter:
    made = DeadLetter(topics.EVENTS, 2, offset, "DecodeError", "torn", key, value)
    return made._replace(**fields)


async def bury(broker: RunningBroker, *letters: DeadLetter) -> None:
    async with AIOKafkaProducer(bootstrap_servers=broker.bootstrap) as producer:
        for place, letter in enumerate(letters):
            key, value, headers = pack(letter)
            await producer.send_and_wait(topics.DEAD_LETTERS, value, key=key, headers=headers, timestamp_ms=1_000 + place)


async def found(broker: RunningBroker, topic: str = topics.EVENTS) -> list[Found]:
    async with AIOKafkaConsumer(bootstrap_servers=broker.bootstrap, auto_offset_reset="earliest") as consumer:
        tps = [TopicPartition(topic, number) for number in range(4)]
        consumer.assign(tps)
        await consumer.seek_to_beginning()
        ends = await consumer.end_offsets(tps)
        got: list[Any] = []
        while any([await consumer.position(tp) < end for tp, end in ends.items()]):
            for records in (await consumer.getmany(timeout_ms=200)).values():
                got += [(one.partition, one.key, one.value, dict(one.headers)) for one in records]
        return got


def store(client: redis.asyncio.Redis) -> PartitionStore:
    return PartitionStore(client, tenant="t")


async def run(broker: RunningBroker, client: redis.asyncio.Redis, **choice: Any) -> Redriven:
    return await redrive(broker.bootstrap, Choice(**choice), partitions=store(client))


async def test_record_goes_back_to_its_partition_with_its_key_and_value_and_once(
    broker: RunningBroker, redis_client: redis.asyncio.Redis
) -> None:
    await bury(broker, dead(7, value=b'{"torn', context=PARENT), dead(3, b"v", topic=topics.REQUESTS, partition=1, attempt=2))
    first = await run(broker, redis_client)
    assert (first.read, first.count("sent")) == (2, 2)
    headers = {"seren-redriven": b"behaviour-events/2/7", "seren-attempt": b"2", "traceparent": PARENT}
    assert await found(broker) == [(2, b"u", b'{"torn', headers)]
    [(partition, key, _, headers)] = await found(broker, topics.REQUESTS)
    assert (partition, key, headers["seren-attempt"]) == (1, b"v", b"3")
    second = await run(broker, redis_client)
    assert (second.count("sent"), second.count("repeated")) == (0, 2)
    assert len(await found(broker)) == 1


class DiesBeforeTheNote(PartitionStore):
    async def note_sent(self, partition: int, origins: Sequence[str]) -> None:
        raise KeyboardInterrupt


async def test_run_that_died_after_sending_is_made_good_by_the_next_under_the_same_origin(
    broker: RunningBroker, redis_client: redis.asyncio.Redis
) -> None:
    """The records are there twice; that the second one counts for nothing is the owner's law (test_marked_records)."""
    await bury(broker, dead(7), dead(8))
    with pytest.raises(KeyboardInterrupt):
        await redrive(broker.bootstrap, Choice(), partitions=DiesBeforeTheNote(redis_client, tenant="t"))
    assert (await run(broker, redis_client)).count("sent") == 2
    assert (await run(broker, redis_client)).count("repeated") == 2
    origins = [headers["seren-redriven"] for *_, headers in await found(broker)]
    assert origins.count(b"behaviour-events/2/7") == 2
    assert set(origins) == {b"behaviour-events/2/7", b"behaviour-events/2/8"}


async def test_what_the_owner_has_seen_is_not_sent_again_though_nobody_noted_the_sending(
    broker: RunningBroker, redis_client: redis.asyncio.Redis
) -> None:
    await bury(broker, dead(7))
    await store(redis_client).write_redriven(2, {"behaviour-events/2/7": 19})
    assert (await run(broker, redis_client)).count("repeated") == 1
    assert await found(broker) == []


async def test_letter_that_is_there_twice_is_sent_once(broker: RunningBroker, redis_client: redis.asyncio.Redis) -> None:
    await bury(broker, dead(7), dead(7))
    assert (await run(broker, redis_client)).count("sent") == 1
    assert len(await found(broker)) == 1


async def test_choice_by_class_user_time_and_limit(broker: RunningBroker, redis_client: redis.asyncio.Redis) -> None:
    await bury(broker, dead(0), dead(1, b"v"), dead(2, error="KeyError"), dead(3), dead(4))

    async def offsets(**choice: Any) -> list[int]:
        await redis_client.flushall()
        before = len(await found(broker))
        await run(broker, redis_client, **choice)
        return [int(headers["seren-redriven"].split(b"/")[-1]) for *_, headers in (await found(broker))[before:]]

    assert await offsets(error="KeyError") == [2]
    assert await offsets(user_id="v") == [1]
    assert await offsets(since_ms=1_001, until_ms=1_003) == [1, 2]
    assert await offsets(limit=2) == [0, 1]
    await run(broker, redis_client, limit=2)
    assert (await run(broker, redis_client)).count("sent") == 1, "each run goes on where the one before it ended"


async def test_what_cannot_be_sent_back_is_told_and_left(broker: RunningBroker, redis_client: redis.asyncio.Redis) -> None:
    await bury(
        broker,
        dead(0, value=b"v" * 300_000),
        dead(1, attempt=3),
        dead(2, topic="replay"),
        dead(3, partition=9),
        dead(4, topic=topics.DEAD_LETTERS),
        dead(5, key=b"", value=None),
    )
    done = await run(broker, redis_client)
    assert {fate: done.count(fate) for fate in ("cut", "exhausted", "unusable", "sent")} == {  # type: ignore[arg-type]
        "cut": 1,
        "exhausted": 1,
        "unusable": 4,
        "sent": 0,
    }
    assert await found(broker) == []
    assert (await run(broker, redis_client, max_attempts=4)).count("sent") == 1


async def test_letters_of_a_user_from_before_the_forgetting_are_left(
    broker: RunningBroker, redis_client: redis.asyncio.Redis
) -> None:
    await bury(broker, dead(0), dead(1, b"v"), dead(2, error=FORGOTTEN, value=None), dead(3))
    done = await run(broker, redis_client)
    assert (done.count("forgotten"), done.count("sent")) == (1, 2)
    assert sorted(headers["seren-redriven"][-1:] for *_, headers in await found(broker)) == [b"1", b"3"]
    assert (await run(broker, redis_client, is_forgotten_wanted=True)).count("sent") == 1


async def test_dry_run_tells_the_same_and_sends_and_notes_nothing(
    broker: RunningBroker, redis_client: redis.asyncio.Redis
) -> None:
    await bury(broker, dead(0), dead(1, attempt=3))
    done = await redrive(broker.bootstrap, Choice(), partitions=store(redis_client), dry_run=True)
    assert (done.count("sent"), done.count("exhausted")) == (1, 1)
    assert await found(broker) == []
    assert await redis_client.keys() == []


async def test_null_record_goes_back_as_null(broker: RunningBroker, redis_client: redis.asyncio.Redis) -> None:
    await bury(broker, dead(0, value=None, topic=topics.ATTRIBUTES))
    await run(broker, redis_client)
    assert [(key, value) for _, key, value, _ in await found(broker, topics.ATTRIBUTES)] == [(b"u", None)]


@pytest.mark.parametrize("topic", [topics.PROFILING, topics.PROFILE_TAGS])
async def test_question_or_answer_of_a_language_model_goes_back_where_its_topic_is(
    redis_client: redis.asyncio.Redis, topic: str
) -> None:
    names = (topics.EVENTS, topics.ATTRIBUTES, topics.REQUESTS)
    with start_broker(dict.fromkeys((*names, topic), 4) | {topics.DEAD_LETTERS: 1}) as broker:
        await bury(broker, dead(5, topic=topic))
        assert (await run(broker, redis_client)).count("sent") == 1
        assert [(partition, key) for partition, key, _, _ in await found(broker, topic)] == [(2, b"u")]


async def test_broker_that_is_away_is_said_so(broker: RunningBroker, redis_client: redis.asyncio.Redis) -> None:
    broker.stop()
    with pytest.raises(BrokerUnavailable, match=broker.bootstrap):
        await run(broker, redis_client)


def test_command_shows_what_it_did_by_class(
    broker: RunningBroker, redis_server: RunningRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def prepare() -> None:
        client = redis.asyncio.Redis.from_url(redis_server.url)
        await client.flushall()
        await client.aclose()
        await bury(broker, dead(0), dead(1, error="KeyError"), dead(2, attempt=3))

    asyncio.run(prepare())
    monkeypatch.setenv("SEREN_KAFKA_BOOTSTRAP", broker.bootstrap)
    monkeypatch.setenv("SEREN_REDIS_URL", redis_server.url)
    dry = CliRunner().invoke(command, ["--dry-run", "--class", "KeyError"])
    assert (dry.exit_code, "KeyError" in dry.output, "would redrive" in dry.output) == (0, True, True)
    told = CliRunner().invoke(command, ["--json"])
    assert told.exit_code == 1, told.output
    described = json.loads(told.output)
    assert described["by_class"]["DecodeError"] == {
        "sent": 1,
        "repeated": 0,
        "cut": 0,
        "exhausted": 1,
        "forgotten": 0,
        "unusable": 0,
    }
    assert (described["total"]["sent"], described["dry_run"]) == (2, False)
    assert CliRunner().invoke(command, ["--until", "yesterday"]).exit_code == 2
