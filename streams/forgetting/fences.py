"""Up to where users were forgotten, so that no question from before is answered.

Bounded, and dies with the process. Knows nothing about what is asked of a user.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable

Fence = tuple[int, int]  # epoch and offset


class Fences:
    """The newest fence of each, of as many as are remembered.

    Args:
        remembered_count: those who were forgotten last.

    Example:
        >>> fences = Fences(remembered_count=1)
        >>> fences.put("u", (1, 7))
        >>> fences.cover("u", (1, 7)), fences.cover("u", (2, 0)), fences.cover("v", (0, 0))
        (True, False, False)
    """

    def __init__(self, *, remembered_count: int) -> None:
        self._remembered_count = remembered_count
        self._fences: OrderedDict[Hashable, Fence] = OrderedDict()

    def put(self, key: Hashable, fence: Fence) -> None:
        """Whatever is at or below the fence is of somebody who was forgotten."""
        self._fences[key] = max(fence, self._fences.pop(key, fence))
        if len(self._fences) > self._remembered_count:
            self._fences.popitem(last=False)

    def cover(self, key: Hashable, fence: Fence) -> bool:
        """Whether what has this fence is from before."""
        covered = self._fences.get(key)
        return covered is not None and fence <= covered
