"""Laws of `seren forget` and `seren redrive` beside a live worker in another process, on real servers of the embedded kind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis
from click.testing import CliRunner, Result
from confluent_kafka import Producer

from models.entities import Event, UserAttributes
from models.profiles import decode
from streams import codec, topics
from streams.cli.forget import forget
from streams.cli.redrive import redrive
from streams.embedded.broker import RunningBroker, start_broker
from streams.embedded.redis import RunningRedis
from streams.keys import profile_key, slate_key
from streams.state import decode_profile_state

TENANT = "shop"
START_MS = 20_000 * 86_400_000
OWNER = Path(__file__).with_name("pumped_owner.py")

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def broker() -> Iterator[RunningBroker]:
    names = (topics.EVENTS, topics.ATTRIBUTES, topics.REQUESTS, topics.LABELS)
    with start_broker(dict.fromkeys(names, 4) | {topics.DEAD_LETTERS: 1}) as running:
        yield running


@pytest.fixture
def house(broker: RunningBroker, redis_server: RunningRedis, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    monkeypatch.setenv("SEREN_KAFKA_BOOTSTRAP", broker.bootstrap)
    monkeypatch.setenv("SEREN_REDIS_URL", redis_server.url)
    monkeypatch.setenv("SEREN_REDIS_TENANT", TENANT)
    client = redis.Redis.from_url(redis_server.url)
    client.flushall()
    yield House(broker.bootstrap, redis_server.url, client)
    client.close()


class House:
    """The servers, as a shop's own programs see them."""

    def __init__(self, bootstrap: str, url: str, client: redis.Redis) -> None:
        self.bootstrap = bootstrap
        self.url = url
        self.client = client
        self.sent = 0

    @contextmanager
    def owner(self) -> Iterator[None]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("SEREN_")}
        environment["PYTHONPATH"] = str(Path(__file__).parents[3])
        with subprocess.Popen(
            [sys.executable, str(OWNER), self.bootstrap, self.url, TENANT], stdout=subprocess.PIPE, env=environment
        ) as process:
            try:
                assert process.stdout is not None
                assert process.stdout.readline() == b"owns\n"
                yield
            finally:
                process.kill()

    def put(self, topic: str, *records: tuple[str, bytes]) -> None:
        producer = Producer({"bootstrap.servers": self.bootstrap, "partitioner": "murmur2_random"})
        for key, value in records:
            producer.produce(topic, key=key.encode(), value=value)
        assert producer.flush(20) == 0

    def clicks(self, user: str, count: int) -> None:
        events = []
        for _ in range(count):
            self.sent += 1
            made = Event(event_id=f"e{self.sent}", user_id=user, type="click", ts_ms=START_MS + self.sent * 1000, item_id="i0")
            events.append((user, codec.encode(made)))
        self.put(topics.EVENTS, *events)

    def events_of(self, user: str) -> int:
        value: Any = self.client.get(profile_key(TENANT, user))
        return 0 if value is None or len(value) < 30 else decode(decode_profile_state(value).profile).events

    def until(self, user: str, events: int) -> None:
        """Waits for a profile; the test's own time limit ends it."""
        while self.events_of(user) != events:
            pass

    def traces_of(self, user: str) -> list[bytes]:
        found = list(self.client.scan_iter(match=f"*{user}*"))
        return found + [key for key in self.client.scan_iter(match="*:due") if self.client.zscore(key, user) is not None]


def run(command: Any, *arguments: str) -> Result:
    return CliRunner().invoke(command, list(arguments))


def test_user_whom_a_live_worker_holds_is_forgotten_and_begins_anew(house: House) -> None:
    with house.owner():
        house.put(topics.ATTRIBUTES, ("ann", codec.encode(UserAttributes(user_id="ann", attributes={"town": "Rome"}))))
        house.clicks("ann", 3)
        house.clicks("bob", 2)
        house.until("ann", 3)
        house.until("bob", 2)
        house.client.set(slate_key(TENANT, "ann", "home"), b"a slate")
        told = run(forget, "ann", "--yes", "--json")
        assert told.exit_code == 0, told.output
        assert json.loads(told.output)["is_forgotten"] is True
        assert json.loads(told.output)["values_deleted"] == 2
        assert house.traces_of("ann") == []
        assert house.events_of("bob") == 2
        house.clicks("ann", 1)
        house.until("ann", 1)
    state: Any = house.client.get(profile_key(TENANT, "ann"))
    assert decode(decode_profile_state(state).profile).attributes == {}


def test_forgetting_without_a_worker_is_told_and_done_by_the_next_one(house: House) -> None:
    with house.owner():
        house.clicks("ann", 3)
        house.until("ann", 3)
    house.clicks("ann", 2)
    told = run(forget, "ann", "--yes", "--wait", "0")
    assert told.exit_code == 1
    assert "no profile worker has come there" in told.stderr
    assert house.traces_of("ann") == []
    house.clicks("bob", 1)
    house.clicks("ann", 1)
    with house.owner():
        house.until("bob", 1)
        house.until("ann", 1)


def test_forget_asks_first_and_takes_no_for_an_answer(house: House) -> None:
    house.client.set(profile_key(TENANT, "ann"), b"something")
    asked = CliRunner().invoke(forget, ["ann"], input="n\n")
    assert asked.exit_code == 1
    assert "Forget user 'ann' of tenant 'shop'?" in asked.output
    assert house.client.exists(profile_key(TENANT, "ann"))


def test_forget_of_an_id_that_is_none_is_a_wrong_use(house: House) -> None:
    assert run(forget, "u" * 129, "--yes").exit_code == 2


def test_user_with_an_unreadable_profile_is_freed_and_the_buried_events_are_redriven_once(house: House) -> None:
    house.client.set(profile_key(TENANT, "ann"), b"garbage")
    with house.owner():
        house.clicks("ann", 20)
        house.clicks("bob", 1)
        house.until("bob", 1)
        while "UnreadableProfile" not in run(redrive, "--dry-run", "--json").output:
            pass
        house.client.delete(profile_key(TENANT, "ann"))
        while json.loads(run(redrive, "--json").output)["total"]["repeated"] < 20:
            pass
        house.until("ann", 20)
    with house.owner():
        assert json.loads(run(redrive, "--json").output)["total"]["sent"] == 0
        house.clicks("ann", 1)
        house.until("ann", 21)
