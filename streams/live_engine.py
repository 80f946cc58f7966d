"""An engine that follows a registry: whichever version serves there serves here, without a restart and without a lost request.

A change of `current.json` is noticed by a thread of its own, which loads the new version beside the one that serves. The two
change places between batches: a batch is answered by one version, and says so in its slates. The old one is closed when the
last call that it answers has come back. A version that does not load, or whose files or signature are not what they should be,
changes nothing but a line in the log and a count: what served goes on serving.

Knows nothing about runtimes.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from models.errors import SerenError
from models.registry import Registry
from models.serengpt.engine import ImagineRequest, Scored, ScoreRequest

if TYPE_CHECKING:
    from streams.engines import LoadedEngine

logger = logging.getLogger(__name__)

POLL_S = 2.0  # between two looks at the registry: a promotion is no matter of seconds, and a look reads 30 bytes


class _Serving:
    """A version at work."""

    def __init__(self, number: int, engine: LoadedEngine) -> None:
        self.number = number
        self.engine = engine
        self.calls = 0
        self.is_retired = False


class LiveEngine:
    """See `models.serengpt.engine.Engine`; the registry's current version answers.

    Args:
        registry: where versions are; its key is what they must be signed with.
        load: makes the engine of a checkpoint folder.
        poll_s: between two looks; 0: nobody looks but who calls `look`.

    Raises:
        CheckpointError: no version serves yet, or the one that does cannot be loaded.
    """

    def __init__(self, registry: Registry, load: Callable[[Path], LoadedEngine], *, poll_s: float = POLL_S) -> None:
        self._registry = registry
        self._load = load
        self._changed = threading.Condition()
        self._batches = 0
        self._next: _Serving | None = None
        self._refused: int | None = None  # the version that was tried last and did not load
        self.swaps = 0
        self.failed_swaps = 0
        self._serving = self._loaded(registry.current())
        self._closing = threading.Event()
        self._follower = threading.Thread(target=self._follow, args=(poll_s,), name="model-registry", daemon=True)
        if poll_s > 0:
            self._follower.start()

    @property
    def model_id(self) -> str:
        """Of the version that serves now; during a batch it does not change."""
        return self._serving.engine.model_id

    @property
    def prompt_version(self) -> int:
        """Of the version that serves now."""
        return self._serving.engine.prompt_version

    @property
    def runtime(self) -> str:
        """What it runs on."""
        return self._serving.engine.runtime

    @property
    def version(self) -> int:
        """The registry's number of the version that serves now."""
        return self._serving.number

    @contextmanager
    def batch(self) -> Iterator[None]:
        """While it is open no version changes. A batch that would begin while a new one waits lets it in first."""
        with self._changed:
            self._changed.wait_for(lambda: self._next is None or not self._batches)
            self._swap()
            self._batches += 1
        try:
            yield
        finally:
            with self._changed:
                self._batches -= 1
                self._swap()
                self._changed.notify_all()

    def imagine(self, requests: Sequence[ImagineRequest]) -> list[tuple[str, ...] | SerenError]:
        """See `Engine.imagine`."""
        with self._in_use() as engine:
            return engine.imagine(requests)

    def score(self, requests: Sequence[ScoreRequest]) -> list[tuple[Scored, ...] | SerenError]:
        """See `Engine.score`."""
        with self._in_use() as engine:
            return engine.score(requests)

    def look(self) -> None:
        """Loads the version that the registry names now, if it is another one; it serves from the next batch on."""
        current = self._registry.pointer().current
        with self._changed:
            coming = self._next or self._serving
            if current is None or current in (coming.number, self._refused):
                return
        try:
            found = self._loaded(current)
        except SerenError:
            self._refused = current
            self.failed_swaps += 1
            raise
        self._refused = None
        with self._changed:
            passed_over, self._next = self._next, found
            self._swap()
        if passed_over is not None:
            passed_over.engine.close()

    def close(self) -> None:
        """Ends the follower and the engines; answers no more."""
        self._closing.set()
        if self._follower.is_alive():
            self._follower.join()
        with self._changed:
            engines = [one.engine for one in (self._serving, self._next) if one is not None]
        for engine in engines:
            engine.close()

    def _follow(self, poll_s: float) -> None:
        while not self._closing.wait(poll_s):
            try:
                self.look()
            except Exception:  # whatever it is, the version that serves is well
                logger.exception("the registry's new version cannot serve; version %d goes on", self.version)

    def _loaded(self, number: int) -> _Serving:
        self._registry.verify(number)
        engine = self._load(self._registry.checkpoint(number))
        logger.info("version %d is loaded: %s", number, engine.model_id)
        return _Serving(number, engine)

    def _swap(self) -> None:
        """Lets the version that waits serve, if no batch is open. Needs the lock."""
        if self._next is None or self._batches:
            return
        old, self._serving, self._next = self._serving, self._next, None
        self.swaps += 1
        old.is_retired = True
        if not old.calls:
            old.engine.close()
        self._changed.notify_all()

    @contextmanager
    def _in_use(self) -> Iterator[LoadedEngine]:
        with self._changed:
            serving = self._serving
            serving.calls += 1
        try:
            yield serving.engine
        finally:
            with self._changed:
                serving.calls -= 1
                is_over = serving.is_retired and not serving.calls
            if is_over:
                serving.engine.close()
