"""Remembers what titles are worth when nothing is known of the user: the same for everybody, and asked for again and again.

Knows nothing about runtimes or prompts.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from threading import Lock

Title = tuple[int, ...]


class PriorCache:
    """Prior log-probabilities by title, least recently used first out.

    Args:
        compute: the log-probabilities of titles, each independent of those beside it.
        capacity: titles kept.

    Example:
        >>> cache = PriorCache(lambda titles: [-1.0 * len(title) for title in titles], capacity=2)
        >>> cache.of([(5,), (5, 6)])
        {(5,): -1.0, (5, 6): -2.0}
    """

    def __init__(self, compute: Callable[[Sequence[Title]], list[float]], *, capacity: int) -> None:
        self._compute = compute
        self._capacity = capacity
        self._kept: OrderedDict[Title, float] = OrderedDict()
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._kept)

    def of(self, titles: Sequence[Title]) -> dict[Title, float]:
        """The priors of titles; those that are not known are computed together, outside the lock."""
        with self._lock:
            known = {title: self._kept[title] for title in titles if title in self._kept}
        missing = [title for title in titles if title not in known]
        known.update(zip(missing, self._compute(missing), strict=True) if missing else ())
        with self._lock:
            for title in titles:
                self._kept[title] = known[title]
                self._kept.move_to_end(title)
            while len(self._kept) > self._capacity:
                self._kept.popitem(last=False)
        return known
