"""One call of an engine, with the check that it answered each of what it was asked. Knows nothing about requests' contents."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from models.errors import EngineError, SerenError

Ask = TypeVar("Ask")
Reply = TypeVar("Reply")


def ask(call: Callable[[Sequence[Ask]], list[Reply | SerenError]], asks: Sequence[Ask]) -> list[Reply | SerenError]:
    """The replies, in order; an engine is not called for nothing.

    Raises:
        EngineError: there are not as many replies as requests.
    """
    if not asks:
        return []
    replies = call(asks)
    if len(replies) != len(asks):
        message = f"engine: {len(replies)} replies to {len(asks)} requests; must be one each"
        raise EngineError(message)
    return replies
