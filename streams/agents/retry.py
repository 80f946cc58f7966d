"""Trying again, for errors that say that this is worth while; nothing else is retried, and nothing is swallowed."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from models.errors import SerenError

logger = logging.getLogger(__name__)

_T = TypeVar("_T")
_FIRST_S = 0.05
_LONGEST_S = 5.0  # a store that comes back is noticed within this; a store that stays away is asked 12 to 24 times a minute
_LEAST_SHARE = 0.5  # of each wait, drawn anew: workers that lost the same server do not all come back to it at once

dice = random.Random()  # noqa: S311  # nothing secret; a simulation seeds it


async def retrying(
    operation: Callable[[], Awaitable[_T]],
    *,
    what: str,
    on_retry: Callable[[SerenError], None] | None = None,
    within_s: float | None = None,
) -> _T:
    """The operation's result, after as many tries as it takes.

    Args:
        operation: makes one try; it must bear being repeated.
        what: what is being tried, for the log.
        on_retry: called with the error before each wait, to count.
        within_s: give up after this long and raise the last error; None tries until cancelled.

    Raises:
        SerenError: not retriable, or the time is up.
    """
    delay_s = _FIRST_S
    deadline = None if within_s is None else asyncio.get_running_loop().time() + within_s
    while True:
        try:
            return await operation()
        except SerenError as error:
            if not error.retriable or (deadline is not None and asyncio.get_running_loop().time() + delay_s > deadline):
                raise
            wait_s = delay_s * dice.uniform(_LEAST_SHARE, 1.0)
            logger.warning("%s: %s; trying again in %.2f s", what, error, wait_s)
            if on_retry is not None:
                on_retry(error)
        await asyncio.sleep(wait_s)
        delay_s = min(delay_s * 2, _LONGEST_S)
