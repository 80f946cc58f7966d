"""What many tests stand on: a real Redis, and walks through real worker processes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
import redis.asyncio
from aiokafka import AIOKafkaConsumer, TopicPartition

from models.entities import Trace, fingerprint
from models.profiles.policy import DAY_MS
from models.registry import Evaluation, Measured, Metrics
from models.serengpt.checkpoint import checkpoint_sha256
from streams import codec, topics
from streams.demo.servers import TENANT, Addresses, Servers, write_config
from streams.demo.walk import Moment, Walked, WalkOptions, walk
from streams.embedded.redis import RunningRedis, start_redis
from streams.recorded import logs
from streams.recorded.logs import RecordedLog, shipped_log, write_lines
from streams.slates.packed import encode_slate
from streams.slates.record import ReadSlate
from streams.slates.store import SlateStore


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRedis]:
    with start_redis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
async def redis_client(redis_server: RunningRedis) -> AsyncIterator[redis.asyncio.Redis]:
    client = redis.asyncio.Redis.from_url(redis_server.url)
    await client.flushall()
    yield client
    await client.aclose()


@dataclass(frozen=True)
class Played:
    """A walk that was played to its end: what it measured, and every slate with its trace."""

    walked: Walked
    slates: dict[str, ReadSlate]
    traces: dict[str, Trace]
    letters: list[tuple[bytes | None, dict[str, bytes]]]
    redis_restarts: int

    @property
    def packed(self) -> dict[str, bytes]:
        """The slates' bytes without what says when and by whose life they were published."""
        return {
            user_id: encode_slate(slate._replace(epoch=0, published_ms=0, soft_expiry_ms=0))
            for user_id, slate in self.slates.items()
        }


Disturb = Callable[[Servers, Moment], None]
Play = Callable[..., Played]


@pytest.fixture(scope="session")
def play(tmp_path_factory: pytest.TempPathFactory) -> Play:
    """Plays a log through real worker processes, on embedded servers or those given."""

    def played(
        log: RecordedLog,
        options: WalkOptions | None = None,
        *,
        given: Addresses | None = None,
        days: float,
        disturb: Disturb | None = None,
    ) -> Played:
        folder = tmp_path_factory.mktemp("walk")
        (folder / "redis").mkdir()
        with Servers(folder, given or Addresses(), print) as servers:
            config = write_config(folder, servers, start_ms=log.about.last_ts_ms - int(days * DAY_MS))

            def show(moment: Moment) -> None:
                if disturb is not None:
                    disturb(servers, moment)

            walked = asyncio.run(walk(log, servers, options or WalkOptions(), config, show))
            return asyncio.run(_read_back(log, servers, walked))

    return played


async def _read_back(log: RecordedLog, servers: Servers, walked: Walked) -> Played:
    client = redis.asyncio.Redis.from_url(servers.redis_url)
    store = SlateStore(client, tenant=TENANT, hard_ttl_ms=1)
    users = [codec.decode_attributes(line).user_id for _, line in log.users()]
    slates = {user_id: await store.read(user_id, "home") for user_id in users}
    traces = {user_id: await store.why(user_id, "home") for user_id in users}
    await client.aclose()
    return Played(
        walked=walked,
        slates={user_id: slate for user_id, slate in slates.items() if slate is not None},
        traces={user_id: trace for user_id, trace in traces.items() if trace is not None},
        letters=await _dead_letters(servers.bootstrap),
        redis_restarts=servers.redis_restarts,
    )


async def _dead_letters(bootstrap: str) -> list[tuple[bytes | None, dict[str, bytes]]]:
    async with AIOKafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest") as consumer:
        partition = TopicPartition(topics.DEAD_LETTERS, 0)
        consumer.assign([partition])
        await consumer.seek_to_beginning(partition)
        end = (await consumer.end_offsets([partition]))[partition]
        letters = []
        while await consumer.position(partition) < end:
            for records in (await consumer.getmany(timeout_ms=500)).values():
                letters += [(record.value, dict(record.headers)) for record in records]
        return letters


@pytest.fixture(scope="session")
def small_log(tmp_path_factory: pytest.TempPathFactory) -> RecordedLog:
    """The shipped log's events of some forty customers, in a folder of its own."""
    return _some_users(shipped_log("online-retail"), tmp_path_factory.mktemp("log"), spoil=False)


@pytest.fixture(scope="session")
def spoilt_log(tmp_path_factory: pytest.TempPathFactory) -> RecordedLog:
    """The same with one line after the 1,000th that is no event."""
    return _some_users(shipped_log("online-retail"), tmp_path_factory.mktemp("spoilt"), spoil=True)


def _some_users(log: RecordedLog, folder: Path, *, spoil: bool) -> RecordedLog:
    keep = {f'"{user_id}"'.encode() for user_id in _users(log) if fingerprint(user_id) % 97 == 0}
    events = [line for _, line in log.events() if any(user_id in line for user_id in keep)]
    if spoil:
        events.insert(1000, b'{"event_id":"torn","user_id":"1')
    users = [line for _, line in log.users() if any(user_id in line for user_id in keep)]
    write_lines(folder / logs.EVENTS, events)
    write_lines(folder / logs.USERS, users)
    write_lines(folder / logs.ITEMS, [line for _, line in log.items()])
    about = msgspec.structs.replace(log.about, events=len(events), users=len(users))
    (folder / logs.ABOUT).write_bytes(msgspec.json.encode(about))
    return RecordedLog(folder)


def _users(log: RecordedLog) -> list[str]:
    return [codec.decode_attributes(line).user_id for _, line in log.users()]


Measure = Callable[..., Metrics]


@pytest.fixture
def measure() -> Measure:
    """Metrics of a checkpoint, as an evaluation writes them: forty users, a case and a slate each, all of one value."""

    def found(checkpoint: Path, *, cases: int = 40, seed: int = 0, **means: float) -> Metrics:
        made = {
            what: Measured(name=what, mean=mean, low=mean, high=mean, values=(mean,) * cases)
            for what, mean in ({"ranking": 0.25, "novelty": 0.5, "diversity": 28.0} | means).items()
        }
        evaluation = Evaluation(
            name=f"a shop, {cases} cases",
            log="a" * 64,
            part="validation",
            seed=seed,
            negatives=99,
            cases=cases,
            slates=cases,
            asked=f"{seed:064d}",
            tower="c" * 64,
            engine="ctranslate2, int8",
            prompt_version=1,
        )
        return Metrics(
            evaluation=evaluation,
            checkpoint=checkpoint_sha256(checkpoint),
            model_id="made for a test",
            users=tuple(range(cases)),
            **made,
        )

    return found
