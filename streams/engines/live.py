"""An engine that follows a registry: whichever version serves there serves here, without a restart and without a lost request.

A change of `current.json` is noticed by a thread of its own, which loads the new version beside the one that serves; then the
two change places. A batch that is open keeps the version that it began with, so its titles and scores are of one model, and
its slates name it; even one that hangs holds up nobody else. The old version is closed behind the last call that it answers. A
version that does not load, or whose files or signature are not what they should be,
changes nothing but a line in the log and a count: what served goes on serving.

An engine with a `swap` of its own, as one that fills its GPU, is not loaded twice: it changes its weights while no batch is
open. One in a process of its own has the swap that the engine in there has.

Knows nothing about runtimes.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, cast

from models.errors import CheckpointError, EngineOverloaded, SerenError, brief
from models.registry import Registry
from models.serengpt.engine import ImagineRequest, Scored, ScoreRequest, Swappable
from streams.engines.changes import Change, ModelChanges, Outcome

if TYPE_CHECKING:
    from streams.engines.named import LoadedEngine

logger = logging.getLogger(__name__)

QUIET_S = (
    60.0  # a swap inside an engine waits so long for open batches, and holds new ones up meanwhile; a batch takes seconds
)
POLL_S = 2.0  # between two looks at the registry: a promotion is no matter of seconds, and a look reads 30 bytes


class _Refused(CheckpointError):
    """A version that is not what its record says, or is not signed."""


class _Serving:
    """A version at work."""

    def __init__(self, number: int, engine: LoadedEngine) -> None:
        self.number = number
        self.engine = engine
        self.calls = 0  # and open batches
        self.is_retired = False


_pinned: ContextVar[tuple[LiveEngine, _Serving] | None] = ContextVar("_pinned", default=None)


class LiveEngine:
    """See `models.serengpt.engine.Engine`; the registry's current version answers.

    Args:
        registry: where versions are; its key is what they must be signed with.
        load: makes the engine of a checkpoint folder.
        poll_s: between two looks; 0: nobody looks but who calls `look`.
        changes: told what serves, and what became of each change.
        clock: of when.

    Raises:
        CheckpointError: no version serves yet, or the one that does cannot be loaded.
    """

    def __init__(
        self,
        registry: Registry,
        load: Callable[[Path], LoadedEngine],
        *,
        poll_s: float = POLL_S,
        changes: ModelChanges | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._registry = registry
        self._load = load
        self._changed = threading.Condition()
        self._refused: int | None = None  # the version that was tried last and did not load
        self._is_swapping = False  # inside an engine that cannot be loaded twice
        self.changes = ModelChanges() if changes is None else changes
        self._clock = clock
        number = registry.verify(registry.current()).number
        self._serving = self._loaded(number)
        self.changes.serves(self._serving.engine.model_id, version=self._serving.number)
        self._closing = threading.Event()
        self._follower = threading.Thread(target=self._follow, args=(poll_s,), name="model-registry", daemon=True)
        if poll_s > 0:
            self._follower.start()

    @property
    def model_id(self) -> str:
        """Of the version that serves now; inside a batch, of the batch's."""
        return self._now().engine.model_id

    @property
    def prompt_version(self) -> int:
        """As `model_id`."""
        return self._now().engine.prompt_version

    @property
    def runtime(self) -> str:
        """What it runs on."""
        return self._now().engine.runtime

    @property
    def version(self) -> int:
        """The registry's number of the version that serves now."""
        return self._now().number

    @contextmanager
    def batch(self) -> Iterator[None]:
        """What is asked while it is open is answered by one version: the one that served when it was opened.

        It binds the calls of the thread that opened it, whatever lies between it and this engine.
        """
        with self._using(self._now()) as serving:
            token = _pinned.set((self, serving))
            try:
                yield
            finally:
                _pinned.reset(token)

    def imagine(self, requests: Sequence[ImagineRequest]) -> list[tuple[str, ...] | SerenError]:
        """See `Engine.imagine`."""
        with self._using(self._now()) as serving:
            return serving.engine.imagine(requests)

    def score(self, requests: Sequence[ScoreRequest]) -> list[tuple[Scored, ...] | SerenError]:
        """See `Engine.score`."""
        with self._using(self._now()) as serving:
            return serving.engine.score(requests)

    def look(self) -> None:
        """Loads the version that the registry names now, if it is another one; batches that begin from then on are its own.

        Raises:
            SerenError: it does not verify, or does not load. It is not tried again until the registry names another.
        """
        current = self._registry.pointer().current
        if current is None or current in (self._serving.number, self._refused):
            return
        before = self._serving.number
        try:
            self._verify(current)
            is_done = self._swapped_inside(current) if self._swaps_inside() else self._replaced(current)
        except EngineOverloaded as error:  # its process is being started anew: the next look tries again
            logger.warning("version %d waits: %s", current, error)
            return
        except Exception as error:
            self._refused = current
            outcome: Outcome = "refused" if isinstance(error, _Refused) else "failed"
            self._note(before, current, outcome, why=str(error) or type(error).__name__)
            raise
        if is_done:
            self._refused = None
            self.changes.serves(self._serving.engine.model_id, version=current)
            self._note(before, current, "changed")

    def _note(self, before: int, after: int, outcome: Outcome, why: str = "") -> None:
        self.changes.note(Change(int(self._clock() * 1000), before, after, outcome, brief(why)))

    def _verify(self, number: int) -> None:
        try:
            self._registry.verify(number)
        except SerenError as error:
            raise _Refused(str(error)) from error

    def _replaced(self, number: int) -> bool:
        """Loads a version beside the one that serves, which is closed behind its last call."""
        found = self._loaded(number)
        with self._changed:
            old, self._serving = self._serving, found
            old.is_retired, is_over = True, not old.calls
            self._changed.notify_all()
        if is_over:
            old.engine.close()
        return True

    def _swaps_inside(self) -> bool:
        engine = self._serving.engine
        return bool(getattr(engine, "can_swap", hasattr(engine, "swap")))

    def close(self) -> None:
        """Ends the follower and the engine; answers no more."""
        self._closing.set()
        if self._follower.is_alive():
            self._follower.join()
        self._serving.engine.close()

    def _follow(self, poll_s: float) -> None:
        while not self._closing.wait(poll_s):
            try:
                self.look()
            except Exception:  # whatever it is, the version that serves is well
                logger.exception("the registry's new version cannot serve; version %d goes on", self.version)

    def _loaded(self, number: int) -> _Serving:
        engine = self._load(self._registry.checkpoint(number))
        logger.info("version %d is loaded: %s", number, engine.model_id)
        return _Serving(number, engine)

    def _swapped_inside(self, number: int) -> bool:
        """For an engine that has no room for two: it changes between batches, and those that come meanwhile wait.

        Returns:
            False: no moment was free, and the next look tries again.
        """
        engine = cast("Swappable", self._serving.engine)
        with self._changed:
            self._is_swapping = True
            try:
                if not self._changed.wait_for(lambda: not self._serving.calls, timeout=QUIET_S):
                    logger.warning("version %d waits: for %.0f s no moment was free of calls", number, QUIET_S)
                    return False
                engine.swap(self._registry.checkpoint(number))
                self._serving.number = number
                return True
            finally:
                self._is_swapping = False
                self._changed.notify_all()

    def _now(self) -> _Serving:
        """The version of this thread's batch, else the one that serves."""
        pinned = _pinned.get()
        return pinned[1] if pinned is not None and pinned[0] is self else self._serving

    @contextmanager
    def _using(self, serving: _Serving) -> Iterator[_Serving]:
        """Keeps a version open, and closes it behind the last call when it serves no longer."""
        with self._changed:
            if _pinned.get() is None:  # what belongs to an open batch must end before a swap can begin
                self._changed.wait_for(lambda: not self._is_swapping)
            serving = self._serving if serving.is_retired and not serving.calls else serving  # it went while we reached for it
            serving.calls += 1
        try:
            yield serving
        finally:
            with self._changed:
                serving.calls -= 1
                self._changed.notify_all()
                is_over = serving.is_retired and not serving.calls
            if is_over:
                serving.engine.close()
