"""Publishing slates, but none of a user who was forgotten since the question was asked.

Knows nothing about offsets, batches or models.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable

from models.entities import PackedRequest, Slate
from models.errors import RequestError
from streams.agents.outages import Outages
from streams.forgetting.fences import Fences
from streams.marks import Forgotten
from streams.slates.store import Publication, PublishOutcome, SlateStore


class Publisher:
    """Where slates go, for as long as it takes.

    What is remembered of the users who were forgotten is bounded and dies with the process: a request that a zombie sends
    after both is answered, and its slate lives until it expires.

    Args:
        slates: the store.
        outages: of the worker.
        counts: of the worker.
        remembered_count: forgotten users who are remembered.
    """

    def __init__(self, slates: SlateStore, *, outages: Outages, counts: Counter[str], remembered_count: int) -> None:
        self._slates = slates
        self._outages = outages
        self._counts = counts
        self._forgotten = Fences(remembered_count=remembered_count)  # by user and surface
        self._publishing = asyncio.Lock()  # nobody is forgotten between the look at them and the publication

    @property
    def stale_replaced(self) -> int:
        """Published slates whose elder was past its soft expiry."""
        return self._slates.stale_replaced

    async def publish(self, publications: list[Publication]) -> list[PublishOutcome | RequestError]:
        """One outcome each; slates of users who were forgotten meanwhile are refused here."""
        async with self._publishing:
            forgotten = [self.is_forgotten(one.slate) for one in publications]
            wanted = [one for one, is_gone in zip(publications, forgotten, strict=True) if not is_gone]
            outcomes = await self._outages.retrying(lambda: self._slates.publish(wanted), what="publish slates")
        of_wanted = iter(outcomes)
        return ["refused" if is_gone else next(of_wanted) for is_gone in forgotten]

    async def forget(self, user_id: str, forgotten: Forgotten, *, beside: Callable[[], None]) -> None:
        """Takes a user's slate away, and sees to it that no request from before makes another one.

        Args:
            user_id: whose.
            forgotten: on which surface, and up to where.
            beside: called as soon as `is_forgotten` tells of it, before anything else is published.
        """
        async with self._publishing:
            self._forgotten.put((user_id, forgotten.surface), (forgotten.epoch, forgotten.offset))
            beside()
            await self._outages.retrying(self._taking_away(user_id, forgotten), what="forget a user's slate")
            self._counts["users_forgotten"] += 1

    def is_forgotten(self, one: PackedRequest | Slate) -> bool:
        """Whether its user was forgotten since."""
        return self._forgotten.cover((one.user_id, one.surface), (one.epoch, one.offset))

    def _taking_away(self, user_id: str, forgotten: Forgotten) -> Callable[[], Awaitable[int]]:
        return lambda: self._slates.forget_up_to(user_id, forgotten.surface, epoch=forgotten.epoch, offset=forgotten.offset)
