"""The clock as the workers see it: the standard library's `time` module, or whatever stands for it.

Knows nothing about event time, which comes with the records.
"""

from __future__ import annotations

from typing import Protocol


class Clock(Protocol):
    """Two clocks, in seconds; the module `time` is one."""

    def time(self) -> float:
        """Since 1970, as the machine believes."""

    def monotonic(self) -> float:
        """Since some moment, never going back."""
