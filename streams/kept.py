"""Small things that a checkpoint writes beside the profiles, kept until Redis cannot lose them any more.

Knows nothing about what they are, nor when Redis loses what.
"""

from __future__ import annotations

from typing import Generic, TypeVar

T = TypeVar("T")


class Kept(Generic[T]):
    """Values by name, each with the count of the checkpoint that wrote it.

    Attributes:
        pending: what the next checkpoint has to write.

    Example:
        >>> kept = Kept[int]()
        >>> kept.put("a", 7)
        >>> kept.settled(1)
        >>> (kept.pending, kept.get("a"))
        ({}, 7)
        >>> kept.restore()
        >>> kept.pending
        {'a': 7}
        >>> kept.settled(2)
        >>> kept.let_go(2)
        >>> kept.get("a")
    """

    def __init__(self) -> None:
        self.pending: dict[str, T] = {}
        self._written: dict[str, tuple[int, T]] = {}

    def put(self, name: str, value: T) -> None:
        """Has the next checkpoint write it."""
        self._written.pop(name, None)
        self.pending[name] = value

    def get(self, name: str) -> T | None:
        """The value, whether or not it is written yet; None when it is not kept here."""
        written = self._written.get(name)
        return self.pending.get(name) if written is None else written[1]

    def settled(self, number: int) -> None:
        """Checkpoint `number` has written all that was pending."""
        self._written.update((name, (number, value)) for name, value in self.pending.items())
        self.pending.clear()

    def restore(self) -> None:
        """What was written may be lost: the next checkpoint writes it again."""
        self.pending = {name: value for name, (_, value) in self._written.items()} | self.pending
        self._written.clear()

    def let_go(self, durable: int) -> None:
        """Forgets what checkpoints up to `durable` have written."""
        for name in [name for name, (number, _) in self._written.items() if number <= durable]:
            del self._written[name]
