"""Getting an answer to each request of a batch, whatever the model does.

Knows nothing about topics, offsets or slates.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from models.entities import PackedRequest
from models.errors import SerenError, Verdict, verdict
from models.pipeline import Answer
from streams.agents.limits import JudgingLimits
from streams.agents.outages import Outages

logger = logging.getLogger(__name__)

Serve = Callable[[Sequence[PackedRequest]], list[Answer | SerenError]]
Run = Callable[[Serve, Sequence[PackedRequest]], Awaitable[list[Answer | SerenError]]]


class Answering:
    """The judging walk with its second tries.

    Args:
        serve: the walk; blocking.
        outages: of the worker.
        limits: how often is tried.
        run: runs the walk beside the event loop.
    """

    def __init__(self, serve: Serve, *, outages: Outages, limits: JudgingLimits, run: Run) -> None:
        self._serve = serve
        self._outages = outages
        self._limits = limits
        self._run = run
        self._failures = 0  # requests in a row that used up their tries

    async def answers(self, requests: Sequence[PackedRequest]) -> list[Answer | Exception]:
        """One outcome per request. When a batch fails as a whole, each request is tried alone: so that one costs no other.

        Raises:
            Exception: one that must stop this worker, or the last of too many requests that failed one after the other.
        """
        try:
            answers: list[Answer | Exception] = [*await self._answer(requests)]
        except Exception as error:
            if verdict(error) is not Verdict.BURY:
                raise
            logger.exception("a batch of %d requests failed; each is tried alone", len(requests))
            return [await self._answer_alone(request) for request in requests]
        self._failures = 0
        return answers

    async def _answer_alone(self, request: PackedRequest) -> Answer | Exception:
        """The request's answer, or the error of its last try."""
        tries = 0
        while True:
            try:
                [answer] = await self._answer([request])
            except Exception as error:
                if verdict(error) is not Verdict.BURY:
                    raise
                tries += 1
                if tries >= self._limits.attempts:
                    self._failures += 1
                    if self._failures >= self._limits.max_failures:
                        raise
                    return error
            else:
                self._failures = 0
                return answer
            await asyncio.sleep(self._limits.attempt_s)

    async def _answer(self, requests: Sequence[PackedRequest]) -> list[Answer | SerenError]:
        async def once() -> list[Answer | SerenError]:
            answers = await self._run(self._serve, requests)
            for answer in answers:
                if isinstance(answer, SerenError) and verdict(answer) is not Verdict.BURY:
                    raise answer
            return answers

        return await self._outages.retrying(once, what="answer requests")
