"""Laws of `seren demo` as a command: one object, one page, nothing left running, and a clear word when a part of it dies."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio
from click.testing import CliRunner

from streams.cli import cli
from streams.demo.servers import TENANT
from streams.embedded.redis import RunningRedis
from streams.keys import checkpoint_key
from streams.recorded.logs import RecordedLog
from streams.state import PartitionStore

ROOT = Path(__file__).parents[3]
WAIT_S = 60.0  # for a walk of 5 s on an idle machine
# What `seren demo --json` promises.
FIELDS = {
    "events",
    "users",
    "triggers",
    "slates",
    "items_per_slate",
    "dead_letters",
    "seconds",
    "events_per_second",
    "event_to_slate_s_median",
    "event_to_slate_s_p99",
    "redis_bytes",
    "html_path",
}

pytestmark = pytest.mark.timeout(150)


@dataclass
class Running:
    """A demo in a session of its own; its folder for temporary files is where its parts can be told from others'."""

    process: subprocess.Popen[str]
    folder: Path

    def parts(self, words: str = "") -> list[int]:
        """Processes of this demo whose command line holds the words; they name its folder, or were started by it."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                environment = (entry / "environ").read_bytes()
                state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
                works_in = (entry / "cwd").readlink()
            except OSError:
                continue
            ours = f"TMPDIR={self.folder}\0".encode() in environment + b"\0" or works_in.is_relative_to(self.folder)
            if ours and state != "Z" and words in command and int(entry.name) != self.process.pid:
                found.append(int(entry.name))
        return found

    def wait_for_part(self, words: str) -> int:
        """The process id of a part, once it runs."""
        deadline_s = time.monotonic() + WAIT_S
        while time.monotonic() < deadline_s:
            if found := self.parts(words):
                return found[0]
            assert self.process.poll() is None, self.process.communicate()
            time.sleep(0.05)
        pytest.fail(f"no process of the demo has {words!r} in its command line")

    def wait_for_the_middle(self) -> None:
        """Until both workers run: the walk is in its middle, wherever that is."""
        self.wait_for_part("worker judging")
        time.sleep(1.0)

    def end(self) -> tuple[int, str, str]:
        """Exit code, standard output and standard error."""
        out, err = self.process.communicate(timeout=WAIT_S)
        return self.process.returncode, out, err


Start = Callable[..., Running]


@pytest.fixture
def start(tmp_path: Path, small_log: RecordedLog) -> Iterator[Start]:
    """Starts demos of the small log; whatever is left of them afterwards is a failure, and is ended."""
    started: list[Running] = []

    def starting(*arguments: str, before: str | None = None) -> Running:
        folder = tmp_path / f"demo-{len(started)}"
        folder.mkdir()
        if before is not None:
            (folder / before).parent.mkdir()
            (folder / before).touch()
        process = subprocess.Popen(
            [sys.executable, "-m", "streams", "demo", "--log", str(small_log.folder), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(folder)},
            start_new_session=True,
        )
        started.append(Running(process, folder))
        return started[-1]

    yield starting
    left = {pid: running for running in started for pid in running.parts()}
    for running in started:
        if running.process.poll() is None:
            running.process.kill()
            running.process.communicate()
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert not left, f"processes are left running: {sorted(left)}"


@pytest.fixture(scope="module")
def one_run(tmp_path_factory: pytest.TempPathFactory, small_log: RecordedLog) -> tuple[Running, int, str, str]:
    """A demo that was let alone, to its end."""
    folder = tmp_path_factory.mktemp("demo")
    process = subprocess.Popen(
        [sys.executable, "-m", "streams", "demo", "--log", str(small_log.folder), "--days", "8", "--json", "--keep", "kept"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(folder)},
        start_new_session=True,
    )
    running = Running(process, folder)
    return running, *running.end()


def test_demo_prints_one_object_with_the_promised_fields(
    one_run: tuple[Running, int, str, str], small_log: RecordedLog
) -> None:
    _, code, out, err = one_run
    assert code == 0, err
    found: dict[str, Any] = json.loads(out)
    assert found.keys() >= FIELDS
    assert found["events"] == sum(1 for _ in small_log.events())
    assert found["users"] == sum(1 for _ in small_log.users())
    assert found["slates"] > 0
    assert found["dead_letters"] == 0
    assert sum(found["triggers"].values()) >= found["slates"]
    assert 0 < found["items_per_slate"] <= 50
    assert 0 < found["event_to_slate_s_median"] <= found["event_to_slate_s_p99"] <= found["seconds"]
    assert found["redis_bytes"] > 0
    assert found["events_per_second"] > 0


def test_demo_leaves_a_page_that_needs_nothing_else(one_run: tuple[Running, int, str, str]) -> None:
    running, _, out, _ = one_run
    path = Path(json.loads(out)["html_path"])
    assert path.parent == running.folder.resolve()
    page = path.read_text(encoding="utf-8")
    assert page.lstrip().lower().startswith("<!doctype html>")
    outside = re.findall(
        r"""(?:src|href|action)\s*=\s*["']?(?!#|data:)[^"'\s>]+|url\(|@import|\bfetch\(|XMLHttpRequest""", page
    )
    assert outside == []


def test_demo_leaves_nothing_running_and_no_file_but_the_page_and_what_is_kept(
    one_run: tuple[Running, int, str, str],
) -> None:
    running, *_ = one_run
    assert running.parts() == []
    assert sorted(path.name for path in running.folder.iterdir()) == ["kept", "seren-demo.html"]
    assert sorted(path.name for path in (running.folder / "kept").iterdir()) == [
        "judging-1.log",
        "profiles-0.log",
        "redis",
        "seren.toml",
    ]


def test_workers_of_a_demo_have_nothing_to_complain_of(one_run: tuple[Running, int, str, str]) -> None:
    running, *_ = one_run
    for log in (running.folder / "kept").glob("*.log"):
        lines = [line for line in log.read_text().splitlines() if re.search(r"WARN|ERROR|CRITICAL|Traceback", line)]
        assert lines == [], f"{log.name} says"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_demo_that_is_interrupted_leaves_nothing_running_and_no_file(start: Start, number: signal.Signals) -> None:
    running = start("--json")
    running.wait_for_the_middle()
    running.process.send_signal(number)
    code, out, err = running.end()
    assert code != 0
    assert out == ""
    assert "Traceback" not in err
    assert running.parts() == []
    assert list(running.folder.iterdir()) == []


def test_demo_that_is_killed_takes_its_parts_with_it(start: Start) -> None:
    running = start("--json")
    running.wait_for_the_middle()
    assert len(running.parts()) >= 4
    running.process.kill()
    running.end()
    deadline_s = time.monotonic() + WAIT_S
    while running.parts() and time.monotonic() < deadline_s:
        time.sleep(0.05)
    assert running.parts() == []


def test_demo_whose_worker_is_killed_names_it_and_fails(start: Start) -> None:
    running = start("--json")
    running.wait_for_the_middle()
    os.kill(running.wait_for_part("worker profiles"), signal.SIGKILL)
    code, out, err = running.end()
    assert code == 2
    assert out == ""
    assert "seren: the profiles worker ended with exit code -9" in err
    assert "Traceback" not in err
    assert running.parts() == []


def test_demo_whose_broker_is_killed_says_so_and_fails(start: Start) -> None:
    running = start("--json")
    running.wait_for_the_middle()
    os.kill(running.wait_for_part("streams.embedded.mock_cluster"), signal.SIGKILL)
    code, out, err = running.end()
    assert code == 2
    assert out == ""
    assert "seren: the embedded broker ended" in err
    assert "Traceback" not in err
    assert running.parts() == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--keep", "full"], "seren: --keep full: the folder is not empty"),
        (["--page", "nowhere/page.html"], "seren: --page nowhere/page.html: there is no folder"),
        (["--kafka", "127.0.0.1:1"], "seren: Kafka at 127.0.0.1:1"),
    ],
)
def test_demo_that_cannot_begin_says_why_and_leaves_nothing(start: Start, arguments: list[str], said: str) -> None:
    running = start(*arguments, before="full/file")
    code, _, err = running.end()
    assert code == 2
    assert said in err
    assert "Traceback" not in err
    assert running.parts() == []
    assert [path.name for path in running.folder.iterdir()] == ["full"]


@pytest.mark.parametrize("given", ["--workers 0", "--judging-workers 5", "--days -1", "--speed -1"])
def test_option_out_of_its_bounds_is_refused_by_its_name(given: str) -> None:
    ended = CliRunner().invoke(cli, ["demo", *given.split()])
    assert ended.exit_code == 2
    assert f"'{given.split(maxsplit=1)[0]}'" in ended.output


async def test_demo_on_a_redis_with_the_state_of_another_broker_refuses(
    start: Start, redis_client: redis.asyncio.Redis, redis_server: RunningRedis
) -> None:
    """The embedded broker's topics are new: with a state that ends at 10, ten events would count as applied already."""
    partitions = PartitionStore(redis_client, tenant=TENANT)
    await redis_client.hset(checkpoint_key(TENANT, 2), mapping={"epoch": 1, "number": 1, "next_offset": 10, "watermark_ms": 0})
    assert await partitions.read(2) is not None
    code, out, err = await asyncio.to_thread(start("--json", "--redis", redis_server.url).end)
    assert code == 2
    assert out == ""
    assert "up to offset 10 of partition 2" in err
