"""The program inside the embedded broker's process: librdkafka's mock cluster, driven through ctypes, behind a gate.

Started as

    python -S -m streams.embedded.mock_cluster LIBRDKAFKA TOPICS-AS-JSON

It writes one line, `host:port`, when it listens, and ends when its standard input ends: so it outlives its caller by no
moment, whatever ends the caller. Standard library only. Knows nothing about seren.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import sys
from typing import NoReturn

from streams.embedded.gate import Gate

RD_KAFKA_PRODUCER = 0  # any client carries a mock cluster; a producer has the fewest threads
BROKER_COUNT = 1
BROKER_ID = 1
REBALANCE_DELAY_MS = 100  # librdkafka waits 3 s for a new group's further members; on one machine they come at once
_ERROR_BYTES = 512


async def serve(library_path: str, partitions_by_topic: dict[str, int]) -> None:
    """Serve the topics on a loopback port until standard input ends."""
    library = _load(library_path)
    cluster = library.rd_kafka_mock_cluster_new(_new_client(library), BROKER_COUNT)
    if not cluster:
        _fail("rd_kafka_mock_cluster_new gave no cluster")
    library.rd_kafka_mock_group_initial_rebalance_delay_ms(cluster, REBALANCE_DELAY_MS)
    for topic, partitions in partitions_by_topic.items():
        code = library.rd_kafka_mock_topic_create(cluster, topic.encode(), partitions, BROKER_COUNT)
        if code != 0:
            reason = library.rd_kafka_err2str(code).decode()
            _fail(f"topic {topic!r} with {partitions} partitions: {reason}")
    host, broker_port = library.rd_kafka_mock_cluster_bootstraps(cluster).decode().split(":")
    port = await Gate(host, int(broker_port)).open()
    library.rd_kafka_mock_broker_set_host_port(cluster, BROKER_ID, host.encode(), port)
    sys.stdout.write(f"{host}:{port}\n")
    sys.stdout.flush()
    await _standard_input_ends()
    # No destroy calls: they join librdkafka's threads one by one (up to seconds), and the process ends here anyway.


def _load(path: str) -> ctypes.CDLL:
    library = ctypes.CDLL(path)
    pointer, text, number, number32 = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_int32
    signatures = {
        "rd_kafka_conf_new": (pointer, []),
        "rd_kafka_conf_set": (number, [pointer, text, text, text, ctypes.c_size_t]),
        "rd_kafka_new": (pointer, [number, pointer, text, ctypes.c_size_t]),
        "rd_kafka_err2str": (text, [number]),
        "rd_kafka_mock_cluster_new": (pointer, [pointer, number]),
        "rd_kafka_mock_cluster_bootstraps": (text, [pointer]),
        "rd_kafka_mock_topic_create": (number, [pointer, text, number, number]),
        "rd_kafka_mock_group_initial_rebalance_delay_ms": (None, [pointer, number32]),
        "rd_kafka_mock_broker_set_host_port": (None, [pointer, number32, text, number]),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(library, name)
        function.restype = result
        function.argtypes = arguments
    return library


def _new_client(library: ctypes.CDLL) -> int:
    error = ctypes.create_string_buffer(_ERROR_BYTES)
    conf = library.rd_kafka_conf_new()
    for name, value in {"client.id": "seren-embedded-broker", "log_level": "4"}.items():
        if library.rd_kafka_conf_set(conf, name.encode(), value.encode(), error, _ERROR_BYTES) != 0:
            _fail(error.value.decode())
    client: int | None = library.rd_kafka_new(RD_KAFKA_PRODUCER, conf, error, _ERROR_BYTES)
    if client is None:
        _fail(error.value.decode())
    return client


async def _standard_input_ends() -> None:
    ended = asyncio.Event()

    def read() -> None:
        if not os.read(sys.stdin.fileno(), 4096):
            asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
            ended.set()

    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), read)
    await ended.wait()


def _fail(message: str) -> NoReturn:
    sys.exit(f"mock cluster: {message}")


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], json.loads(sys.argv[2])))
