"""Run by test_transport.py: a chunk app against a broker, by a plan (JSON in argv[1]); prints what it saw as JSON.

The plan: `bootstrap`; `starts`, what `take_over` answers; `until`, how many records the agent waits for; `commits`, offsets to
commit one call after the other, by partition; `leave`: raise the first error that ends the app.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from faust.types import TP

from streams.transport import ChunkApp, ChunkConsumer, ChunkSchema, ChunkTransport

TOPIC, PARTITIONS, GROUP = "chunks", 3, "chunk-walk"
WAIT_S = 40.0  # for a group of the embedded broker to form and the records to come; 5 s usual


class WatchedConsumer(ChunkConsumer):
    """Notes, for each fetch, whether a partition was held back and how long the fetch may wait.

    During the first fetches that bring records, the group's generation changes: as when a fetch outlasts a rebalance.
    """

    fetches: list[tuple[bool, float]]
    outlasting = 3

    async def _getmany(self, active_partitions: set[TP] | None, timeout: float) -> Any:  # noqa: ASYNC109  # Faust's name
        self.fetches.append((set(active_partitions or ()) != self.assignment(), timeout))
        records = await super()._getmany(active_partitions, timeout)
        if records and self.outlasting:
            self.outlasting -= 1
            self.app.consumer_generation_id += 1
            self._sought_generation += 1  # nobody seeks: the assignment is the same
        return records


class Transport(ChunkTransport):
    Consumer = WatchedConsumer


class App(ChunkApp):
    def _new_transport(self) -> Any:
        return Transport(self.conf.broker_consumer, self)


async def walk(plan: dict[str, Any]) -> dict[str, Any]:
    app = App(
        GROUP,
        broker=f"kafka://{plan['bootstrap']}",
        store="memory://",
        web_enabled=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        stream_buffer_maxsize=4,
        stream_wait_empty=False,
        broker_max_poll_records=500,
        broker_commit_interval=0.05,
        broker_commit_every=1,
        consumer_auto_offset_reset="earliest",
        broker_session_timeout=3.0,  # a group of the embedded broker waits this long for the life before
        broker_heartbeat_interval=0.5,
    )
    WatchedConsumer.fetches = []
    assignments: list[list[int]] = []
    chunks: list[tuple[int, list[int], list[str], int]] = []
    got = most_buffered = 0
    done = asyncio.Event()

    async def take_over(assigned: set[TP]) -> Mapping[TP, int]:
        assignments.append(sorted(tp.partition for tp in assigned))
        return {TP(TOPIC, int(number)): offset for number, offset in plan["starts"].items()}

    app.take_over = take_over

    @app.agent(app.topic(TOPIC, schema=ChunkSchema()), name="walk", concurrency=1)
    async def agent(stream: Any) -> None:
        nonlocal got, most_buffered
        async for chunk in stream:  # with Faust's acknowledgements, which must commit nothing
            chunks.append(
                (
                    chunk.partition,
                    [record.offset for record in chunk.records],
                    [record.value.decode() for record in chunk.records],
                    chunk.end_offset,
                )
            )
            got += len(chunk.records)
            most_buffered = max(most_buffered, app.buffered())
            if got >= plan["until"]:
                done.set()
            await asyncio.sleep(0.01)  # slower than the fetcher, so that the buffer fills

    answers = []
    async with app:
        async with asyncio.timeout(WAIT_S):
            await done.wait()
        await asyncio.sleep(0.3)  # six of Faust's commit intervals
        committed = [await _committed(plan["bootstrap"])]
        for offsets in plan["commits"]:
            answers.append(await app.commit_offsets({TP(TOPIC, int(number)): offset for number, offset in offsets.items()}))
            committed.append(await _committed(plan["bootstrap"]))
        ends = {TP(TOPIC, number): plan["ends"][number] for number in range(PARTITIONS)} if "ends" in plan else {}
        work_ends = {tp.partition: end for tp, end in app.work_ends(ends).items()}
        crashed = app.crashed or app.consumer.crashed
    answer_after_stop = await app.commit_offsets({TP(TOPIC, 0): 1})
    return {
        "chunks": chunks,
        "assignments": assignments,
        "fetches": WatchedConsumer.fetches,
        "answers": answers,
        "answer_after_stop": answer_after_stop,
        "committed": committed,
        "committed_after_stop": await _committed(plan["bootstrap"]),
        "crashed": crashed,
        "most_buffered": most_buffered,
        "work_ends": work_ends,
    }


async def _committed(bootstrap: str) -> list[int | None]:
    async with AIOKafkaConsumer(bootstrap_servers=bootstrap, group_id=GROUP, enable_auto_commit=False) as consumer:
        return [await consumer.committed(TopicPartition(TOPIC, number)) for number in range(PARTITIONS)]


if __name__ == "__main__":
    print(json.dumps(asyncio.run(walk(json.loads(sys.argv[1])))))
