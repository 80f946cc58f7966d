"""An engine in a process of its own: the same answers, and a new process for one that died, hangs or cannot go on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from models.entities import Digest
from models.errors import CheckpointError, ConfigError, EngineDead, EngineError, EngineHung, EngineOverloaded, RequestError
from models.pretrained import serengpt_folder
from models.serengpt.embedded import load_engine
from models.serengpt.engine import ImagineRequest, ScoreRequest
from streams.engines.hosting.engine import HostedEngine, HostPolicy
from streams.engines.hosting.progress import Progress
from tests.streams.engines.misbehaving_engine import DEAD, HANGS, KILLED, NO_MEMORY, NO_START, SLOW_START, note

ASKED = [ImagineRequest(digest=Digest(static=(f"user {number}",)), n=3, seed=number) for number in range(4)]
QUICK = HostPolicy(stall_s=1.0, start_s=30.0, wait_s=3.0)


class Hosted:
    """An engine that misbehaves as noted, and what was counted."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.restarts: Counter[str] = Counter()
        self.engine = HostedEngine(
            "tests.streams.engines.misbehaving_engine:make",
            {"folder": str(folder)},
            policy=QUICK,
            on_restart=lambda why: self.restarts.update([why]),
        )

    def fails(self, kind: type[EngineError]) -> str:
        with pytest.raises(kind) as caught:
            self.engine.imagine(ASKED)
        assert type(caught.value) is kind
        return str(caught.value)


@pytest.fixture
def hosted(tmp_path: Path) -> Iterator[Hosted]:
    made = Hosted(tmp_path)
    yield made
    made.engine.close()


@pytest.fixture(scope="module")
def right() -> list[tuple[str, ...]]:
    """What the engine answers when all is well."""
    engine = load_engine(serengpt_folder(), threads=1)
    answers = engine.imagine(ASKED)
    engine.close()
    return answers  # type: ignore[return-value]


def until(reached: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + 20
    while not reached():
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")")[-1].split()[0] != "Z"
    except FileNotFoundError:
        return False


# ---- all is well


def test_hosted_engine_gives_the_answers_that_it_gives_in_this_process(hosted: Hosted, right: list[tuple[str, ...]]) -> None:
    inside = load_engine(serengpt_folder(), threads=1)
    assert hosted.engine.imagine(ASKED) == right
    titles = ScoreRequest(digest=ASKED[0].digest, titles=("red mug", "blue plate"))
    assert hosted.engine.score([titles]) == inside.score([titles])
    assert (hosted.engine.model_id, hosted.engine.prompt_version) == (inside.model_id, inside.prompt_version)
    inside.close()


def test_request_s_own_error_comes_through_as_it_is(hosted: Hosted) -> None:
    bad = ImagineRequest(digest=Digest(), n=0, seed=1)
    first, second = hosted.engine.imagine([bad, ASKED[0]])
    assert type(first) is RequestError
    assert "n: 0" in str(first)
    assert isinstance(second, tuple)


def test_calls_of_several_threads_get_each_its_own_answers(hosted: Hosted, right: list[tuple[str, ...]]) -> None:
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda one: hosted.engine.imagine([one])[0], ASKED * 2))
    assert found == right * 2


# ---- what goes wrong


def test_engine_that_is_killed_in_the_middle_of_a_batch_fails_the_call_and_the_next_one_is_answered(
    hosted: Hosted, right: list[tuple[str, ...]]
) -> None:
    note(hosted.folder, KILLED)
    assert "SIGKILL" in hosted.fails(EngineError)
    assert hosted.engine.imagine(ASKED) == right
    assert hosted.restarts == {"lost": 1}


def test_engine_that_hangs_with_the_interpreter_s_lock_is_killed_and_replaced(
    hosted: Hosted, right: list[tuple[str, ...]]
) -> None:
    before = hosted.engine.pid
    note(hosted.folder, HANGS)
    assert "moved nothing for 1 s" in hosted.fails(EngineHung)
    assert hosted.engine.imagine(ASKED) == right
    assert hosted.restarts == {"hung": 1}
    assert before is not None
    assert not is_alive(before)


def test_engine_that_is_stopped_takes_no_ask_and_is_replaced(hosted: Hosted, right: list[tuple[str, ...]]) -> None:
    """More than a pipe holds: a process that does not read must not hold the worker either."""
    long = [ImagineRequest(digest=Digest(static=("x" * 500,) * 20), n=1, seed=seed) for seed in range(40)]
    assert hosted.engine.pid is not None
    os.kill(hosted.engine.pid, signal.SIGSTOP)
    with pytest.raises(EngineHung):
        hosted.engine.imagine(long)
    assert hosted.engine.imagine(ASKED) == right


def test_memory_that_is_full_in_the_engine_s_process_is_an_error_of_the_call(
    hosted: Hosted, right: list[tuple[str, ...]]
) -> None:
    note(hosted.folder, NO_MEMORY)
    assert "MemoryError: bad_alloc" in hosted.fails(EngineError)
    assert hosted.engine.imagine(ASKED) == right
    assert hosted.restarts == {}, "the process is as good as before"


def test_engine_that_says_it_is_dead_is_replaced(hosted: Hosted, right: list[tuple[str, ...]]) -> None:
    note(hosted.folder, DEAD)
    assert "device lost" in hosted.fails(EngineError)
    assert hosted.engine.imagine(ASKED) == right
    until(lambda: hosted.restarts == {"dead": 1})


def test_engine_that_cannot_be_started_again_is_dead_until_it_can(hosted: Hosted, right: list[tuple[str, ...]]) -> None:
    cause = note(hosted.folder, NO_START, always=True)
    note(hosted.folder, KILLED)
    hosted.fails(EngineError)
    assert "cannot be started" in hosted.fails(EngineDead)
    cause.unlink()
    until(lambda: not isinstance(answer_of(hosted), EngineDead))
    assert hosted.engine.imagine(ASKED) == right


def test_call_does_not_wait_for_a_slow_start_and_is_answered_after_it(hosted: Hosted, right: list[tuple[str, ...]]) -> None:
    cause = note(hosted.folder, SLOW_START, always=True)
    note(hosted.folder, KILLED)
    hosted.fails(EngineError)
    assert "started anew" in hosted.fails(EngineOverloaded)
    cause.unlink()
    until(lambda: not isinstance(answer_of(hosted), EngineOverloaded))
    assert hosted.engine.imagine(ASKED) == right


def answer_of(hosted: Hosted) -> object:
    try:
        return hosted.engine.imagine(ASKED)
    except EngineError as error:
        return error


# ---- start and end


@pytest.mark.parametrize(
    ("engine", "model", "kind"), [("ctranslate2", "/nowhere", CheckpointError), ("none such", "", ConfigError)]
)
def test_engine_that_cannot_be_made_says_why_at_the_start(engine: str, model: str, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        HostedEngine("streams.engines.named:load_engine", {"engine": engine, "model": model, "threads": 1}, policy=QUICK)


def test_process_that_ends_before_it_is_ready_is_dead(tmp_path: Path) -> None:
    note(tmp_path, NO_START, always=True)
    with pytest.raises(EngineDead, match="SIGKILL"):
        Hosted(tmp_path)


def test_close_ends_the_process_and_later_calls(hosted: Hosted) -> None:
    pid = hosted.engine.pid
    assert pid is not None
    hosted.engine.close()
    until(lambda: not is_alive(pid))
    hosted.fails(EngineDead)


def test_process_dies_with_a_worker_that_is_killed_even_while_it_hangs(tmp_path: Path) -> None:
    note(tmp_path, HANGS)
    code = (
        "import threading, time\n"
        "from models.entities import Digest\n"
        "from models.serengpt.engine import ImagineRequest\n"
        "from streams.engines.hosting.engine import HostedEngine, HostPolicy\n"
        "maker = 'tests.streams.engines.misbehaving_engine:make'\n"
        f"engine = HostedEngine(maker, {{'folder': {str(tmp_path)!r}}}, policy=HostPolicy())\n"
        "ask = [ImagineRequest(digest=Digest(), n=1, seed=1)]\n"
        "threading.Thread(target=engine.imagine, args=(ask,), daemon=True).start()\n"
        "print(engine.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, env=environment, text=True) as worker:
        assert worker.stdout is not None
        pid = int(worker.stdout.readline())
        until(lambda: not (tmp_path / HANGS).exists())
        worker.kill()
    until(lambda: not is_alive(pid))


# ---- when a hang is a hang


def test_work_without_movement_is_a_stall_and_neither_idleness_nor_slowness_is() -> None:
    progress = Progress(stall_s=10.0)
    assert not progress.is_stalled(now_s=1e9), "without work nothing can stall"
    progress.began(1, now_s=100.0)
    progress.moved(1, now_s=105.0)
    assert [progress.is_stalled(now_s=now_s) for now_s in (115.0, 115.1)] == [False, True]
    progress.moved(1, now_s=114.0)
    assert progress.is_stalled(now_s=115.1), "the same number again is no movement"
    progress.began(2, now_s=115.0)
    assert progress.is_stalled(now_s=115.1), "more work is none either"
    progress.ended(1, now_s=116.0)
    assert [progress.is_stalled(now_s=now_s) for now_s in (126.0, 126.1)] == [False, True]
    progress.ended(2, now_s=127.0)
    assert not progress.is_stalled(now_s=1e9)
