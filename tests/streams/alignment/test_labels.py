"""Laws of where labels come from: a file, the topic and a replay give the same ones."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer

from models.entities import Digest, SerendipityLabel
from models.errors import BrokerError, BrokerUnavailable, LogError
from streams import topics
from streams.alignment.labels import labels_of_files, labels_of_log, labels_of_topic
from streams.codec import encode
from streams.deadletters.letter import FORGOTTEN
from streams.embedded.broker import start_broker
from streams.partition import Rules
from streams.recorded.logs import RecordedLog, write_lines


def label(number: int, user: str = "u") -> SerendipityLabel:
    return SerendipityLabel(
        event_id=f"e{number}", user_id=user, item_id="i", title="Tea", category="tea", ts_ms=number, partition=0,
        offset=number, channel=None, related_strict=True, related_loose=True, visit_days=3,
        digest=Digest() if number == 0 else None,
    )  # fmt: skip


def test_labels_of_a_file_are_read_and_what_is_none_is_counted(tmp_path: Path) -> None:
    write_lines(tmp_path / "labels.jsonl.zst", [encode(label(0)), b"no label", b"", encode(label(1))])
    found = labels_of_files([tmp_path / "labels.jsonl.zst"])
    assert (found.labels, found.refused) == ([label(0), label(1)], 1)


def test_labels_of_a_missing_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(LogError, match=r"none\.jsonl"):
        labels_of_files([tmp_path / "none.jsonl"])


async def test_labels_of_a_replay_carry_each_days_profile_once(small_log: RecordedLog) -> None:
    found = await labels_of_log(small_log, Rules(), advance=lambda _: None)
    assert found.refused == 0
    days = {(one.user_id, one.ts_ms // 86_400_000) for one in found.labels}
    assert len([one for one in found.labels if one.digest is not None]) == len(days) > 100


async def test_labels_of_the_topic_leave_out_users_who_were_forgotten_since(tmp_path: Path) -> None:
    with start_broker({topics.LABELS: 1, topics.DEAD_LETTERS: 1}) as broker:
        bootstrap = broker.bootstrap
        async with AIOKafkaProducer(bootstrap_servers=bootstrap) as producer:
            for number, user in enumerate("aab"):
                await producer.send_and_wait(topics.LABELS, encode(label(number, user)), user.encode(), partition=0)
            await producer.send_and_wait(topics.LABELS, b"no label", b"b", partition=0)
            headers = [("error", FORGOTTEN.encode())]
            await asyncio.sleep(0.01)  # the broker's next millisecond
            await producer.send_and_wait(topics.DEAD_LETTERS, None, b"a", headers=headers)
        found = await labels_of_topic(bootstrap)
    assert (found.labels, found.refused, found.forgotten) == ([label(2, "b")], 1, 2)


async def test_labels_of_a_broker_that_is_away_is_an_error_that_names_it() -> None:
    with pytest.raises((BrokerUnavailable, BrokerError), match=r"127\.0\.0\.1:9"):
        await labels_of_topic("127.0.0.1:9")
