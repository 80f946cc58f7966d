"""Laws of `seren doctor`: what is well passes, what is not is named with what to do, and secrets stay secret."""

from __future__ import annotations

import asyncio
import json
import tomllib
from pathlib import Path

import pytest
import redis
from aiokafka import AIOKafkaProducer
from click.testing import CliRunner, Result

from models.entities import Item
from models.errors import ConfigError
from streams import codec, topics
from streams.cli.doctor import doctor
from streams.doctor import checks
from streams.doctor.checks import Offsets, check_checkpoints, check_eviction, check_lag, check_topics
from streams.embedded.broker import start_broker
from streams.embedded.redis import RunningRedis
from streams.state import Checkpoint

ROOT = Path(__file__).parents[3]
ALL = {topic.name: topic.partitions for topic in topics.TOPICS.values()}


def run(bootstrap: str, redis_url: str, *words: str, **environment: str) -> Result:
    variables = {"SEREN_KAFKA_BOOTSTRAP": bootstrap, "SEREN_REDIS_URL": redis_url, "COLUMNS": "250", **environment}
    return CliRunner().invoke(doctor, list(words), env=variables)


def statuses(ended: Result) -> dict[str, str]:
    return {check["name"]: check["status"] for check in json.loads(ended.stdout)["checks"]}


def point(next_offset: int | None) -> Checkpoint:
    return Checkpoint(epoch=1, number=1, next_offset=next_offset, watermark_ms=0)


async def _put_item(bootstrap: str) -> None:
    async with AIOKafkaProducer(bootstrap_servers=bootstrap) as producer:
        item = Item(item_id="i", title="a lamp", category=("lamp",))
        await producer.send_and_wait(topics.ITEMS, codec.encode(item), b"i", partition=0)


@pytest.mark.usefixtures("redis_client")
def test_doctor_with_everything_in_place_is_well_and_exits_with_0(redis_server: RunningRedis) -> None:
    with start_broker(ALL) as broker:
        asyncio.run(_put_item(broker.bootstrap))
        ended = run(broker.bootstrap, redis_server.url, "--json")
        shown = run(broker.bootstrap, redis_server.url)
    assert set(statuses(ended).values()) == {"ok"}, ended.stdout
    assert (ended.exit_code, shown.exit_code) == (0, 0)
    assert json.loads(ended.stdout)["versions"]["faust-streaming"] == checks.FAUST_VERSION
    assert "rules.profile.window.visit_days" in shown.stdout
    assert "noeviction" in shown.stdout


@pytest.mark.usefixtures("redis_client")
def test_doctor_with_topics_missing_says_so_and_makes_none(redis_server: RunningRedis) -> None:
    with start_broker({topics.EVENTS: 4}) as broker:
        first = run(broker.bootstrap, redis_server.url, "--json")
        second = run(broker.bootstrap, redis_server.url, "--json")
    for ended in (first, second):
        found = statuses(ended)
        assert (found["topics"], found["catalogue"], found["judging lag"]) == ("failed", "skipped", "skipped")
        assert ended.exit_code == 1


def test_doctor_with_nothing_there_fails_quickly_and_shows_no_secret() -> None:
    ended = run("127.0.0.1:1", "redis://user:hush@127.0.0.1:1/0")
    assert ended.exit_code == 1
    assert "hush" not in ended.output
    assert "redis://user:***@127.0.0.1:1/0" in ended.stdout
    assert ended.stdout.count("what to do") >= 2
    found = statuses(run("127.0.0.1:1", "redis://127.0.0.1:1/0", "--json"))
    assert (found["Redis"], found["Kafka"], found["checkpoints"]) == ("failed", "failed", "skipped")


def test_doctor_with_a_url_that_is_none_of_redis_names_the_key() -> None:
    ended = run("127.0.0.1:1", "http://no-redis", "--json")
    assert isinstance(ended.exception, ConfigError)
    assert "redis.url" in str(ended.exception)


def test_doctor_with_a_key_that_nobody_knows_names_the_nearest() -> None:
    ended = run("127.0.0.1:1", "redis://127.0.0.1:1/0", SEREN_KAFKA_BOOTSTRP="x")
    assert isinstance(ended.exception, ConfigError)
    assert "SEREN_KAFKA_BOOTSTRAP" in str(ended.exception)


def test_doctor_with_a_model_folder_that_is_none_fails_and_names_it(tmp_path: Path) -> None:
    check = checks.check_serengpt("ctranslate2", str(tmp_path))
    assert (check.status, str(tmp_path) in check.detail) == ("failed", True)


def test_pinned_faust_is_the_one_of_the_package() -> None:
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    assert f"faust-streaming=={checks.FAUST_VERSION}" in wanted


@pytest.mark.parametrize(
    ("policy", "status"),
    [("noeviction", "ok"), ("volatile-ttl", "ok"), ("volatile-lru", "failed"), ("allkeys-lfu", "failed")],
)
def test_eviction_policy_that_may_drop_profiles_fails(policy: str, status: str) -> None:
    assert check_eviction({"maxmemory_policy": policy, "maxmemory": 2**30}).status == status


def test_eviction_is_read_from_a_real_server(redis_server: RunningRedis) -> None:
    with redis.Redis.from_url(redis_server.url) as client:
        assert check_eviction(client.info()).detail == "noeviction, 512 MiB"


def test_topics_with_other_partitions_fail_and_name_both_numbers() -> None:
    check = check_topics(ALL | {topics.REQUESTS: 3})
    assert (check.status, check.detail) == ("failed", "seren-requests has 3 partitions, not 4")


def test_lag_is_summed_and_fails_only_where_nobody_ever_worked() -> None:
    busy = check_lag("lag", Offsets({0: 10, 1: 5}, {0: 4, 1: 5}), "seren worker profiles")
    assert (busy.status, busy.detail) == ("ok", "6 records (0: 4/10, 1: 5/5)")
    assert check_lag("lag", Offsets({0: 10}, {0: 0}), "c").status == "failed"
    assert check_lag("lag", Offsets({0: 0}, {0: 0}), "c").status == "ok"


@pytest.mark.parametrize(
    ("next_offset", "committed", "end", "status", "advice"),
    [
        (7, 7, 9, "ok", ""),
        (9, 7, 9, "ok", ""),  # a crash between the checkpoint and the commit
        (None, 0, 9, "ok", ""),
        (3, 7, 9, "failed", "Redis lost state"),
        (12, 7, 9, "failed", "another Kafka"),
    ],
)
def test_checkpoints_and_offsets_must_tell_one_story(
    next_offset: int | None, committed: int, end: int, status: str, advice: str
) -> None:
    check = check_checkpoints(Offsets({0: end}, {0: committed}), {0: point(next_offset)})
    assert check.status == status
    assert advice in check.advice
