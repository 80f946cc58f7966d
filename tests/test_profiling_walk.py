"""The profiling stage end to end: real workers on the embedded broker, a model over HTTP, and a digest that changes."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from redis.asyncio import Redis

from models.catalogue import Catalogue
from models.entities import Event, Item
from models.profiles import ProfilePolicy, decode, digest
from models.profiles.policy import InferencePolicy
from streams import codec, topics
from streams.demo.servers import TENANT, Addresses, Servers, write_config
from streams.state import ProfileStore
from tests.streams.engines.scripted_model import Reply, said, scripted_model

DAY_MS = 86_400_000
START_MS = 20_000 * DAY_MS
WAIT_S = 90.0
ITEMS = [
    Item(item_id="tins", title="set of 3 cake tins", category=("home", "cake tins")),
    Item(item_id="mug", title="red retrospot mug", category=("home", "mug")),
]
POLICY = ProfilePolicy(inference=InferencePolicy(enabled=True, first_positives=2, cool_down_days=0.5))
CONFIG = """
[rules.profile.inference]
enabled = true
first_positives = 2
cool_down_days = 0.5

[profiling]
model = "endpoint"
[profiling.endpoint]
url = "{url}"
model = "big"
timeout_s = 5
"""

pytestmark = pytest.mark.timeout(240)


def reply(body: dict[str, Any]) -> Reply:
    """Busy at first; then tags of what is shown as cake tins, one of them on evidence that does not exist."""
    reply.calls += 1  # type: ignore[attr-defined]
    if reply.calls == 1:  # type: ignore[attr-defined]
        return Reply(503, b"warming up")
    found = re.search(r"\[(\d+)\] set of 3 cake tins", body["messages"][1]["content"])
    assert found is not None
    number = int(found[1])
    entries = [
        {"tag": "cake tins for parties", "evidence": [number], "reason": "bought twice"},
        {"tag": "cake tins from mars", "evidence": [99], "reason": "made up"},
    ]
    return said("Here you are:\n```json\n" + json.dumps({"scenario": entries, "brand": "NA"}) + "\n```")


def event(number: int, kind: Any, at_s: float, item: str | None = None) -> Event:
    ts_ms = START_MS + round(at_s * 1000)
    return Event(event_id=str(number), user_id="u", type=kind, ts_ms=ts_ms, item_id=item)


class Log:
    """What the test puts on the topics, and reads there."""

    def __init__(self, servers: Servers, producer: AIOKafkaProducer) -> None:
        self._servers = servers
        self._producer = producer

    async def items(self) -> None:
        for item in ITEMS:
            await self._producer.send_and_wait(topics.ITEMS, codec.encode(item), key=item.item_id.encode())

    async def happens(self, *events: Event) -> None:
        """The events, and then nothing for two hours: what is due fires."""
        for one in events:
            await self._producer.send_and_wait(topics.EVENTS, codec.encode(one), key=b"u")
        later = str(events[-1].ts_ms + 7_200_000).encode()
        for partition in range(topics.USER_PARTITIONS):
            headers = [(topics.WATERMARK_HEADER, later)]
            await self._producer.send_and_wait(topics.EVENTS, None, key=b"", partition=partition, headers=headers)

    async def values(self, topic: str) -> list[bytes]:
        async with AIOKafkaConsumer(bootstrap_servers=self._servers.bootstrap, auto_offset_reset="earliest") as consumer:
            places = [TopicPartition(topic, number) for number in range(topics.TOPICS[topic].partitions)]
            consumer.assign(places)
            await consumer.seek_to_beginning(*places)
            ends, found = await consumer.end_offsets(places), []
            while any([await consumer.position(place) < ends[place] for place in places]):
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    found += [record.value for record in records]
            return found


async def until(servers: Servers, reached: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + WAIT_S
    while not (found := await reached()):
        servers.watch()
        assert time.monotonic() < deadline
        await asyncio.sleep(0.2)
    return found


async def walk(servers: Servers, config: Path) -> None:
    client = Redis.from_url(servers.redis_url)
    profiles = ProfileStore(client, tenant=TENANT)

    async def inferred() -> dict[str, Any]:
        state = await profiles.read("u")
        profile = None if state is None else decode(state.profile)
        return {} if profile is None or profile.inference is None else profile.inference.short_term

    async with AIOKafkaProducer(bootstrap_servers=servers.bootstrap) as producer:
        log = Log(servers, producer)
        await log.items()
        servers.start_worker("profiles", config)
        servers.start_worker("profiling", config)
        await log.happens(event(0, "visit", 0), event(1, "purchase", 1, "tins"), event(2, "purchase", 2, "mug"))
        tags = await until(servers, inferred)
        assert list(tags) == ["scenario:cake tins for parties"]
        # What SerenGPT is told from now on.
        await log.happens(event(3, "visit", 100_000))

        async def asked_again() -> list[Any]:
            requests = [codec.decode_request(value) for value in await log.values(topics.REQUESTS) if value]
            return [request for request in requests if request.as_of_ms > START_MS + 90_000_000]

        [request] = await until(servers, asked_again)
        told = digest(decode(request.profile), Catalogue(ITEMS).get, request.as_of_ms, POLICY)
        found = [tag for tag in told.short_term if tag.family == "scenario"]
        assert [(tag.text, len(tag.evidence)) for tag in found] == [("cake tins for parties", 1)]
        # The evidence is hidden, and its tag goes.
        await log.happens(event(4, "hide", 110_000, "tins"))

        async def gone() -> bool:
            return not await inferred()

        await until(servers, gone)
        answers = [codec.decode_answer(value) for value in await log.values(topics.PROFILE_TAGS)]
        assert [answer.refused for answer in answers] == [{"unknown_evidence": 1}]
        assert answers[0].model_id == "endpoint/big"
        assert answers[0].short_term[0].reason == "bought twice"
    await client.aclose()


def test_language_model_s_tags_reach_the_digest_and_go_with_their_evidence(tmp_path: Path) -> None:
    (tmp_path / "redis").mkdir()
    reply.calls = 0  # type: ignore[attr-defined]
    with scripted_model(reply) as model, Servers(tmp_path, Addresses(), print) as servers:
        config = write_config(tmp_path, servers, start_ms=0)
        config.write_text(config.read_text() + CONFIG.format(url=model.url))
        asyncio.run(walk(servers, config))
    assert {one["model"] for one in model.asked} == {"big"}
