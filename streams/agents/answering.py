"""Getting an answer to each request of a batch, whatever the model does.

SerenGPT is asked while the ladder of tiers says so, with second tries; what it fails, and all requests while it is down, go to
the tiers below, which need no model. While it is down, it is probed in the background: nobody waits for a probe.

Without tiers below there is only SerenGPT: what can be tried again is, for as long as it takes, what cannot is buried, and a
model that is dead ends the worker.

Knows nothing about topics, offsets or slates.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from models.entities import PackedRequest, Tier
from models.errors import EngineDead, EngineError, EngineHung, SerenError, UnsoundAnswer, Verdict, verdict
from models.pipeline import Answer
from models.tiers import Ladder, Switch, TierPolicy, Why
from streams.agents.clock import Clock
from streams.agents.limits import JudgingLimits
from streams.agents.outages import Outages

logger = logging.getLogger(__name__)

Serve = Callable[[Sequence[PackedRequest]], list[Answer | SerenError]]
Run = Callable[[Serve, Sequence[PackedRequest]], Awaitable[list[Answer | SerenError]]]
Outcome = Answer | Exception | None  # None: no tier has anything for the user

_TOP: Tier = "serengpt"
_SWITCHES = 20  # steps from tier to tier that are told


class Rung(NamedTuple):
    """A tier below SerenGPT, and its walk; blocking."""

    tier: Tier
    serve: Serve


class LowerTiers(NamedTuple):
    """The tiers below SerenGPT, best first, and when to step from one to the other; none: there is only SerenGPT.

    `probe` is SerenGPT's walk past whatever remembers its answers: what is remembered says nothing of its health. None: the
    walk itself.
    """

    rungs: tuple[Rung, ...] = ()
    policy: TierPolicy = TierPolicy()
    probe: Serve | None = None


class _SteppedDown(Exception):
    """SerenGPT is no longer asked, so the tries of it end."""


class Answering:
    """The judging walks of one worker.

    Args:
        serve: SerenGPT's; blocking.
        lower: the tiers below it.
        outages: of the worker.
        limits: how often is tried.
        run: runs a walk beside the event loop.
        clock: the machine's.
        counts: of the worker.
    """

    def __init__(
        self,
        serve: Serve,
        lower: LowerTiers,
        *,
        outages: Outages,
        limits: JudgingLimits,
        run: Run,
        clock: Clock,
        counts: Counter[str],
    ) -> None:
        self._serve = serve
        self._probe = lower.probe or serve
        self._below = lower.rungs
        self._ladder = Ladder((_TOP, *(rung.tier for rung in lower.rungs)), lower.policy)
        self._outages = outages
        self._limits = limits
        self._run = run
        self._clock = clock
        self._counts = counts
        self._failures = 0  # requests in a row that used up their tries
        self._last: PackedRequest | None = None  # what a probe asks
        self._probing = False
        self._switches: deque[tuple[int, Switch]] = deque(maxlen=_SWITCHES)

    @property
    def switches(self) -> list[dict[str, object]]:
        """The last steps from tier to tier, the newest first, as JSON values."""
        return [{"at_ms": at_ms, **switch._asdict()} for at_ms, switch in reversed(list(self._switches))]

    @property
    def tier(self) -> Tier:
        """Who answers now."""
        return self._ladder.tier

    @property
    def tiers(self) -> tuple[Tier, ...]:
        """Who can, best first."""
        return self._ladder.tiers

    async def answers(self, requests: Sequence[PackedRequest], *, queue_age_s: float) -> list[Outcome]:
        """One outcome per request, in their order.

        Args:
            requests: not empty.
            queue_age_s: since the oldest request in hand reached its topic.

        Raises:
            Exception: one that must stop this worker, or the last of too many requests that failed one after the other.
        """
        self._last = requests[-1]
        self._note(self._ladder.waited(queue_age_s))
        outcomes: list[Outcome] = [None] * len(requests) if self._ladder.is_down else await self._by_model(requests)
        places = [place for place, outcome in enumerate(outcomes) if outcome is None]
        for place, answer in zip(places, await self._from_below([requests[place] for place in places]), strict=True):
            outcomes[place] = answer
        return outcomes

    async def probe(self, *, queue_age_s: Callable[[], float]) -> None:
        """Asks SerenGPT the last question again while it is down; the answer goes nowhere.

        It is waited for as long as it takes: a second probe beside one that hangs would take another thread.

        Args:
            queue_age_s: see `answers`, when the probe is over.
        """
        if not self._ladder.is_down or self._last is None or self._probing:
            return
        self._probing = True
        try:
            passed = await self._passes(self._last)
        finally:
            self._probing = False
        self._counts[f"probes_{'passed' if passed else 'failed'}"] += 1
        self._note(self._ladder.probed(passed, now_s=self._clock.monotonic(), queue_age_s=queue_age_s()))

    async def _passes(self, request: PackedRequest) -> bool:
        begun_s = self._clock.monotonic()
        try:
            [outcome] = await self._run(self._probe, [request])
        except Exception as error:  # whatever it is, the tier above is not well yet
            logger.warning("SerenGPT is still away: %s: %s", type(error).__name__, error)
            return False
        took_s = self._clock.monotonic() - begun_s
        return took_s <= self._ladder.policy.slow_s and not isinstance(outcome, EngineError | UnsoundAnswer)

    # ------------------------------------------------------------------ SerenGPT

    async def _by_model(self, requests: Sequence[PackedRequest]) -> list[Outcome]:
        """None for each request that is left to the tiers below. A batch that fails as a whole is tried one by one."""
        try:
            outcomes = await self._ask(requests)
        except _SteppedDown:
            return [None] * len(requests)
        except Exception as error:
            if self._is_engine_s(error) and self._ladder.is_down:
                return [None] * len(requests)
            if verdict(error) is not Verdict.BURY:
                raise
            logger.exception("a batch of %d requests failed; each is tried alone", len(requests))
            return [None if self._ladder.is_down else await self._alone(request) for request in requests]
        self._failures = 0
        return outcomes

    async def _alone(self, request: PackedRequest) -> Outcome:
        """The request's answer, or the error of its last try, so that one request costs no other."""
        tries = 0
        while True:
            try:
                [outcome] = await self._ask([request])
            except _SteppedDown:
                return None
            except Exception as error:
                tries += 1
                is_last = tries >= self._limits.attempts or verdict(error) is not Verdict.BURY
                if is_last and self._is_engine_s(error):
                    return None
                if verdict(error) is not Verdict.BURY:
                    raise
                if is_last:
                    self._failures += 1
                    if self._failures >= self._limits.max_failures:
                        raise
                    return error
            else:
                self._failures = 0
                return outcome
            await asyncio.sleep(self._limits.attempt_s)

    async def _ask(self, requests: Sequence[PackedRequest]) -> list[Outcome]:
        """SerenGPT's answers, after as many tries as it takes while it is only overloaded."""
        begun_s, policy = self._clock.monotonic(), self._ladder.policy

        async def once() -> list[Answer | SerenError]:
            started_s = self._clock.monotonic()
            try:
                answers = await self._in_time(requests)
                _raise_any(answers)
            except SerenError as error:
                is_long = error.retriable and self._clock.monotonic() - begun_s > policy.slow_s
                if is_long:
                    self._note(self._ladder.bad(_TOP, "overloaded"))
                if error.retriable and self._ladder.is_down:
                    raise _SteppedDown from error
                raise
            self._judge(answers, took_s=self._clock.monotonic() - started_s)
            return answers

        answers = await self._outages.retrying(once, what="answer requests")
        return [None if self._below and isinstance(answer, UnsoundAnswer) else answer for answer in answers]

    async def _in_time(self, requests: Sequence[PackedRequest]) -> list[Answer | SerenError]:
        """The walk's outcomes; where there is a tier below, it is not waited for longer than `late_s`.

        What comes later is dropped: whoever was given up is answered from below.
        """
        bound_s = self._ladder.policy.late_s if self._below else None
        try:
            async with asyncio.timeout(bound_s) as scope:
                return await self._run(self._serve, requests)
        except TimeoutError:
            if not scope.expired():
                raise
            logger.error(
                "SerenGPT has not answered %d requests within %s s; they are answered without it", len(requests), bound_s
            )
            self._note(self._ladder.bad(_TOP, "late"))
            raise _SteppedDown from None

    def _judge(self, answers: Sequence[Answer | SerenError], *, took_s: float) -> None:
        unsound = sum(isinstance(answer, UnsoundAnswer) for answer in answers)
        self._counts["unsound"] += unsound
        if unsound == len(answers):
            self._note(self._ladder.bad(_TOP, "unsound"))
        else:
            self._note(self._ladder.good(_TOP, took_s=took_s))

    def _is_engine_s(self, error: Exception) -> bool:
        """Whether it is the engine's failure and there is a tier below for its requests; the ladder is told."""
        if not self._below or not isinstance(error, EngineError):
            return False
        why: Why = "dead" if isinstance(error, EngineDead) else "hung" if isinstance(error, EngineHung) else "failed"
        logger.error("SerenGPT failed (%s): %s", why, error)
        self._note(self._ladder.bad(_TOP, why))
        return True

    # ------------------------------------------------------------------ the tiers below

    async def _from_below(self, requests: Sequence[PackedRequest]) -> list[Outcome]:
        """The answer of the best tier that has items for the user; None where none has."""
        found: list[Outcome] = [None] * len(requests)
        current = self._ladder.tiers.index(self._ladder.tier)
        for rung in self._below[max(0, current - 1) :]:
            places = [place for place, answer in enumerate(found) if answer is None]
            for place, answer in zip(places, await self._of_rung(rung, [requests[place] for place in places]), strict=True):
                found[place] = answer
        return found

    async def _of_rung(self, rung: Rung, requests: Sequence[PackedRequest]) -> list[Outcome]:
        """None for whoever the tier fails or has no items for."""
        if not requests:
            return []
        begun_s = self._clock.monotonic()
        try:
            outcomes = await self._run(rung.serve, requests)
        except Exception as error:
            if verdict(error) is Verdict.STOP:
                raise
            if len(requests) > 1:
                return [one for request in requests for one in await self._of_rung(rung, [request])]
            logger.exception("tier %s failed a request of user %s", rung.tier, requests[0].user_id)
            self._note(self._ladder.bad(rung.tier, "failed"))
            return [None]
        self._note(self._ladder.good(rung.tier, took_s=self._clock.monotonic() - begun_s))
        return [None if _is_nothing(outcome) else outcome for outcome in outcomes]

    def _note(self, switch: Switch | None) -> None:
        if switch is not None:
            logger.warning("tier %s after %s: %s", switch.after, switch.before, switch.why)
            self._counts[f"tier_{switch.why}"] += 1
            self._switches.append((int(self._clock.time() * 1000), switch))


def _is_nothing(outcome: Answer | SerenError) -> bool:
    """Whether another tier may do better; an error of the request's own is the same in all of them."""
    return isinstance(outcome, UnsoundAnswer) or (isinstance(outcome, Answer) and not outcome.items)


def _raise_any(answers: Sequence[Answer | SerenError]) -> None:
    """Raises the first error that is not one request's own."""
    for answer in answers:
        if isinstance(answer, SerenError) and verdict(answer) is not Verdict.BURY:
            raise answer
