"""The real embedded engine with a swap of its own, as one that fills its device has: for tests of what stands around it.

A version whose checkpoint holds a file `kills` ends the process in the middle of the swap, one with `hangs` never ends it.
"""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

from models.serengpt import embedded
from models.serengpt.checkpoint import read_checkpoint


class Swapping(embedded.EmbeddedEngine):
    """Holds one checkpoint at a time."""

    def swap(self, folder: Path) -> None:
        if (folder / "kills").exists():
            os.kill(os.getpid(), signal.SIGKILL)
        if (folder / "hangs").exists():
            threading.Event().wait()
        self.__init__(read_checkpoint(folder))  # type: ignore[misc]


def make(model: str, log: str) -> Swapping:
    """The engine of a folder; `log` gets a line for every process."""
    with Path(log).open("a") as file:
        file.write(f"{Path(model).name}\n")
    return Swapping(read_checkpoint(Path(model)))
