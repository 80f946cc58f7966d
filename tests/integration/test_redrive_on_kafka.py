"""Redriving and forgetting on a real Kafka and a real Redis, beside a worker that is killed in between."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis
import redis.asyncio
from click.testing import CliRunner
from confluent_kafka import Producer

from models.entities import Event
from models.profiles import decode
from streams import codec, topics
from streams.admin import create_topics
from streams.cli.forget import forget
from streams.cli.redrive import redrive as command
from streams.deadletters.redrive import Choice, redrive
from streams.keys import profile_key
from streams.state import PartitionStore, decode_profile_state

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]
ROOT = Path(__file__).parents[2]
OWNER = ROOT / "tests" / "streams" / "forgetting" / "pumped_owner.py"
START_MS = 20_000 * 86_400_000
BURIED = 40  # more than the 16 events of which a profile remembers the ids


class Died(Exception):
    """A run of redrive, between sending and noting."""


class DiesBeforeTheNote(PartitionStore):
    async def note_sent(self, partition: int, origins: Sequence[str]) -> None:
        raise Died


@contextmanager
def owner(bootstrap: str, url: str, tenant: str) -> Iterator[None]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SEREN_")}
    arguments = [sys.executable, str(OWNER), bootstrap, url, tenant]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, env=environment | {"PYTHONPATH": str(ROOT)}) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"owns\n"
            yield
        finally:
            process.kill()


def events_of(client: redis.Redis, tenant: str, user: str) -> int:
    value = client.get(profile_key(tenant, user))
    return decode(decode_profile_state(value).profile).events if isinstance(value, bytes) and len(value) > 30 else 0


def click(bootstrap: str, user: str, first: int, count: int) -> None:
    producer = Producer({"bootstrap.servers": bootstrap, "partitioner": "murmur2_random"})
    for number in range(first, first + count):
        made = Event(event_id=f"e{number}", user_id=user, type="click", ts_ms=START_MS + number * 1000, item_id="i0")
        producer.produce(topics.EVENTS, key=user.encode(), value=codec.encode(made))
    assert producer.flush(20) == 0


def wait(reached: Callable[[], bool]) -> None:
    while not reached():  # the test's own time limit ends it
        time.sleep(0.1)


async def die_in_redrive(bootstrap: str, url: str, tenant: str, user: str) -> None:
    client = redis.asyncio.Redis.from_url(url)
    try:
        with pytest.raises(Died):
            await redrive(bootstrap, Choice(user_id=user), partitions=DiesBeforeTheNote(client, tenant=tenant))
    finally:
        await client.aclose()


def test_buried_events_are_applied_once_though_redrive_and_the_owner_die_and_then_the_user_is_forgotten(
    kafka_bootstrap: str, redis_url: str, unique: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant, ann = unique("tenant"), unique("ann")
    asyncio.run(create_topics(kafka_bootstrap))
    monkeypatch.setenv("SEREN_KAFKA_BOOTSTRAP", kafka_bootstrap)
    monkeypatch.setenv("SEREN_REDIS_URL", redis_url)
    monkeypatch.setenv("SEREN_REDIS_TENANT", tenant)
    client = redis.Redis.from_url(redis_url)

    def told(*arguments: str) -> dict[str, int]:
        total: dict[str, int] = json.loads(CliRunner().invoke(command, ["--json", "--user", ann, *arguments]).output)["total"]
        return total

    client.set(profile_key(tenant, ann), b"garbage")
    with owner(kafka_bootstrap, redis_url, tenant):
        click(kafka_bootstrap, ann, 0, BURIED)
        wait(lambda: told("--dry-run")["sent"] == BURIED)
        client.delete(profile_key(tenant, ann))
        asyncio.run(die_in_redrive(kafka_bootstrap, redis_url, tenant, ann))
    with owner(kafka_bootstrap, redis_url, tenant):
        wait(lambda: told()["repeated"] == BURIED)
        click(kafka_bootstrap, ann, BURIED, 1)
        wait(lambda: events_of(client, tenant, ann) >= BURIED + 1)
        assert events_of(client, tenant, ann) == BURIED + 1
        forgotten = CliRunner().invoke(forget, [ann, "--yes", "--json"])
        assert (forgotten.exit_code, json.loads(forgotten.output)["is_forgotten"]) == (0, True)
        assert list(client.scan_iter(match=f"*{ann}*")) == []
        assert told("--dry-run")["forgotten"] == BURIED
        click(kafka_bootstrap, ann, BURIED + 1, 1)
        wait(lambda: events_of(client, tenant, ann) == 1)
    client.close()
