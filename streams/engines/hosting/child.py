"""The process that holds an engine: `python -m streams.engines.hosting.child MAKER ARGUMENTS PARENT`.

Asks come on standard input, frames go out on what was standard output; whatever a runtime prints goes to standard error. It
ends when its input does, and is killed with its parent (Linux), also in the middle of a call that never returns.

Knows nothing about workers.
"""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from threading import Lock, Thread
from typing import Any, BinaryIO, cast

import msgspec

from models.errors import SerenError
from models.serengpt.engine import Engine, Swappable
from streams.engines.hosting import wire

CALLS = 32  # calls at once; more wait here
_REPORT_S = 0.5  # between two looks at what the engine has made: short against any bound of a stall
_PR_SET_PDEATHSIG = 1


class Holder:
    """Answers calls with an engine, many at a time.

    Args:
        engine: whose answers.
        out: where frames go.
    """

    def __init__(self, engine: Engine, out: BinaryIO) -> None:
        self._engine = engine
        self._out = out
        self._writing = Lock()
        self._answered = 0

    def tell(self, frame: wire.Told) -> None:
        """Sends a frame."""
        data = wire.packed(frame)
        with self._writing:
            self._out.write(data)
            self._out.flush()

    def answer(self, ask: wire.Ask) -> None:
        """One call."""
        told: wire.Told
        try:
            if isinstance(ask, wire.Imagine):
                told = wire.Imagined(ask.number, wire.outcomes_as_frames(self._engine.imagine(ask.requests)))
            elif isinstance(ask, wire.Swap):
                cast("Swappable", self._engine).swap(Path(ask.folder))
                told = wire.Swapped(ask.number, self.ready())
            else:
                told = wire.Rated(ask.number, wire.outcomes_as_frames(self._engine.score(ask.requests)))
        except Exception as error:
            _tell_the_log(error, "a call failed")
            told = wire.Broken(ask.number, wire.failure_of(error))
        self._answered += 1
        self.tell(told)

    def ready(self) -> wire.Ready:
        """What the engine is now."""
        engine = self._engine
        runtime = str(getattr(engine, "runtime", ""))
        return wire.Ready(engine.model_id, engine.prompt_version, runtime, can_swap=hasattr(engine, "swap"))

    def report(self) -> None:
        """Tells how much was made, for ever. An engine says it by an attribute `moved`; of another, calls are counted."""
        before = -1
        while True:
            count = int(getattr(self._engine, "moved", self._answered))
            if count != before:
                self.tell(wire.Moved(count))
                before = count
            time.sleep(_REPORT_S)


def main(maker: str, arguments: str, parent: str) -> None:
    """Loads the engine and answers until the input ends.

    Args:
        maker: `module:function` that makes the engine.
        arguments: of that function, a JSON object.
        parent: process id of the worker.
    """
    _die_with(int(parent))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a person who stops the worker stops us by it
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    try:
        engine = _made(maker, msgspec.json.decode(arguments))
    except Exception as error:
        _tell_the_log(error, "the engine cannot be loaded")
        out.write(wire.packed(wire.Broken(-1, wire.failure_of(error))))
        out.close()
        return
    holder = Holder(engine, out)
    holder.tell(holder.ready())
    Thread(target=holder.report, name="reports", daemon=True).start()
    calls = ThreadPoolExecutor(CALLS, thread_name_prefix="calls")
    for ask in wire.asks(sys.stdin.buffer):
        calls.submit(holder.answer, ask)
    os._exit(0)  # whatever is being answered, nobody waits for it any more


def _made(maker: str, arguments: dict[str, Any]) -> Engine:
    module, _, name = maker.partition(":")
    make: Callable[..., Engine] = getattr(import_module(module), name)
    return make(**arguments)


def _tell_the_log(error: Exception, what: str) -> None:
    """Of an error that nobody foresaw, where it was; the worker tells of the others."""
    if not isinstance(error, SerenError):
        logging.getLogger(__name__).error(what, exc_info=error)


def _die_with(parent: int) -> None:
    """Asks the kernel to kill this process when the thread that started it ends, which lives as long as the worker does."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it was over before we asked
            os._exit(0)


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    main(*sys.argv[1:])
