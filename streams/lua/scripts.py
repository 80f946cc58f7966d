"""The one way seren runs Lua in Redis: by digest, many calls per round trip, one key slot per call.

A script that Redis has forgotten (restart, failover, SCRIPT FLUSH) is loaded again and only its own calls are repeated.
Redis's errors are translated here, so that callers know only `StoreError` and its retriable `StoreUnavailable`.

Knows nothing about keys, slates or profiles.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.resources import files
from typing import Any

from redis import exceptions
from redis.asyncio import Redis

from models.errors import StoreError, StoreUnavailable

# Calls per round trip. One call carries or returns up to about 5 KB, so this bounds a reply to some 2.5 MB; at half of it the
# throughput on loopback is the same, at twice it only latency grows.
CALLS_PER_ROUND_TRIP = 500

Argument = str | bytes | int

# An AuthenticationError is a ConnectionError by class, but no retry cures a wrong password.
_FINAL = (exceptions.AuthenticationError, exceptions.AuthorizationError)
_AWAY = (
    exceptions.ConnectionError,
    exceptions.TimeoutError,
    exceptions.ReadOnlyError,
    exceptions.TryAgainError,
    exceptions.ClusterDownError,
    exceptions.NoScriptError,  # forgotten again while it was being loaded: Redis has just restarted
    OSError,
)
# Redis is up but cannot answer now: a script runs too long, or a replica has lost its primary.
_AWAY_PREFIXES = ("BUSY ", "MASTERDOWN ", "LOADING ")


def translated(error: Exception) -> StoreError:
    """The seren error for one of redis-py's: `StoreUnavailable` when a retry may cure it, else `StoreError`."""
    name = type(error).__name__
    if isinstance(error, _FINAL):
        return StoreError(f"Redis refused the credentials: {name}: {error}")
    if isinstance(error, _AWAY) or str(error).startswith(_AWAY_PREFIXES):
        return StoreUnavailable(f"Redis is away: {name}: {error}")
    return StoreError(f"Redis answered with an error: {name}: {error}")


@contextmanager
def translating() -> Iterator[None]:
    """Lets a block raise only `StoreError` for what Redis or the way to it did."""
    try:
        yield
    except (exceptions.RedisError, exceptions.RedisClusterException, OSError) as error:
        raise translated(error) from error


class Script:
    """One Lua file of `streams/lua`.

    Args:
        name: the file's name without its suffix.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.source = files("streams").joinpath("lua", f"{name}.lua").read_text(encoding="utf-8")
        self.sha = hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest()

    async def run(self, client: Redis, calls: Sequence[tuple[Argument, ...]]) -> list[Any]:
        """The script's answers to `calls`, in their order.

        A lost connection makes redis-py send a whole round trip again, so a script must bear being run twice with one call.

        Args:
            client: answers must be bytes (`decode_responses=False`).
            calls: each one the number of keys, the keys, then the arguments.

        Raises:
            StoreUnavailable: Redis is away; nothing is known of calls that were not answered, so repeat them all.
            StoreError: Redis refused a call for a reason that stays.
        """
        answers: list[Any] = []
        with translating():
            for start in range(0, len(calls), CALLS_PER_ROUND_TRIP):
                answers += await self._round_trip(client, calls[start : start + CALLS_PER_ROUND_TRIP])
        return answers

    async def _round_trip(self, client: Redis, calls: Sequence[tuple[Argument, ...]]) -> list[Any]:
        answers = await self._send(client, calls)
        forgotten = [at for at, answer in enumerate(answers) if isinstance(answer, exceptions.NoScriptError)]
        if forgotten:
            await client.script_load(self.source)
            again = await self._send(client, [calls[at] for at in forgotten])
            for at, answer in zip(forgotten, again, strict=True):
                answers[at] = answer
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
        return answers

    async def _send(self, client: Redis, calls: Sequence[tuple[Argument, ...]]) -> list[Any]:
        pipeline = client.pipeline(transaction=False)
        for call in calls:
            pipeline.execute_command("EVALSHA", self.sha, *call)
        return await pipeline.execute(raise_on_error=False)
