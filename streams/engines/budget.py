"""What a tenant's judging workers may spend: tokens a second, saved up to a bound, shared by all of them through Redis.

A batch is paid for when it is done, since only then its tokens are known; whoever has spent more than there is waits until it
is paid back before the next one. So the mean over time holds, and one batch may be ahead of it.

Knows nothing about requests or engines.
"""

from __future__ import annotations

from typing import Protocol

from redis.asyncio import Redis

from streams.engines.calls import ModelCalls
from streams.keys import budget_key
from streams.lua.scripts import Script


class Budget(Protocol):
    """Who pays for what the model computes."""

    async def settle(self) -> float:
        """Pays for what was computed since the last time; how many seconds to wait before the next batch."""
        ...


class Unlimited:
    """A budget that never ends."""

    async def settle(self) -> float:
        """No wait."""
        return 0.0


class TokenBudget:
    """A tenant's.

    Args:
        client: of Redis.
        tenant: whose budget it is.
        calls: counts the tokens of this worker.
        tokens_per_s: of all the tenant's workers together; more than 0.
        saved_s: how many seconds' worth is saved up while nobody asks.
    """

    def __init__(self, client: Redis, *, tenant: str, calls: ModelCalls, tokens_per_s: float, saved_s: float) -> None:
        if not (tokens_per_s > 0 and saved_s >= 0):
            message = f"tokens_per_s = {tokens_per_s} must be more than 0, saved_s = {saved_s} at least 0"
            raise ValueError(message)
        self._client = client
        self._key = budget_key(tenant)
        self._calls = calls
        self._tokens_per_s = tokens_per_s
        self._saved_tokens = round(tokens_per_s * saved_s)
        self._paid = calls.all_tokens
        self._script = Script("spend_tokens")

    async def settle(self) -> float:
        """See `Budget.settle`.

        Raises:
            StoreUnavailable: Redis is away; nothing counts as paid, so ask again. A charge that was made and whose answer was
                lost is made twice then: a tenant may wait too long for it, never spend more.
        """
        computed = self._calls.all_tokens
        charge = (1, self._key, repr(self._tokens_per_s), self._saved_tokens, computed - self._paid)
        self._paid, before = computed, self._paid
        try:
            left: int
            [left] = await self._script.run(self._client, [charge])
        except BaseException:
            self._paid -= computed - before
            raise
        return max(0.0, -left / self._tokens_per_s)
