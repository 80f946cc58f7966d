"""The engine as the worker sees it, whichever process is behind it: the watchdog.

A process that ends, or that has work and moves nothing, is replaced; the calls that it had fail with `EngineError`
(`EngineHung` for a hang), and whoever made them asks again: the same question has the same answer, so nothing is lost and
nothing is doubled. The next call waits for the new process, a little. One that cannot be started any more is `EngineDead`.

Knows nothing about requests or tiers.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.errors import EngineDead, EngineError, EngineHung, EngineOverloaded, SerenError
from models.serengpt.engine import ImagineRequest, Scored, ScoreRequest
from streams.engines.hosting import wire
from streams.engines.hosting.life import Life

logger = logging.getLogger(__name__)

_GOODBYE_S = 5.0  # for the thread that started it, after its process has ended
_LOOK_S = 1.0  # between two looks for a process that may have ended before we saw it


@dataclass(frozen=True, kw_only=True)
class HostPolicy:
    """How long is too long, in seconds."""

    # With work, and not one token or answer made: the longest single step is a prefill of a full batch on a slow CPU.
    stall_s: float = 60.0
    start_s: float = 900.0  # until it is loaded: a large model is read from a network disk and compiled
    # A call waits for a process that is being started anew for so long, which is enough for a small model; then it is told to
    # come back, so that a large one holds up nobody who can be answered without it.
    wait_s: float = 5.0


class HostedEngine:
    """See `models.serengpt.engine.Engine`.

    Args:
        maker: `module:function` that makes the engine in its process.
        arguments: of that function; JSON values. `model` is the checkpoint's folder, where the engine can swap.
        policy: bounds.
        on_restart: told why a process was replaced: `hung`, `lost` (it ended), `dead` (it said that it cannot go on).

    Raises:
        SerenError: what the maker raised, for instance `CheckpointError`.
        EngineDead: the process ended before it was ready, or was not ready in time.
    """

    def __init__(
        self,
        maker: str,
        arguments: Mapping[str, Any],
        *,
        policy: HostPolicy,
        on_restart: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._maker = maker
        self._arguments = dict(arguments)
        self._policy = policy
        self._on_restart = on_restart
        self._changed = threading.Condition()
        self._life: Life | None = None
        self._ready: wire.Ready | None = None
        self._is_wanted = False
        self._is_closed = False
        # The kernel kills the process with the thread that started it, so one thread starts all of them and stays.
        self._keeper = threading.Thread(target=self._keep, name="engine-host", daemon=True)
        self._keeper.start()
        try:
            self._ready = self._living()[1]
        except BaseException:
            self.close()
            raise

    @property
    def model_id(self) -> str:
        """Which weights answer."""
        return self._told.model_id

    @property
    def prompt_version(self) -> int:
        """Which layout they read."""
        return self._told.prompt_version

    @property
    def runtime(self) -> str:
        """What it runs on."""
        return f"{self._told.runtime}, in a process of its own"

    @property
    def _told(self) -> wire.Ready:
        if self._ready is None:
            message = "the engine was never ready"
            raise EngineDead(message)
        return self._ready

    @property
    def pid(self) -> int | None:
        """Of the process behind it; None while there is none."""
        life = self._life
        return None if life is None else life.pid

    def imagine(self, requests: Sequence[ImagineRequest]) -> list[tuple[str, ...] | SerenError]:
        """See `Engine.imagine`."""
        found: list[tuple[str, ...] | SerenError] = self._ask(wire.Imagine, requests)
        return found

    def score(self, requests: Sequence[ScoreRequest]) -> list[tuple[Scored, ...] | SerenError]:
        """See `Engine.score`."""
        found: list[tuple[Scored, ...] | SerenError] = self._ask(wire.Score, requests)
        return found

    @property
    def can_swap(self) -> bool:
        """Whether the engine in the process has a `swap`; else `swap` is an error."""
        return self._told.can_swap

    def swap(self, folder: Path) -> None:
        """See `Swappable.swap`: the engine in the process changes its checkpoint, and no second process is started.

        A process that ends meanwhile, or takes longer than to start, is replaced, by one with the checkpoint before.

        Raises:
            SerenError: the change failed; what answered goes on, or is started anew.
        """
        life, _ = self._living()
        self._ready = life.swap(str(folder), within_s=self._policy.start_s)
        self._arguments["model"] = str(folder)  # of whatever process is started from now on

    def close(self) -> None:
        """Ends the process; the engine answers no more."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
            life = self._life
        if life is not None:
            life.close()
        self._keeper.join(_GOODBYE_S)

    def _ask(self, kind: type[wire.Imagine] | type[wire.Score], requests: Sequence[Any]) -> Any:
        life, _ = self._living()
        try:
            return life.ask(kind, requests)
        except EngineDead as error:
            life.kill(error)
            message = f"{error}; it is started anew"
            raise EngineError(message) from error

    def _living(self) -> tuple[Life, wire.Ready]:
        """The process that answers, once it is ready; started where there is none."""
        life = self._wanted_life()
        wait_s = self._policy.start_s if self._ready is None else self._policy.wait_s
        try:
            return life, life.ready.result(timeout=wait_s)
        except TimeoutError:
            if life.age_s < self._policy.start_s:
                message = "the engine is being started anew"
                raise EngineOverloaded(message, retry_after_s=wait_s) from None
            dead = EngineDead(f"the engine was not ready within {self._policy.start_s:g} s")
            life.kill(dead)
            raise dead from None
        except SerenError as error:
            if self._ready is None and not isinstance(error, EngineError):
                raise  # the first start: a wrong folder or a missing package is for whoever configures us
            message = f"the engine cannot be started: {error}"
            raise EngineDead(message) from error

    def _wanted_life(self) -> Life:
        with self._changed:
            while not self._is_closed:
                self._is_wanted = True
                self._changed.notify_all()
                if self._changed.wait_for(self._has_life, timeout=_LOOK_S) and self._life is not None:
                    return self._life
        message = "the engine is closed"
        raise EngineDead(message)

    def _has_life(self) -> bool:
        return self._life is not None and self._life.end is None

    def _keep(self) -> None:
        """One process after the other, each when it is wanted."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._is_wanted or self._is_closed)
                if self._is_closed:
                    return
                self._is_wanted = False
                life = self._life = Life(self._maker, self._arguments, stall_s=self._policy.stall_s)
                self._changed.notify_all()
            life.read()
            with self._changed:
                self._life = None
                is_over = self._is_closed
            if not is_over and life.end is not None:
                logger.error("%s", life.end)
                self._on_restart(_why(life.end))


def _why(end: EngineError) -> str:
    return "hung" if isinstance(end, EngineHung) else "dead" if isinstance(end, EngineDead) else "lost"
