"""A broker that speaks Kafka's protocol on loopback, without an install: librdkafka's mock cluster.

It comes inside the confluent-kafka wheel, and it serves aiokafka and Faust: produce, fetch, consumer groups with
rebalances (through a gate of our own, which mends how the mock synchronises a group), committed offsets.

It has a process of its own: the mock is test code of librdkafka, full of asserts, and one that fails must end a broker,
not the worker beside it; the worker's memory and interpreter lock stay the worker's, too. The price is 35 MB and a fifth
of a second.

Limits, all silent, so know them:

* Memory only. Nothing outlives `stop`.
* A partition keeps 5 MiB and 100,000 messages; then the oldest go. Pace a producer by its consumers' progress.
* No compaction, no retention by time, one replica.
* A topic that nobody created appears with 4 partitions when a client asks for it, so a misspelt name is no error.
* No topic administration: Faust needs `topic_allow_declare=False, topic_disable_leader=True`; topics are made here.
* A group whose members change waits its session timeout less one second before it goes on, and longer where a member
  was killed. With aiokafka's default that is 9 s, with Faust's 59 s: give both 2 to 3 s and a heartbeat of 0.5 s.
* Offsets are looked up by "earliest" and "latest" only, not by time.

Good for a demo and a quick test; no stand-in for Kafka where durability, compaction or a restart is the question.
Knows nothing about the meaning of topics.
"""

from __future__ import annotations

import ctypes.util
import importlib.util
import json
import os
import select
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING

from models.errors import BrokerError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

START_TIMEOUT_S = 20.0  # 0.1 s usual; a loaded machine that reads 12 MB of shared object from a cold disk is slow
STOP_TIMEOUT_S = 5.0  # ends at once when its standard input closes; after that it is killed
MAX_PARTITIONS = 1024  # librdkafka allots each partition's log when the topic is made
PROGRAM = "streams.embedded.mock_cluster"
_ROOT = Path(__file__).parents[2]  # of the packages: the program needs no site-packages, but it needs this one


@dataclass(frozen=True)
class RunningBroker:
    """A broker that listens at `bootstrap` ("host:port"); use it as a context manager, or call `stop`."""

    bootstrap: str
    pid: int
    _process: subprocess.Popen[bytes] = field(repr=False)

    def stop(self) -> None:
        """End the broker and forget everything in it; a second call does nothing."""
        _stop(self._process)

    def __enter__(self) -> RunningBroker:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()


def start_broker(topics: Mapping[str, int]) -> RunningBroker:
    """Start a broker that has these topics and is ready to serve.

    It ends when the calling process ends, however that happens. Ctrl-C in a terminal does not reach it.

    Args:
        topics: partition count by topic name, 1 to 1024 each.

    Raises:
        BrokerError: a partition count out of bounds, no librdkafka, or the broker did not start; the message says why.

    Example:
        >>> with start_broker({"behaviour-events": 4}) as broker:
        ...     broker.bootstrap.split(":")[0]
        '127.0.0.1'
    """
    for topic, partitions in topics.items():
        if not topic or not 1 <= partitions <= MAX_PARTITIONS:
            message = f"topics[{topic!r}] = {partitions}: a topic has a name and 1 to {MAX_PARTITIONS} partitions"
            raise BrokerError(message)
    command = [sys.executable, "-S", "-m", PROGRAM, find_librdkafka(), json.dumps(dict(topics))]
    with tempfile.TemporaryFile() as complaints:
        process = subprocess.Popen(  # noqa: S603 - our own program and arguments, no shell
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=complaints,
            env=os.environ | {"PYTHONPATH": str(_ROOT)},
            start_new_session=True,  # a terminal's Ctrl-C goes to the caller alone
        )
        try:
            bootstrap = _bootstrap(process, complaints=complaints)
        except BaseException:
            _stop(process)
            raise
    return RunningBroker(bootstrap=bootstrap, pid=process.pid, _process=process)


def find_librdkafka() -> str:
    """Path of the librdkafka to load: the confluent-kafka wheel's own, else the system's.

    Raises:
        BrokerError: there is neither.
    """
    # Looked up without an import, which would load librdkafka into this process as well.
    spec = importlib.util.find_spec("confluent_kafka")
    if spec is not None and spec.origin is not None:
        package = Path(spec.origin).parent
        for folder in (package.with_name("confluent_kafka.libs"), package / ".dylibs"):
            for found in sorted(folder.glob("librdkafka*")):
                return str(found)
    on_system = ctypes.util.find_library("rdkafka")
    if on_system is not None:
        return on_system
    message = "no librdkafka: install the confluent-kafka wheel, which carries it"
    raise BrokerError(message)


def _bootstrap(process: subprocess.Popen[bytes], *, complaints: IO[bytes]) -> str:
    assert process.stdout is not None
    readable, _, _ = select.select([process.stdout], [], [], START_TIMEOUT_S)
    if not readable:
        message = f"the embedded broker did not start within {START_TIMEOUT_S:g} s"
        raise BrokerError(message)
    line = os.read(process.stdout.fileno(), 4096).decode().strip()
    if not line:
        status = process.wait()
        complaints.seek(0)
        said = complaints.read().decode(errors="replace").strip() or "(it said nothing)"
        message = f"the embedded broker ended with status {status}: {said}"
        raise BrokerError(message)
    return line


def _stop(process: subprocess.Popen[bytes]) -> None:
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            stream.close()
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
