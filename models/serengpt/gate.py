"""Who may pass while something is changed: many at once, or one alone.

Knows nothing about engines.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition


class Gate:
    """Lets callers through side by side, and whoever changes something through alone.

    Who wants to be alone waits for those inside, and those who come later wait for it: so it waits no longer than the calls
    that are under way.

    Example:
        >>> gate = Gate()
        >>> with gate.beside(), gate.beside():
        ...     gate.inside
        2
    """

    def __init__(self) -> None:
        self.inside = 0
        self._waiting = 0  # of those who want to be alone
        self._is_closed = False
        self._changed = Condition()

    @contextmanager
    def beside(self) -> Iterator[None]:
        """Beside others like this."""
        with self._changed:
            self._changed.wait_for(lambda: not self._waiting and not self._is_closed)
            self.inside += 1
        try:
            yield
        finally:
            with self._changed:
                self.inside -= 1
                self._changed.notify_all()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """While nobody else is inside."""
        with self._changed:
            self._waiting += 1
            try:
                self._changed.wait_for(lambda: not self.inside and not self._is_closed)
            finally:
                self._waiting -= 1
            self._is_closed = True
        try:
            yield
        finally:
            with self._changed:
                self._is_closed = False
                self._changed.notify_all()
