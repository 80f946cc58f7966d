"""An event loop whose time jumps from one event to the next, and processes in it that freeze, go on, or die at any await.

Within a process the order of callbacks is asyncio's own, so every interleaving seen here can happen. What a seed decides is
how long each thing takes. Knows nothing about what runs on it.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Coroutine
from contextlib import suppress
from contextvars import Context, ContextVar, copy_context
from typing import Any, Literal

START_S = 1_728_000_000.0  # the simulated clock starts on a whole day: 20,000 days after 1970
# A world is 3,000 to 30,000 callbacks; one that comes here turns in circles.
MAX_CALLBACKS = 1_000_000


class Deadlock(RuntimeError):
    """Everything waits and nothing will ever happen."""


class Process:
    """A process of the simulated world: everything that was started in its context.

    Args:
        name: for reports.
        skew_s: how far its machine's clock is ahead of the true one.
    """

    def __init__(self, name: str, skew_s: float = 0.0) -> None:
        self.name = name
        self.skew_s = skew_s
        self.state: Literal["running", "frozen", "dead"] = "running"
        self.context: Context = copy_context()
        self.held: list[asyncio.Handle] = []
        self.context.run(_PROCESS.set, self)


_PROCESS: ContextVar[Process | None] = ContextVar("process", default=None)
SERVERS = Context()  # of what belongs to no process that can freeze or die: the network, the broker, Redis


def current_process() -> Process | None:
    """The process that runs now; None where it is none: the network, the broker, Redis."""
    return _PROCESS.get()


class VirtualLoop(asyncio.BaseEventLoop):
    """The loop. It opens no file and waits for nothing."""

    _ready: Any  # both belong to BaseEventLoop, which the type stubs do not tell
    _scheduled: Any

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0
        self.callbacks = 0
        self.broken: list[str] = []  # what went wrong in the simulation itself
        self.set_task_factory(self._keep)
        self.set_exception_handler(self._note)
        self._kept: list[asyncio.Task[Any]] = []

    def _keep(self, loop: asyncio.AbstractEventLoop, coroutine: Any, **how: Any) -> asyncio.Task[Any]:
        """A task that is not collected while the world runs: a dead process's would run its `finally` then."""
        task: asyncio.Task[Any] = asyncio.Task(coroutine, loop=loop, **how)
        self._kept.append(task)
        return task

    def _note(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """An error that nobody waited for: of a dead process's exchange, which is right, or of a callback, which is not."""
        if "handle" in context:
            self.broken.append(f"{context['message']}: {context.get('exception')!r}")

    def time(self) -> float:
        """Seconds since the world began."""
        return self.now_s

    def start(self, process: Process, coroutine: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """Runs a coroutine as part of a process."""
        return self.create_task(coroutine, name=f"{process.name} {name}", context=process.context.copy())

    def freeze(self, process: Process) -> None:
        """Lets nothing of the process run until it is thawed; what it has sent is on its way."""
        if process.state == "running":
            process.state = "frozen"

    def thaw(self, process: Process) -> None:
        """Runs everything that came up meanwhile, in its order."""
        if process.state == "frozen":
            process.state = "running"
            self._ready.extend(process.held)
            process.held.clear()

    def kill(self, process: Process) -> None:
        """Ends the process where it stands: no handler and no `finally` of it does anything that anybody sees."""
        process.state = "dead"
        process.held.clear()

    def _run_once(self) -> None:
        """One round of BaseEventLoop's, without a selector."""
        ready, scheduled = self._ready, self._scheduled
        if not ready:
            while scheduled and scheduled[0]._cancelled:  # noqa: SLF001 - as BaseEventLoop does
                heapq.heappop(scheduled)._scheduled = False  # noqa: SLF001
            if not scheduled:
                message = f"nothing will happen after {self.now_s:.3f} s"
                raise Deadlock(message)
            self.now_s = max(self.now_s, scheduled[0]._when)  # noqa: SLF001
        while scheduled and scheduled[0]._when <= self.now_s:  # noqa: SLF001
            timer = heapq.heappop(scheduled)
            timer._scheduled = False  # noqa: SLF001
            ready.append(timer)
        for _ in range(len(ready)):
            self._run_handle(ready.popleft())

    def _run_handle(self, handle: asyncio.Handle) -> None:
        if handle.cancelled():
            return
        process: Process | None = handle._context.get(_PROCESS)  # type: ignore[attr-defined]  # noqa: SLF001
        if process is not None and process.state != "running":
            if process.state == "frozen":
                process.held.append(handle)
            return
        self.callbacks += 1
        if self.callbacks > MAX_CALLBACKS:
            message = f"{MAX_CALLBACKS} callbacks by {self.now_s:.3f} s"
            raise Deadlock(message)
        handle._run()  # noqa: SLF001

    def end(self) -> None:
        """Lets go of all tasks without running them, and closes."""
        for task in self._kept:
            task._log_destroy_pending = False  # type: ignore[attr-defined]  # noqa: SLF001
            coroutine = task.get_coro()
            with suppress(RuntimeError):  # it awaits something on its way out, as a Condition does
                if coroutine is not None:
                    coroutine.close()
        self._ready.clear()
        self._scheduled.clear()
        self.close()


class ProcessClock:
    """The clocks that a process reads."""

    def __init__(self, loop: VirtualLoop, process: Process) -> None:
        self._loop = loop
        self._process = process

    def time(self) -> float:
        """Since 1970, as this machine believes."""
        return START_S + self._loop.now_s + self._process.skew_s

    def monotonic(self) -> float:
        """Since the world began."""
        return self._loop.now_s
