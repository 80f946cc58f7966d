"""A trace context through real workers, the embedded broker and a real Redis: from an event's header to `seren why`."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest
import redis.asyncio
from aiokafka import AIOKafkaProducer

from models.entities import Event
from streams import codec, topics
from streams.demo.servers import TENANT, Addresses, Servers, write_config
from streams.keys import why_key
from streams.recorded.logs import RecordedLog

ID = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{ID}-b7ad6b7169203331-01".encode()
DAY_MS = 86_400_000
START_MS = 20_000 * DAY_MS
WAIT_S = 120.0

pytestmark = pytest.mark.timeout(180)


def test_event_s_trace_is_the_slate_s_trace(tmp_path: Path, small_log: RecordedLog) -> None:
    (tmp_path / "redis").mkdir()
    with Servers(tmp_path, Addresses(), print) as servers:
        config = write_config(tmp_path, servers, start_ms=0)
        item_id = asyncio.run(_walk(servers, config, small_log))
        said = subprocess.run(
            [sys.executable, "-m", "streams", "why", "u", item_id, "--config", str(config), "--json"],
            capture_output=True,
            check=True,
            timeout=60,
        )
    assert json.loads(said.stdout)["trace_id"] == ID


async def _walk(servers: Servers, config: Path, log: RecordedLog) -> str:
    items = [line for _, line in log.items()]
    item_ids = [codec.decode_item(line).item_id for line in items]
    async with AIOKafkaProducer(bootstrap_servers=servers.bootstrap) as producer:
        for item_id, line in zip(item_ids, items, strict=True):
            await producer.send(topics.ITEMS, line, key=item_id.encode())
        await producer.flush()
        for kind in ("profiles", "judging"):
            servers.start_worker(kind, config)
        for place in range(4):
            event = Event(
                event_id=str(place),
                user_id="u",
                type="visit" if place == 0 else "click",
                ts_ms=START_MS + place * 1000,
                item_id=None if place == 0 else item_ids[place],
            )
            headers = [("traceparent", PARENT)] if place == 2 else []
            await producer.send_and_wait(topics.EVENTS, codec.encode(event), key=b"u", partition=0, headers=headers)
        end = [(topics.WATERMARK_HEADER, str(START_MS + DAY_MS).encode())]
        await producer.send_and_wait(topics.EVENTS, None, key=b"", partition=0, headers=end)
    client = redis.asyncio.Redis.from_url(servers.redis_url)
    try:
        async with asyncio.timeout(WAIT_S):
            while not await client.exists(why_key(TENANT, "u", "home")):
                servers.watch()
                await asyncio.sleep(0.2)
    finally:
        await client.aclose()
    return item_ids[1]
