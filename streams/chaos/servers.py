"""A Kafka and a Redis of their own, on free ports of 127.0.0.1, that can be killed and started again over their data."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

import redis.exceptions
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import ConstantBackoff

from models.errors import BrokerError
from streams.demo.servers import free_port, start_process
from streams.embedded.redis import RunningRedis, start_redis

ROOT = Path(__file__).resolve().parents[2]
_START_S = 90.0  # Kafka takes 4 to 8 s alone on two cores, and recovers its logs after a kill
_STOP_S = 45.0
_LOOK_S = 0.1
_POWER_CUT_S = 1.0  # of its last writes, what an append-only file that is flushed every second may lose


class Kafka:
    """One Kafka node (KRaft) with its data in a folder.

    Args:
        folder: for its data, settings and log.

    Raises:
        BrokerError: from every start that fails; the message holds the end of its log.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._log = folder / "kafka.log"
        self._properties = folder / "server.properties"
        self._process: subprocess.Popen[bytes] | None = None
        self._jars = ""
        self.port = free_port()
        self.bootstrap = f"127.0.0.1:{self.port}"

    def format(self) -> None:
        """Writes the settings and makes the node's storage, once."""
        self._folder.mkdir(parents=True, exist_ok=True)
        found = subprocess.run([ROOT / "infra/local/jars.sh"], capture_output=True, text=True, check=False)  # noqa: S603
        if found.returncode:
            message = f"Kafka's jars: {found.stderr.strip()}"
            raise BrokerError(message)
        self._jars = found.stdout.strip()
        text = (ROOT / "infra/kafka/server.properties").read_text(encoding="utf-8")
        for name, value in (("KAFKA_PORT", self.port), ("CONTROLLER_PORT", free_port()), ("DATA", self._folder / "data")):
            text = text.replace(f"@{name}@", str(value))
        self._properties.write_text(text, encoding="utf-8")
        cluster = self._run("kafka.tools.StorageTool", "random-uuid").split()[-1]
        self._run(
            "kafka.tools.StorageTool", "format", "--standalone", "--config", str(self._properties), "--cluster-id", cluster
        )

    async def start(self) -> None:
        """Starts it over its data, and waits until it serves."""
        said = self._log.stat().st_size if self._log.exists() else 0
        self._process = start_process(
            [*self._java("-Xms256m", "-Xmx768m"), "kafka.Kafka", str(self._properties)], self._log, {}
        )
        deadline_s = time.monotonic() + _START_S
        while b"Kafka Server started" not in self._since(said):
            if self._process.poll() is not None or time.monotonic() > deadline_s:
                message = f"Kafka does not start; {self._log} ends:\n{self._since(said)[-1500:].decode(errors='replace')}"
                raise BrokerError(message)
            await asyncio.sleep(_LOOK_S)

    async def stop(self) -> None:
        """A clean end."""
        if self._process is not None:
            await end(self._process, within_s=_STOP_S)

    def kill(self) -> None:
        """As kill -9 does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    @property
    def data(self) -> Path:
        """Where its logs are."""
        return self._folder / "data"

    def _since(self, position: int) -> bytes:
        with self._log.open("rb") as stream:
            stream.seek(position)
            return stream.read()

    def _java(self, *options: str) -> list[str]:
        log4j = f"-Dlog4j2.configurationFile=file:{ROOT / 'infra/kafka/log4j2.properties'}"
        return ["java", *options, "-XX:+UseSerialGC", "-cp", f"{self._jars}/*", log4j]

    def _run(self, *command: str) -> str:
        done = subprocess.run([*self._java(), *command], capture_output=True, text=True, check=False)  # noqa: S603
        if done.returncode:
            message = f"{' '.join(command)}: {(done.stdout + done.stderr).strip()[-1500:]}"
            raise BrokerError(message)
        return done.stdout


class CutRedis:
    """A Redis with an append-only file that is flushed every second, as production's is.

    A killed process leaves to the kernel what it has written, so kill -9 loses nothing or nearly so. A machine that loses
    power loses what was not flushed: `cut_power` takes the file's last writes away, up to a second of them.

    Args:
        folder: for its data and log.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: RunningRedis = start_redis(folder, append_only=True)
        self._sizes: deque[tuple[float, Path, int]] = deque()
        self.url = self._running.url

    @property
    def pid(self) -> int:
        """Of the process that runs, or ran last."""
        return self._running.pid

    def note(self) -> None:
        """Remembers how long the append-only file is now; called about ten times a second."""
        now_s = time.monotonic()
        newest = self._newest()
        if newest is not None:
            self._sizes.append((now_s, newest, newest.stat().st_size))
        while self._sizes and self._sizes[0][0] < now_s - _POWER_CUT_S:
            self._sizes.popleft()

    def kill(self) -> None:
        """As kill -9 does."""
        os.kill(self._running.pid, signal.SIGKILL)
        self._running.stop()

    def cut_power(self, share: float) -> int:
        """Kills it and takes back the last writes: those after a moment that `share` chooses from the last second.

        Returns:
            How many bytes of writes were lost.
        """
        self.kill()
        newest = self._newest()
        sizes = [size for _, path, size in self._sizes if path == newest]
        if newest is None or not sizes:
            return 0
        keep = sizes[int(share * (len(sizes) - 1))]
        lost = newest.stat().st_size - keep
        os.truncate(newest, keep)
        return lost

    def stop(self) -> None:
        """A clean end, everything flushed."""
        self._running.stop()

    def start(self) -> None:
        """Starts it again on its port, over its data; from the main thread, with which it ends."""
        self._sizes.clear()
        self._running = start_redis(self._folder, port=self._running.port, append_only=True)

    def _newest(self) -> Path | None:
        """The file that is appended to: Redis 7 has one for every rewrite, 6 has one."""
        files = [*self._folder.glob("appendonlydir/*.incr.aof"), *self._folder.glob("appendonly.aof")]
        return max(files, key=lambda path: path.stat().st_mtime_ns, default=None)


def patient_client(url: str) -> Redis:
    """A client that outlasts a restart: it asks again for ten seconds."""
    away = (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError)
    return Redis.from_url(url, socket_timeout=5.0, retry=Retry(ConstantBackoff(0.2), 50, supported_errors=away))


async def end(process: subprocess.Popen[bytes], *, within_s: float) -> bool:
    """Asks a process to end, and kills it when it does not; whether it did."""
    process.terminate()
    ended = await wait_for(lambda: process.poll() is not None, within_s=within_s)
    if not ended:
        process.kill()
        process.wait()
    return ended


async def wait_for(condition: Callable[[], bool], *, within_s: float) -> bool:
    """Whether the condition came true in time."""
    deadline_s = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline_s:
            return False
        await asyncio.sleep(_LOOK_S)
    return True
