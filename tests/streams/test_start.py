"""Laws of a worker's start: it waits for a broker that is away, ends when it is asked to, and is loud when refused."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from models.errors import BrokerError, BrokerUnavailable
from streams import topics
from streams.connecting import start
from streams.demo.servers import free_port
from streams.embedded.broker import RunningBroker, start_broker
from streams.embedded.redis import RunningRedis, start_redis
from tests.test_worker_health import ask, until

ROOT = Path(__file__).parents[2]
WAIT_S = 60.0
# More hang-ups than a worker's clients take to try twice each: two clients of Faust's, the watch and the items, and each may
# ask again why.
MANY = 12

pytestmark = pytest.mark.timeout(180)


class Door:
    """A port before the broker that hangs up on whoever comes while it is closed.

    A worker needs it for its first connection; the embedded broker tells its own address to those that came in.
    """

    def __init__(self, bootstrap: str) -> None:
        self._host, port = bootstrap.split(":")
        self._broker_port = int(port)
        self.hung_up = 0
        self.let_in = 0
        self.is_open: Callable[[], bool] = lambda: False
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._listen()), daemon=True)
        self._thread.start()
        assert self._ready.wait(WAIT_S)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._closed.set)
        self._thread.join()

    async def _listen(self) -> None:
        self._loop, self._closed = asyncio.get_running_loop(), asyncio.Event()
        async with await asyncio.start_server(self._come, self._host, 0) as server:
            self.bootstrap = f"{self._host}:{server.sockets[0].getsockname()[1]}"
            self._ready.set()
            await self._closed.wait()

    async def _come(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self.is_open():
            self.hung_up += 1
            writer.close()
            return
        self.let_in += 1
        there, out = await asyncio.open_connection(self._host, self._broker_port)
        ways = [asyncio.ensure_future(pump(reader, out)), asyncio.ensure_future(pump(there, writer))]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            for end in (out, writer):
                end.close()
            await asyncio.gather(*ways, out.wait_closed(), writer.wait_closed(), return_exceptions=True)


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while chunk := await reader.read(65_536):
        writer.write(chunk)
        await writer.drain()


@pytest.fixture(scope="module")
def broker() -> Iterator[RunningBroker]:
    with start_broker({name: 2 for name in topics.TOPICS}) as running:
        yield running


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRedis]:
    with start_redis(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture
def door(broker: RunningBroker) -> Iterator[Door]:
    made = Door(broker.bootstrap)
    yield made
    made.close()


@contextmanager
def worker(
    kind: str, door: Door, redis: RunningRedis, folder: Path, *how: str, watched: bool = True
) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A worker's process and the address of its health."""
    port = free_port()
    settings = {
        "SEREN_KAFKA_BOOTSTRAP": door.bootstrap,
        "SEREN_KAFKA_MANAGE_TOPICS": "false",
        "SEREN_KAFKA_SESSION_TIMEOUT_S": "3",
        "SEREN_KAFKA_HEARTBEAT_S": "0.5",
        "SEREN_REDIS_URL": redis.url,
        "SEREN_REDIS_TENANT": kind,
    } | ({"SEREN_METRICS_PORT": str(port)} if watched else {})
    command = [sys.executable, str(ROOT / "tests" / "streams" / "start_walk.py"), kind, *how]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stderr=log, env=os.environ | {"PYTHONPATH": str(ROOT)} | settings)
        try:
            yield process, f"http://127.0.0.1:{port}"
        finally:
            process.kill()
            process.wait()


def wait_until(reached: Callable[[], bool], process: subprocess.Popen[bytes], folder: Path) -> None:
    deadline = time.monotonic() + WAIT_S
    while not reached():
        assert process.poll() is None, (folder / "log").read_text()
        assert time.monotonic() < deadline, (folder / "log").read_text()
        time.sleep(0.1)


@pytest.mark.parametrize("kind", ["profiles", "judging", "profiling"])
def test_worker_whose_broker_is_away_at_its_start_waits_unready_and_live_and_works_when_it_comes(
    kind: str, door: Door, redis: RunningRedis, tmp_path: Path
) -> None:
    with worker(kind, door, redis, tmp_path) as (process, url):
        wait_until(lambda: door.hung_up >= MANY // 2, process, tmp_path)
        _, said = until(f"{url}/readyz", lambda code, said: code == 503 and "kafka" in said["away_s"])
        assert "partitions: no assignment yet" in said["reasons"]
        assert ask(f"{url}/livez")[0] == 200  # a restart would not bring the broker back
        door.is_open = lambda: True
        _, said = until(f"{url}/readyz", lambda code, _: code == 200)
        assert said["state"] == f"{kind}: owns 2 of 2 assigned partitions"
        process.send_signal(signal.SIGTERM)
        assert process.wait(WAIT_S) == 0


def test_worker_whose_broker_goes_away_between_its_clients_starts_waits_too(
    door: Door, redis: RunningRedis, tmp_path: Path
) -> None:
    """The producer is in, the consumer is not; the items are followed only after both."""
    door.is_open = lambda: door.let_in < 1 or door.hung_up >= MANY
    with worker("profiles", door, redis, tmp_path, watched=False) as (process, _):
        wait_until(lambda: door.let_in >= 3, process, tmp_path)
        assert door.hung_up >= MANY


def test_worker_that_waits_for_its_broker_ends_when_it_is_asked_to(door: Door, redis: RunningRedis, tmp_path: Path) -> None:
    with worker("profiles", door, redis, tmp_path) as (process, _):
        wait_until(lambda: door.hung_up >= MANY // 2, process, tmp_path)
        process.send_signal(signal.SIGTERM)
        assert process.wait(WAIT_S) == 0, (tmp_path / "log").read_text()
        assert door.let_in == 0


def test_worker_whose_consumer_alone_waits_ends_when_it_is_asked_to(door: Door, redis: RunningRedis, tmp_path: Path) -> None:
    door.is_open = lambda: door.let_in < 1
    with worker("profiles", door, redis, tmp_path, watched=False) as (process, _):
        wait_until(lambda: door.hung_up >= MANY // 2, process, tmp_path)
        process.send_signal(signal.SIGTERM)
        assert process.wait(WAIT_S) == 0, (tmp_path / "log").read_text()


def test_worker_that_the_broker_refuses_ends_at_once_and_says_why(door: Door, redis: RunningRedis, tmp_path: Path) -> None:
    """The embedded broker knows no way to tell who somebody is."""
    door.is_open = lambda: True
    with worker("profiles", door, redis, tmp_path, "with credentials") as (process, _):
        assert process.wait(WAIT_S) == 1
        said = (tmp_path / "log").read_text()
        assert "BrokerError" in said
        assert "trying again" not in said


async def test_start_of_a_client_without_a_broker_can_be_tried_again_with_the_same_client(
    broker: RunningBroker, door: Door
) -> None:
    for client in (
        AIOKafkaProducer(bootstrap_servers=door.bootstrap),
        AIOKafkaConsumer(bootstrap_servers=door.bootstrap, group_id="g"),
    ):
        door.is_open = lambda: False
        with pytest.raises(BrokerUnavailable, match=door.bootstrap):
            await start(client)
        door.is_open = lambda: True
        await start(client)
        await client.stop()


@pytest.mark.parametrize("kind", [AIOKafkaProducer, AIOKafkaConsumer])
async def test_start_of_a_client_that_the_broker_refuses_is_no_outage(
    kind: type[AIOKafkaProducer | AIOKafkaConsumer], broker: RunningBroker
) -> None:
    client = kind(
        bootstrap_servers=broker.bootstrap,
        security_protocol="SASL_PLAINTEXT",
        sasl_mechanism="PLAIN",
        sasl_plain_username="u",
        sasl_plain_password="p",
    )
    with pytest.raises(BrokerError, match=broker.bootstrap) as caught:
        await start(client)
    await client.stop()
    assert not caught.value.retriable


def test_worker_joins_its_group_as_configured_and_lets_go_within_a_fifth_of_the_poll_interval() -> None:
    show = (
        "import json, os; from streams.agents.limits import ProfilesLimits; from streams.config import load_settings\n"
        "from tests.streams.start_walk import KINDS\n"
        "confs = [made(load_settings(None, os.environ)).conf for made in KINDS.values()]\n"
        "print(json.dumps([[c.consumer_group_instance_id, c.broker_session_timeout, c.broker_max_poll_interval,"
        " ProfilesLimits().release_s] for c in confs]))"
    )
    configured = os.environ | {"SEREN_KAFKA_INSTANCE_ID": "seren-7", "SEREN_KAFKA_SESSION_TIMEOUT_S": "45"}
    done = subprocess.run([sys.executable, "-c", show], cwd=ROOT, env=configured, capture_output=True, text=True, check=True)
    workers = json.loads(done.stdout.splitlines()[-1])
    assert len(workers) == 3
    for instance, session_s, poll_s, release_s in workers:
        assert (instance, session_s) == ("seren-7", 45.0)
        assert 0 < release_s <= 0.2 * poll_s
