"""Laws of the profiling worker: every question is answered, buried or superseded before its offset is committed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import pytest
from faust.types import TP

from models.errors import BrokerUnavailable, EngineError, EngineOverloaded, MalformedAnswer, SerenError, UnknownVersion
from models.profiles.exchange import ProfileTags, ProfilingRequest
from streams import codec, topics
from streams.agents.limits import ProfilingLimits
from streams.agents.profiling import ProfilingWorker
from streams.marks import Forgotten
from streams.production import Outgoing
from streams.transport import Chunk


class Record(NamedTuple):
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()
    timestamp: int = 0
    partition: int = 0


class House:
    """A broker, and a model that says what a test has it say."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, Outgoing]] = []
        self.committed: dict[int, int] = {}
        self.asked: list[list[str]] = []
        self.says: dict[str, list[SerenError | Exception]] = {}  # before it answers
        self.away_for = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def run(self, _: Any, requests: Sequence[ProfilingRequest]) -> list[ProfileTags | SerenError]:
        await self.gate.wait()
        self.asked.append([request.user_id for request in requests])
        found: list[ProfileTags | SerenError] = []
        for request in requests:
            error = self.says[request.user_id].pop(0) if self.says.get(request.user_id) else None
            if error is not None and not isinstance(error, SerenError):
                self.says[request.user_id].insert(0, error)
                raise error
            tags = ProfileTags(user_id=request.user_id, asked_ms=request.as_of_ms, model_id="m", shown=(), refused={"na": 1})
            found.append(tags if error is None else error)
        return found

    async def produce(self, topic: str, records: Sequence[Outgoing]) -> None:
        if self.away_for:
            self.away_for -= 1
            raise BrokerUnavailable("away")
        self.sent += [(topic, record) for record in records]

    async def commit(self, offsets: Mapping[TP, int]) -> bool:
        self.committed.update({tp.partition: offset for tp, offset in offsets.items()})
        return True

    def answered(self) -> list[str]:
        return [
            codec.decode_answer(record.value or b"").user_id for topic, record in self.sent if topic == topics.PROFILE_TAGS
        ]

    def letters(self) -> list[bytes]:
        return [dict(record.headers)["error"] for topic, record in self.sent if topic == topics.DEAD_LETTERS]

    @asynccontextmanager
    async def worker(self, **limits: Any) -> AsyncIterator[ProfilingWorker]:
        made = ProfilingWorker(
            infer=lambda _: [],
            produce=self.produce,
            commit=self.commit,
            limits=ProfilingLimits(**limits),
            run=self.run,
        )
        await made.take_over({TP(topics.PROFILING, 0)})
        serving = asyncio.create_task(made.serve_forever())
        self.serving = serving
        try:
            yield made
        finally:
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)


@pytest.fixture
async def house() -> House:
    return House()


def question(offset: int, user: str, at: int = 0, epoch: int = 1) -> Record:
    request = ProfilingRequest(
        user_id=user, reason="drift", as_of_ms=5, epoch=epoch, partition=0, offset=at or offset, profile=b"p"
    )
    return Record(offset, user.encode(), codec.encode_question(request))


def chunk(*records: Record) -> Chunk:
    return Chunk(topics.PROFILING, 0, list(records), records[-1].offset + 1)  # type: ignore[arg-type]


async def until_committed(house: House, offset: int) -> None:
    async with asyncio.timeout(20):
        while house.committed.get(0) != offset:
            if house.serving.done():
                await house.serving
            await asyncio.sleep(0.01)


async def test_answers_go_to_their_topic_and_then_the_offset_is_committed(house: House) -> None:
    async with house.worker() as worker:
        await worker.take(chunk(question(0, "u"), question(1, "v")))
        await until_committed(house, 2)
    assert house.answered() == ["u", "v"]
    assert (worker.counts["answers"], worker.counts["refused_na"]) == (2, 2)
    assert worker.undone() == []


async def test_of_one_user_only_the_newest_question_is_asked(house: House) -> None:
    house.gate.clear()
    async with house.worker() as worker:
        await worker.take(chunk(question(0, "first")))  # in hand; the others wait behind it
        await asyncio.sleep(0.05)
        await worker.take(chunk(question(1, "u", at=7), question(2, "u", at=9), question(3, "u", at=8)))
        assert (worker.waiting_count, worker.counts["coalesced"]) == (1, 2)
        house.gate.set()
        await until_committed(house, 4)
    assert house.answered() == ["first", "u"]


async def test_model_that_is_away_is_asked_again_for_those_it_left(house: House) -> None:
    house.says = {"v": [EngineOverloaded("busy", 1.0)]}
    async with house.worker() as worker:
        await worker.take(chunk(question(0, "u"), question(1, "v")))
        await until_committed(house, 2)
    assert house.asked == [["u", "v"], ["v"]]
    assert house.answered() == ["u", "v"]
    assert worker.counts["retries_engine"] == 1


async def test_broker_that_is_away_holds_the_commit_back(house: House) -> None:
    house.away_for = 2
    async with house.worker() as worker:
        await worker.take(chunk(question(0, "u")))
        await until_committed(house, 1)
    assert house.answered() == ["u"]


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (MalformedAnswer("no", "x"), b"MalformedAnswer"),
        (EngineError("HTTP 400"), b"EngineError"),
        (KeyError("bug"), b"KeyError"),
    ],
)
async def test_question_that_fails_is_buried_and_costs_no_other(house: House, error: Exception, name: bytes) -> None:
    house.says = {"bad": [error]}
    async with house.worker() as worker:
        await worker.take(chunk(question(0, "u"), question(1, "bad"), question(2, "v")))
        await until_committed(house, 3)
    assert sorted(house.answered()) == ["u", "v"]
    assert house.letters() == [name]


async def test_refusals_in_a_row_stop_the_worker_and_malformed_answers_do_not(house: House) -> None:
    users = [f"u{number}" for number in range(6)]
    house.says = {user: [MalformedAnswer("no", "x")] for user in users}
    async with house.worker(max_failures=3) as worker:
        await worker.take(chunk(*(question(number, user) for number, user in enumerate(users))))
        await until_committed(house, 6)
        house.says = {user: [EngineError("HTTP 401")] for user in users}
        await worker.take(chunk(*(question(6 + number, user) for number, user in enumerate(users))))
        with pytest.raises(EngineError, match="401"):
            await asyncio.wait_for(house.serving, 10)
    assert house.committed[0] == 6


async def test_bytes_that_are_no_question_are_buried_and_those_of_a_newer_release_stop(house: House) -> None:
    async with house.worker() as worker:
        await worker.take(chunk(Record(0, b"u", b"{")))
        await until_committed(house, 1)
        newer = ProfilingRequest(
            version=2, user_id="u", reason="drift", as_of_ms=5, epoch=1, partition=0, offset=0, profile=b""
        )
        with pytest.raises(UnknownVersion, match="question: version 2"):
            await worker.take(chunk(Record(1, b"u", codec.encode_question(newer))))
    assert house.letters() == [b"DecodeError"]


def forgotten(offset: int, user: str, up_to: int) -> Record:
    told = codec.encode(Forgotten(1, up_to, "home"))
    return Record(offset, user.encode(), None, [(topics.FORGET_HEADER, told)])


async def test_forgotten_user_is_asked_about_no_more_but_later_questions_are(house: House) -> None:
    house.gate.clear()
    async with house.worker() as worker:
        await worker.take(chunk(question(0, "other"), question(1, "in hand")))
        await asyncio.sleep(0.05)
        await worker.take(chunk(question(2, "u"), forgotten(3, "u", 50), forgotten(4, "in hand", 50)))
        await worker.take(chunk(question(5, "u", at=40), question(6, "u", at=60)))
        house.gate.set()
        await until_committed(house, 7)
    assert house.asked[-1] == ["u"]
    assert house.answered() == ["other", "u"]
    assert worker.counts["answers_forgotten"] == 1


async def test_revoked_partition_takes_its_questions_with_it(house: House) -> None:
    house.gate.clear()
    async with house.worker() as worker:
        await worker.take(chunk(question(0, "in hand")))
        await asyncio.sleep(0.05)
        await worker.take(chunk(question(1, "u")))
        await worker.release({TP(topics.PROFILING, 0)})
        assert worker.waiting_count == 0
        house.gate.set()
        await asyncio.sleep(0.05)
    assert house.committed == {}


async def test_full_queue_holds_the_topic_back(house: House) -> None:
    house.gate.clear()
    async with house.worker(max_waiting=1, batch=1) as worker:
        taking = asyncio.create_task(worker.take(chunk(*(question(number, f"u{number}") for number in range(4)))))
        await asyncio.sleep(0.1)
        assert not taking.done()
        house.gate.set()
        await taking
        await until_committed(house, 4)
