"""Laws of what goes wrong and of what is fed: decided by the seed alone, and of every kind."""

from __future__ import annotations

import random
from collections import Counter
from itertools import islice
from pathlib import Path

import pytest
import redis

from models.errors import DecodeError
from streams import codec, topics
from streams.chaos.faults import KILLS, OTHERS, make_plan
from streams.chaos.fleet import Fleet
from streams.chaos.records import Records
from streams.chaos.servers import CutRedis
from streams.knowledge import Knowledge
from streams.partition import Partition, Rules
from streams.recorded.logs import RecordedLog
from streams.simulation.broker import Record


def plan(seed: int, kills: int = 100):
    return make_plan(random.Random(seed), lasting_s=900.0, kills=kills, session_s=6.0)


@pytest.mark.parametrize("kills", [0, 1, 14, 100])
def test_plan_has_as_many_kills_as_were_asked_for_within_its_time(kills: int) -> None:
    made = plan(3, kills)
    assert made.kills == kills
    assert all(0 <= fault.at_s <= 900 for fault in made.faults)
    assert [fault.at_s for fault in made.faults] == sorted(fault.at_s for fault in made.faults)


def test_plan_is_the_seed_s() -> None:
    assert plan(3) == plan(3)
    assert plan(3) != plan(4)


def test_full_plan_has_every_kind_and_zombies_outlive_their_session() -> None:
    kinds = Counter(fault.kind for fault in plan(5).faults)
    assert set(kinds) == KILLS.keys() | OTHERS.keys()
    assert kinds["kill profiles"] == 56
    for fault in plan(5).faults:
        if fault.kind.startswith("freeze"):
            assert (fault.lasting_s > 6.0) == (fault.kind == "freeze for long")


def test_records_are_the_seed_s_and_malformed_ones_are_none(small_log: RecordedLog) -> None:
    lines = [line for _, line in small_log.events()][:2_000]

    def stream(seed: int):
        return list(islice(Records(random.Random(seed), lambda: iter(lines), span_ms=10**10, partitions=4), 5_000))

    records = stream(1)
    assert records == stream(1)
    kinds = Counter(one.kind for one in records)
    assert min(kinds["duplicate"], kinds["attributes"], kinds["malformed"]) > 50
    events = [codec.decode_event(one.value or b"") for one in records if one.kind == "event"]
    assert len({event.event_id for event in events}) == len(events) > 2_000
    for one in records:
        if one.kind == "malformed":
            with pytest.raises(DecodeError):
                _decode(one.topic, one.key, one.value)


def _decode(topic: str, key: bytes | None, value: bytes | None) -> None:
    """As the workers do."""
    if topic == topics.REQUESTS:
        codec.decode_request(value or b"")
        return
    knowledge = Knowledge([], max_tag_bytes=48)
    partition = Partition(0, epoch=1, next_offset=0, watermark_ms=0, knowledge=knowledge, rules=Rules(check_clock=False))
    record = Record(topic, 0, 0, 0, key, value, [])
    if topic == topics.EVENTS:
        partition.decode([record])
    else:
        partition.decode_attributes([record])
    for letter in partition.dead_letters:
        raise DecodeError(letter.reason)


def test_power_cut_takes_the_last_writes_and_a_kill_takes_none(tmp_path: Path) -> None:
    server = CutRedis(tmp_path / "redis")
    try:
        client = redis.Redis.from_url(server.url)
        client.config_set("appendfsync", "always")  # a slow disk may hold a write back for two seconds otherwise
        client.set("early", "1")
        server.note()
        client.set("late", "1")
        server.kill()
        server.start()
        assert (client.get("early"), client.get("late")) == (b"1", b"1")
        client.config_set("appendfsync", "always")
        server.note()
        client.set("later", "1")
        assert server.cut_power(0.0) > 0
        server.start()
        assert (client.get("late"), client.get("later")) == (b"1", None)
        client.close()
    finally:
        server.stop()


async def test_fleet_notes_who_ends_on_its_own_and_why(tmp_path: Path) -> None:
    """A worker without a configuration ends at once, by an error of ours."""
    config = tmp_path / "seren.toml"
    config.write_text("[kafka]\nbootstrap_servers = 5\n")
    fleet = Fleet(tmp_path, config)
    slot = fleet.add("profiles")
    fleet.look()
    assert slot.process is not None
    slot.process.wait(30)
    fleet.look()
    [death] = fleet.deaths
    assert (death.slot, death.code) == ("profiles-1", 2)
    assert slot.process is None
