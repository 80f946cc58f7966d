"""One judging worker on a real Redis, with a judge that does as it is told, and a broker that takes notes."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import redis.asyncio
from faust.types import TP

from models.entities import Digest, PackedRequest, ScoredItem, Tier, Trace
from models.errors import SerenError, StoreUnavailable
from models.pipeline import Answer
from models.profiles import Profile, encode
from streams import codec, topics
from streams.agents.answering import LowerTiers
from streams.agents.clock import Clock
from streams.agents.judging import JudgingWorker
from streams.agents.limits import JudgingLimits
from streams.production import Outgoing
from streams.slates.store import Publication, SlateStore
from streams.transport import Chunk

ONLY_SERENGPT = LowerTiers()
NOW_MS = 1_700_000_000_000


class Record(NamedTuple):
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()
    timestamp: int = NOW_MS


class StoppedClock:
    """Stands still at `NOW_MS`."""

    def time(self) -> float:
        return NOW_MS / 1000

    def monotonic(self) -> float:
        return 0.0


class FlakySlates(SlateStore):
    """The real one, away for the next `away_for` calls."""

    away_for = 0

    async def publish(self, publications: Sequence[Publication]) -> Any:
        if self.away_for:
            self.away_for -= 1
            raise StoreUnavailable("away")
        return await super().publish(publications)


class Judge:
    """Stands for the judging walk: answers with one item, `made for <user> at <offset>`, or raises and answers as told."""

    def __init__(self) -> None:
        self.batches: list[list[tuple[str, int]]] = []
        self.raises: list[Exception] = []
        self.instead: dict[str, Answer | SerenError] = {}  # what these users get instead
        self.bombs: set[str] = set()  # users whose requests end the whole call
        self.raises_for: dict[str, Exception] = {}  # the same, each with an error of their own
        self.open = threading.Event()
        self.open.set()

    def __call__(self, requests: Sequence[PackedRequest]) -> list[Answer | SerenError]:
        self.batches.append([(request.user_id, request.offset) for request in requests])
        assert self.open.wait(10)
        if self.raises:
            raise self.raises.pop(0)
        if self.bombs & {request.user_id for request in requests}:
            raise ZeroDivisionError("a bug")
        for user in self.raises_for.keys() & {request.user_id for request in requests}:
            raise self.raises_for[user]
        return [self.instead.get(request.user_id) or answer(request) for request in requests]


class House:
    """One Redis, one broker, one judge, and the workers that come and go."""

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self.judge = Judge()
        self.clock: Clock = StoppedClock()
        self.slates = FlakySlates(client, tenant="t", hard_ttl_ms=60_000)
        self.letters: list[tuple[bytes | None, dict[str, bytes]]] = []
        self.commits: list[dict[int, int]] = []
        self.slates_at_commit: list[int] = []

    async def produce(self, topic: str, records: Sequence[Outgoing]) -> None:
        assert topic == topics.DEAD_LETTERS
        self.letters += [(record.value, dict(record.headers)) for record in records]

    async def commit(self, offsets: Mapping[TP, int]) -> bool:
        assert {tp.topic for tp in offsets} == {topics.REQUESTS}
        self.commits.append({tp.partition: offset for tp, offset in offsets.items()})
        self.slates_at_commit.append(sum([await self.offset_of(user) is not None for user in "uvw"]))
        return True

    async def worker(self, *numbers: int, lower: LowerTiers = ONLY_SERENGPT, **limits: Any) -> JudgingWorker:
        made = JudgingWorker(
            serve=self.judge,
            lower=lower,
            slates=self.slates,
            produce=self.produce,
            commit=self.commit,
            limits=JudgingLimits(**({"settle_s": 0.0} | limits)),
            clock=self.clock,
        )
        await made.take_over({TP(topics.REQUESTS, number) for number in numbers})
        return made

    async def offset_of(self, user_id: str) -> int | None:
        """The offset of the user's published slate."""
        slate = await self.slates.read(user_id, "home")
        return None if slate is None else slate.offset


@asynccontextmanager
async def serving(worker: JudgingWorker) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(worker.serve_forever())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(reached: Callable[[], bool], *, within_s: float = 10.0) -> None:
    async with asyncio.timeout(within_s):
        while not reached():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.005)


def request(user: str, offset: int, epoch: int = 1) -> PackedRequest:
    return PackedRequest(
        user_id=user,
        surface="home",
        reason="visit",
        as_of_ms=1_000,
        epoch=epoch,
        partition=0,
        offset=offset,
        drift=1.0,
        last_asked_ms=-1,
        profile=encode(Profile()),
    )


def answer(asked: PackedRequest, tier: Tier = "serengpt") -> Answer:
    item = ScoredItem(
        item_id=f"for {asked.user_id} at {asked.offset}",
        serendipity=0.5,
        relevance=1.0,
        unexpectedness=1.0,
        aligned=0.5,
        propensity=1.0,
        reason=0,
    )
    trace = Trace(
        user_id=asked.user_id,
        surface="home",
        reason="visit",
        as_of_ms=asked.as_of_ms,
        offset=asked.offset,
        digest=Digest(),
        imagined=(),
        candidates=(),
        filtered=(),
        kept=(item,),
    )
    return Answer(items=(item,), trace=trace, tier=tier, model_id="m")


def chunk(*asked: PackedRequest | bytes, first: int = 0, number: int = 0, headers: Any = ()) -> Chunk:
    """The requests at consecutive offsets; bytes stand for what is no request."""
    records = [
        Record(number, first + place, b"k", one if isinstance(one, bytes) else codec.encode_request(one), headers)
        for place, one in enumerate(asked)
    ]
    return Chunk(topics.REQUESTS, number, records, first + len(asked))  # type: ignore[arg-type]
