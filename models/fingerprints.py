"""Short names for long ones."""

from __future__ import annotations

from zlib import crc32


def fingerprint(text: str) -> int:
    """A stable 32-bit name for a category, brand, seller or id; the same in every process and release.

    Python's own `hash` is salted per process, so it can be in no record that outlives one.

    >>> fingerprint("t-light holder")
    2225517691
    """
    return crc32(text.encode())
