"""What a demo runs on: Redis, a broker and worker processes, all of them real, all on loopback, all gone afterwards."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from models.errors import BrokerError, SerenError, StoreError
from streams.embedded.broker import RunningBroker, start_broker
from streams.embedded.redis import RunningRedis, start_redis
from streams.topics import TOPICS

TENANT = "demo"
_STOP_S = 20.0  # a worker's last checkpoint and its farewell to the group take 1 to 3 s
_LOG_TAIL_CHARS = 1_500

# Runs in place of a process for a moment: asks the kernel to end it with the thread that started it, then becomes the process.
# However the demo ends, nothing of it is left; the servers that a worker talks to are gone then, so it has nothing to say.
_TRAMPOLINE = """
import ctypes, os, signal, sys
PR_SET_PDEATHSIG = 1
ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
if os.getppid() != int(sys.argv[1]):
    sys.exit("the process that wanted this one is gone")
os.execvp(sys.argv[2], sys.argv[2:])
"""


class WorkerDied(SerenError):
    """A worker process ended on its own; the message holds the end of its log."""


@dataclass(frozen=True, kw_only=True)
class Addresses:
    """Servers that are there already; None: start an embedded one."""

    kafka: str | None = None
    redis: str | None = None


class Servers:
    """Starts what is needed, watches it, and ends it.

    An embedded Redis that dies is started again on its port, with its append-only file: what it had acknowledged is still
    there, and the workers wait for it. An embedded broker keeps nothing on disk, so its death ends the run, clearly.

    Args:
        folder: data, logs and the workers' configuration.
        given: servers to use instead of embedded ones.
        say: told of everything that a person should know.
    """

    def __init__(self, folder: Path, given: Addresses, say: Callable[[str], None]) -> None:
        self._folder = folder
        self._say = say
        self._redis: RunningRedis | None = None
        self._broker: RunningBroker | None = None
        self._workers: list[Worker] = []
        self.redis_restarts = 0
        if given.redis is None:
            self._redis = start_redis(folder / "redis", append_only=True)
        try:
            if given.kafka is None:
                self._broker = start_broker({topic.name: topic.partitions for topic in TOPICS.values()})
        except BaseException:
            self.stop()
            raise
        self.redis_url = given.redis or self._running_redis().url
        self.bootstrap = given.kafka or self._running_broker().bootstrap
        self.embedded_broker = given.kafka is None

    def start_worker(self, kind: str, config: Path) -> None:
        """One more worker process of a kind (`profiles` or `judging`), with its metrics on a free port."""
        port = free_port()
        log = self._folder / f"{kind}-{len(self._workers)}.log"
        command = [sys.executable, "-m", "streams", "worker", kind, "--config", str(config)]
        process = start_process(command, log, {"SEREN_METRICS_PORT": str(port)})
        self._workers.append(Worker(kind, process, log, f"http://127.0.0.1:{port}/metrics"))

    def workers(self, kind: str) -> list[Worker]:
        """The workers of one kind."""
        return [worker for worker in self._workers if worker.kind == kind]

    def watch(self) -> None:
        """Looks after everything; called a few times a second.

        Raises:
            WorkerDied: a worker ended.
            BrokerError: the embedded broker ended; it keeps nothing on disk.
        """
        for worker in self._workers:
            if worker.process.poll() is not None:
                tail = worker.log.read_text(errors="replace")[-_LOG_TAIL_CHARS:]
                message = f"the {worker.kind} worker ended with exit code {worker.process.returncode}; its log ends:\n{tail}"
                raise WorkerDied(message)
        if self._broker is not None and not is_alive(self._broker.pid):
            message = "the embedded broker ended; it keeps nothing on disk, so this run cannot go on: start it again"
            raise BrokerError(message)
        if self._redis is not None and not is_alive(self._redis.pid):
            self._restart_redis(self._redis)

    def _restart_redis(self, dead: RunningRedis) -> None:
        self._say(f"Redis (pid {dead.pid}) ended; starting it again on port {dead.port} with its append-only file")
        dead.stop()
        self._redis = start_redis(self._folder / "redis", port=dead.port, append_only=True)
        self.redis_restarts += 1

    @property
    def redis_pid(self) -> int:
        """Process id of the embedded Redis."""
        return self._running_redis().pid

    def stop(self) -> None:
        """Ends the workers, then the servers; a second interrupt ends them at once."""
        try:
            self._ask_workers_to_end()
        finally:
            for worker in self._workers:
                worker.process.kill()
                worker.process.wait()
            self._workers.clear()
            if self._broker is not None:
                self._broker.stop()
            if self._redis is not None:
                self._redis.stop()

    def _ask_workers_to_end(self) -> None:
        if self._broker is not None and not is_alive(self._broker.pid):
            return  # they could not say farewell to it, and would wait for it
        for worker in self._workers:
            worker.process.terminate()
        deadline = time.monotonic() + _STOP_S
        for worker in self._workers:
            try:
                worker.process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                self._say(f"the {worker.kind} worker does not end; it is killed")

    def __enter__(self) -> Servers:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def _running_redis(self) -> RunningRedis:
        if self._redis is None:
            message = "no embedded Redis was started"
            raise StoreError(message)
        return self._redis

    def _running_broker(self) -> RunningBroker:
        if self._broker is None:
            message = "no embedded broker was started"
            raise BrokerError(message)
        return self._broker


@dataclass(frozen=True)
class Worker:
    """One worker process."""

    kind: str
    process: subprocess.Popen[bytes]
    log: Path
    metrics_url: str


def write_config(folder: Path, servers: Servers, *, start_ms: int) -> Path:
    """What the workers of a demo run with; events before `start_ms` are history and ask for nothing."""
    path = folder / "seren.toml"
    path.write_text(
        f"""# What the demo's workers run with: `seren doctor --config` explains every key.
[kafka]
bootstrap = "{servers.bootstrap}"
manage_topics = {str(not servers.embedded_broker).lower()}

[redis]
url = "{servers.redis_url}"
tenant = "{TENANT}"

[serengpt]
threads = {os.cpu_count() or 1}

[rules]
check_clock = false  # a recorded log: event time is the log's
label_digests = false  # the demo trains nothing

[rules.trigger]
start_ms = {start_ms}  # before this the log is history
""",
        encoding="utf-8",
    )
    return path


def start_process(command: Sequence[str], log: Path, variables: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """A process in a session of its own that ends with the thread that started it, and finds this package.

    Args:
        command: what to run.
        log: where its output is appended.
        variables: of its environment, beside ours without any `SEREN_*`.
    """
    with log.open("ab") as output:
        return subprocess.Popen(  # noqa: S603  # our own program and arguments
            [sys.executable, "-c", _TRAMPOLINE, str(os.getpid()), *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=_environment() | {"PYTHONPATH": _import_path()} | dict(variables),
            start_new_session=True,
        )


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def is_alive(pid: int) -> bool:
    """Whether the process runs; one that has ended and was not waited for does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in {"Z", "X"}


def _environment() -> dict[str, str]:
    """This process's environment without its `SEREN_*`: they would override what the demo's workers are told."""
    return {name: value for name, value in os.environ.items() if not name.startswith("SEREN_")}


def _import_path() -> str:
    root = str(Path(__file__).resolve().parents[2])
    there = os.environ.get("PYTHONPATH")
    return f"{root}{os.pathsep}{there}" if there else root
