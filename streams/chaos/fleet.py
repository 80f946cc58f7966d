"""Worker processes in named slots, and the supervisor that starts again whoever ended.

Knows nothing about what a worker does.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from streams.chaos.servers import end
from streams.demo.servers import start_process

STOP_S = 30.0  # what a worker may take for a clean end (infra/README.md)
_RESTART_S = 1.0  # a supervisor starts a process again that ended on its own
_TAIL_BYTES = 60_000
# The last line of a traceback: the error's class, with its module where that is not built in, and what it says.
_ERROR = re.compile(r"^((?:[a-z_]+\.)*[A-Z]\w+)(?::|$)", re.MULTILINE)
_GENERATION = re.compile(rb"\(generation (\d+)\)")


@dataclass
class Slot:
    """One worker and all its lives. `instance_id` makes it a static member of its group."""

    name: str
    kind: str
    log: Path
    instance_id: str = ""
    process: subprocess.Popen[bytes] | None = None
    started_s: float = 0.0
    frozen: bool = False
    leaving: bool = False  # it was asked to end
    restart_s: float | None = 0.0  # when it is started again; None: never
    tail_at: int = 0  # where this life's part of the log begins

    @property
    def running(self) -> bool:
        """Whether it can be killed, frozen or stopped now."""
        return self.process is not None and not self.frozen and not self.leaving


@dataclass(frozen=True)
class Death:
    """A worker that ended though nobody had asked it to."""

    slot: str
    code: int
    error: str  # class of the error, as its log names it


@dataclass
class Fleet:
    """The workers of a run.

    Args:
        folder: for their logs.
        config: what they run with.
    """

    folder: Path
    config: Path
    slots: dict[str, Slot] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    deaths: list[Death] = field(default_factory=list)
    peak_rss_bytes: Counter[str] = field(default_factory=Counter)  # by kind
    _made: int = 0

    def add(self, kind: str, *, static: bool = False) -> Slot:
        """A new slot, whose worker the next look starts."""
        self._made += 1
        name = f"{kind}-{self._made}"
        slot = Slot(name, kind, self.folder / f"{name}.log", instance_id=name if static else "")
        self.slots[name] = slot
        return slot

    def of(self, kind: str) -> list[Slot]:
        """The slots of a kind."""
        return [slot for slot in self.slots.values() if slot.kind == kind]

    def choose(self, kind: str, share: float) -> Slot | None:
        """One that runs, by chance; two times in three the one that has run for longest, which has most to lose."""
        running = sorted((slot for slot in self.of(kind) if slot.running), key=lambda slot: slot.started_s)
        if not running:
            return None
        return running[0] if share < 2 / 3 else running[int((share - 2 / 3) * 3 * len(running))]

    def look(self) -> None:
        """Starts whoever is due, and notes whoever ended on its own; called about ten times a second."""
        for slot in self.slots.values():
            process = slot.process
            if process is None:
                if slot.restart_s is not None and time.monotonic() >= slot.restart_s:
                    self._start(slot)
            elif process.poll() is not None and not slot.leaving:
                self._note_death(slot, process.returncode)
                self._gone(slot, restart_after_s=_RESTART_S)
            else:
                self.peak_rss_bytes[slot.kind] = max(self.peak_rss_bytes[slot.kind], rss_bytes(process.pid))

    def kill(self, slot: Slot, *, restart_after_s: float) -> None:
        """As kill -9 does."""
        if slot.process is not None:
            slot.process.kill()
            slot.process.wait()
            self.counts[f"kill -9 of a {slot.kind} worker"] += 1
        self._gone(slot, restart_after_s=restart_after_s)

    async def stop(self, slot: Slot, *, restart_after_s: float | None) -> None:
        """SIGTERM; one that does not end in time is killed, and counted."""
        if slot.process is None:
            return
        slot.leaving = True
        self.counts["SIGTERM"] += 1
        if not await end(slot.process, within_s=STOP_S):
            self.counts["SIGTERM that took too long"] += 1
        self._gone(slot, restart_after_s=restart_after_s)

    async def freeze(self, slot: Slot, *, lasting_s: float) -> None:
        """SIGSTOP, and SIGCONT later: the process knows nothing of the time between."""
        process = slot.process
        if process is None:
            return
        slot.frozen = True
        process.send_signal(signal.SIGSTOP)
        self.counts["SIGSTOP and SIGCONT"] += 1
        try:
            await asyncio.sleep(lasting_s)
        finally:
            process.send_signal(signal.SIGCONT)
            slot.frozen = False

    async def stop_all(self) -> None:
        """Asks every worker to end and waits."""
        await asyncio.gather(*(self.stop(slot, restart_after_s=None) for slot in self.slots.values()))

    def kill_all(self) -> None:
        """Leaves nothing behind."""
        for slot in self.slots.values():
            if slot.process is not None:
                slot.process.kill()
                slot.process.wait()
                slot.process = None

    def generation_of(self, kind: str) -> int:
        """The newest generation of the kind's group that a log names: how often it was rebalanced."""
        return max((generation(log) for log in self.folder.glob(f"{kind}-*.log")), default=0)

    # ------------------------------------------------------------------ within

    def _start(self, slot: Slot) -> None:
        slot.tail_at = slot.log.stat().st_size if slot.log.exists() else 0
        slot.started_s = time.monotonic()
        slot.leaving = slot.frozen = False
        variables = {"SEREN_KAFKA_INSTANCE_ID": slot.instance_id} if slot.instance_id else {}
        command = [
            *(sys.executable, "-m", "streams", "worker", slot.kind),
            *("--config", str(self.config), "--log-level", "info"),
        ]
        slot.process = start_process(command, slot.log, variables)
        self.counts[f"starts of a {slot.kind} worker"] += 1

    def _gone(self, slot: Slot, *, restart_after_s: float | None) -> None:
        slot.process, slot.leaving = None, False
        if slot.restart_s is not None:
            slot.restart_s = None if restart_after_s is None else time.monotonic() + restart_after_s

    def _note_death(self, slot: Slot, code: int) -> None:
        with slot.log.open("rb") as stream:
            stream.seek(max(slot.tail_at, slot.log.stat().st_size - _TAIL_BYTES))
            said = stream.read().decode(errors="replace")
        named = _ERROR.findall(said)
        self.deaths.append(Death(slot.name, code, named[-1] if named else "no error in its log"))


def rss_bytes(pid: int) -> int:
    """Resident memory of a process; 0 when it is gone."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as stream:  # ten times a second for every process
            return int(stream.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0


def generation(log: Path) -> int:
    """The newest generation of its group that a worker's log names; 0 without one."""
    if not log.exists():
        return 0
    return max((int(found) for found in _GENERATION.findall(log.read_bytes())), default=0)


def take_overs(logs: Iterable[Path]) -> int:
    """How often a worker has taken a partition over, by the workers' logs."""
    return sum(log.read_bytes().count(b" is ours: epoch ") for log in logs if log.exists())
