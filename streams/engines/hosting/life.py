"""One process that holds an engine, from its start to its end, and the calls that wait for it.

Knows nothing about when it is replaced.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from concurrent.futures import Future, wait
from io import BufferedReader, FileIO
from threading import Lock
from typing import Any, cast

from models.errors import EngineError, EngineHung
from streams.engines.hosting import wire
from streams.engines.hosting.progress import Progress

_LOOK_S = 0.5  # between two looks at the progress while a call waits
_GOODBYE_S = 5.0  # an engine that is told to end gets this long for its own threads and processes


class Life:
    """A process and its calls. Its reader is whoever started it.

    Args:
        maker: `module:function` of the engine.
        arguments: of that function.
        stall_s: one that has work and does not move for longer is killed, see `streams.engines.hosting.progress.Progress`.
    """

    def __init__(self, maker: str, arguments: Mapping[str, Any], *, stall_s: float) -> None:
        self.ready: Future[wire.Ready] = Future()
        self.end: EngineError | None = None  # why it is over
        self._stall_s = stall_s
        self._began_s = time.monotonic()
        self._progress = Progress(stall_s=stall_s)
        self._lock = Lock()
        self._sending = Lock()
        self._calls: dict[int, Future[Any]] = {}
        self._number = 0
        command = [sys.executable, "-m", "streams.engines.hosting.child", maker, json.dumps(arguments), str(os.getpid())]
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            start_new_session=True,  # a group of its own: what the runtime starts is killed with it
            bufsize=0,
        )
        self._input, self._output = cast("FileIO", self._process.stdin), cast("FileIO", self._process.stdout)
        os.set_blocking(self._input.fileno(), False)  # a process that hangs does not read either

    @property
    def pid(self) -> int:
        """Of the process, which leads its group."""
        return self._process.pid

    @property
    def age_s(self) -> float:
        """Since it was started."""
        return time.monotonic() - self._began_s

    def read(self) -> None:
        """Takes what the process tells until it ends, and fails the calls that are left."""
        with BufferedReader(self._output) as output:
            for frame in wire.told(output):
                self._take(frame)
        self._kill_group()  # what it may have started, while its number is still its own
        code = self._process.wait()
        self._hang_up()
        with self._lock:
            over = self.end = self.end or EngineError(f"the engine's process ended ({_said(code)})")
            left = list(self._calls.values())
            self._calls.clear()
        for call in (self.ready, *left):
            if not call.done():
                call.set_exception(over)

    def ask(self, kind: type[wire.Imagine] | type[wire.Score], requests: Any) -> Any:
        """The outcomes of a call.

        Raises:
            SerenError: the call failed, the process ended, or it was killed because it hangs (`EngineHung`).
        """
        number, call = self._opened()
        with self._lock:
            self._progress.began(number, now_s=time.monotonic())
        self._send(wire.packed(kind(number, requests)), call)
        while not wait([call], timeout=_LOOK_S).done:
            self._kill_stalled()
        return call.result()

    def swap(self, folder: str, *, within_s: float) -> wire.Ready:
        """What the engine is once it answers with another checkpoint. It moves nothing meanwhile, and has its own bound.

        Raises:
            SerenError: the folder cannot be run, and what answered goes on; or the process ended, or was killed for taking
                longer than `within_s`.
        """
        number, call = self._opened()
        self._send(wire.packed(wire.Swap(number, folder)), call)
        if not wait([call], timeout=within_s).done:
            self.kill(EngineHung(f"the engine did not change its model within {within_s:g} s; it is started anew"))
        ready: wire.Ready = call.result()
        return ready

    def _opened(self) -> tuple[int, Future[Any]]:
        call: Future[Any] = Future()
        with self._lock:
            if self.end is not None:
                raise self.end
            number = self._number = self._number + 1
            self._calls[number] = call
        return number, call

    def kill(self, why: EngineError) -> None:
        """Ends the process and its group at once; `why` is what its calls are told. May be called twice."""
        with self._lock:
            self.end = self.end or why
        self._kill_group()

    def _kill_group(self) -> None:
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):  # it is gone (or, on macOS, a zombie)
            return

    def close(self) -> None:
        """Asks the process to end, and kills it when it does not."""
        with self._lock:
            self.end = self.end or EngineError("the engine is closed")
        self._hang_up()
        try:
            self._process.wait(_GOODBYE_S)
        except subprocess.TimeoutExpired:
            self.kill(EngineError("the engine is closed"))

    def _hang_up(self) -> None:
        if self._sending.acquire(timeout=_GOODBYE_S):
            self._input.close()
            self._sending.release()

    def _send(self, data: bytes, call: Future[Any]) -> None:
        with self._sending:
            left = memoryview(data)
            while left and not call.done() and not self._input.closed:
                try:
                    sent = self._input.write(left)
                except OSError:  # the other end is closed: the reader sees that too, and fails the call
                    return
                if sent is None:
                    select.select([], [self._input], [], _LOOK_S)
                    self._kill_stalled()
                left = left[sent or 0 :]

    def _kill_stalled(self) -> None:
        with self._lock:
            is_stalled = self._progress.is_stalled(now_s=time.monotonic())
        if is_stalled:
            self.kill(EngineHung(f"the engine has work and moved nothing for {self._stall_s:g} s; it is started anew"))

    def _take(self, frame: wire.Told) -> None:
        now_s = time.monotonic()
        if isinstance(frame, wire.Moved):
            with self._lock:
                self._progress.moved(frame.count, now_s=now_s)
        elif isinstance(frame, wire.Ready):
            self.ready.set_result(frame)
        elif isinstance(frame, wire.Broken) and frame.number < 0:
            self.ready.set_exception(wire.error_of(frame.failed))
        else:
            with self._lock:
                call = self._calls.pop(frame.number, None)
                self._progress.ended(frame.number, now_s=now_s)
            if call is not None and isinstance(frame, wire.Broken):
                call.set_exception(wire.error_of(frame.failed))
            elif call is not None and isinstance(frame, wire.Imagined | wire.Rated):
                call.set_result(wire.outcomes_of(frame.outcomes))
            elif call is not None and isinstance(frame, wire.Swapped):
                call.set_result(frame.ready)


def _said(code: int) -> str:
    """An exit status in words.

    >>> _said(-9), _said(3)
    ('killed by SIGKILL: out of memory, perhaps', 'exit status 3')
    """
    if code < 0:
        name = signal.Signals(-code).name
        return f"killed by {name}" + (": out of memory, perhaps" if code == -signal.SIGKILL else "")
    return f"exit status {code}"
