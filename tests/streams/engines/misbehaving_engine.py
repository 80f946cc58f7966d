"""The real embedded engine, which does what it is told by a folder of notes: a file named after what is to go wrong.

A note is taken away when it has been followed, unless it says `always`. Runs in the engine's own process, so that what goes
wrong there goes wrong as it would: the process dies, or hangs with the interpreter's lock held, or has no memory.
"""

from __future__ import annotations

import ctypes
import math
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from models.errors import EngineDead, SerenError
from models.pretrained import serengpt_folder
from models.serengpt.embedded import EmbeddedEngine, load_engine
from models.serengpt.engine import ImagineRequest, Scored, ScoreRequest

KILLED, HANGS, NO_MEMORY, DEAD, NAN = "killed", "hangs", "no memory", "dead", "nan"
NO_START, SLOW_START = "no start", "slow start"


def note(folder: Path, what: str, *, always: bool = False) -> Path:
    """Tells the engine what is to go wrong with the next call, or with all of them."""
    path = folder / what
    path.write_text("always" if always else "once")
    return path


def make(folder: str) -> Misbehaving:
    """The engine; `folder` holds the notes."""
    if _noted(Path(folder), NO_START):
        os.kill(os.getpid(), signal.SIGKILL)
    while _noted(Path(folder), SLOW_START):
        time.sleep(0.01)
    return Misbehaving(load_engine(serengpt_folder(), threads=1), Path(folder))


class Misbehaving:
    """See `models.serengpt.engine.Engine`."""

    def __init__(self, engine: EmbeddedEngine, folder: Path) -> None:
        self.model_id = engine.model_id
        self.prompt_version = engine.prompt_version
        self._engine = engine
        self._folder = folder

    @property
    def moved(self) -> int:
        return self._engine.moved

    def imagine(self, requests: Sequence[ImagineRequest]) -> list[tuple[str, ...] | SerenError]:
        (self._folder / "asked").open("a").write(f"{len(requests)}\n")
        half = self._engine.imagine(requests[: len(requests) // 2])
        if _noted(self._folder, KILLED):
            os.kill(os.getpid(), signal.SIGKILL)
        if _noted(self._folder, HANGS):
            ctypes.PyDLL(None).sleep(100_000)  # holds the interpreter's lock: no thread of this process goes on
        if _noted(self._folder, NO_MEMORY):
            raise MemoryError("bad_alloc")
        if _noted(self._folder, DEAD):
            raise EngineDead("device lost")
        return half + self._engine.imagine(requests[len(requests) // 2 :])

    def score(self, requests: Sequence[ScoreRequest]) -> list[tuple[Scored, ...] | SerenError]:
        outcomes = self._engine.score(requests)
        return [_nan(one) for one in outcomes] if _noted(self._folder, NAN) else outcomes


def _noted(folder: Path, what: str) -> bool:
    path = folder / what
    if not path.exists():
        return False
    if path.read_text() == "once":
        path.unlink()
    return True


def _nan(outcome: Any) -> Any:
    return (
        outcome
        if isinstance(outcome, SerenError)
        else tuple(msgspec.structs.replace(one, logprob=math.nan) for one in outcome)
    )
