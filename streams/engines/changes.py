"""Which version of the model serves, and what became of each change of it: told by the engine, read by metrics and health.

Knows nothing about registries or engines.
"""

from __future__ import annotations

from collections import Counter, deque
from typing import Literal, NamedTuple, get_args

Outcome = Literal["changed", "refused", "failed"]
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
KEPT = 20  # changes that are told: a month's promotions


class Change(NamedTuple):
    """One change, tried: `changed`; `refused`: the version is not what its record says; `failed`: it does not load."""

    at_ms: int
    before: int
    after: int
    outcome: Outcome
    why: str = ""


class ModelChanges:
    """Of one worker. One thread notes, any may read.

    Example:
        >>> changes = ModelChanges()
        >>> changes.serves("serengpt@1b2c", version=3)
        >>> changes.note(Change(5_000, before=3, after=4, outcome="refused", why="not signed"))
        >>> changes.version, changes.counts["refused"], changes.told()["changes"][0]["why"]
        (3, 1, 'not signed')
    """

    def __init__(self) -> None:
        self.model_id = ""
        self.version: int | None = None  # of a registry
        self.counts: Counter[Outcome] = Counter()
        self._last: deque[Change] = deque(maxlen=KEPT)

    def serves(self, model_id: str, *, version: int | None = None) -> None:
        """This model answers from now on."""
        self.model_id, self.version = model_id, version

    def note(self, change: Change) -> None:
        """A change was tried."""
        self.counts[change.outcome] += 1
        self._last.append(change)

    @property
    def last(self) -> Change | None:
        """The newest one that was tried."""
        return self._last[-1] if self._last else None

    def told(self) -> dict[str, object]:
        """As JSON values, the newest change first."""
        newest = [change._asdict() for change in reversed(list(self._last))]
        return {"model_id": self.model_id, "version": self.version, "changes": newest}
