"""New answers of SerenGPT onto `seren-scores`, as far as that costs no slate: an answer that is lost is asked for again."""

from __future__ import annotations

import asyncio
import logging

from models.errors import BrokerError
from streams import topics
from streams.agents.clock import Clock
from streams.production import Produce
from streams.scores.log import ScoreLog

logger = logging.getLogger(__name__)

# Seconds after a failure: a topic that nobody made, or a broker that is away, must not hold up each batch of slates anew.
PAUSE_S = 30.0


class ScoreWriter:
    """Sends what a score log has taken in since the last time.

    Args:
        log: holds the answers; bounded, so that what waits during a pause is.
        produce: puts records on a topic.
        record_s: seconds that one sending may take.
        clock: the machine's.
        pause_s: seconds without a try after a failure.
    """

    def __init__(self, log: ScoreLog, produce: Produce, *, record_s: float, clock: Clock, pause_s: float = PAUSE_S) -> None:
        self._pause_s = pause_s
        self._log = log
        self._produce = produce
        self._record_s = record_s
        self._clock = clock
        self._resume_s = 0.0

    async def write(self) -> None:
        """Sends; returns when the broker has all, or when it took too long, which is counted and logged."""
        if self._clock.monotonic() < self._resume_s:
            return
        records = self._log.take()
        if not records:
            return
        try:
            async with asyncio.timeout(self._record_s):
                await self._produce(topics.SCORES, records)
        except (BrokerError, TimeoutError) as error:
            self._resume_s = self._clock.monotonic() + self._pause_s
            self._log.count("unsent", len(records))
            logger.warning(
                "%d answers are not on %s and will be asked for again: %s; next try in %g s",
                len(records), topics.SCORES, error or f"no answer within {self._record_s} s", self._pause_s,
            )  # fmt: skip
        else:
            self._log.count("sent", len(records))
