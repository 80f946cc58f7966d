"""Laws of the cost curve: its workload is what it says. No law about cost."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest
import redis
from click.testing import CliRunner

from models.profiles import decode
from streams.bench import scale
from streams.bench.drain import stored_events
from streams.embedded.redis import start_redis
from streams.knowledge import Knowledge
from streams.offline import Refusals, read_items
from streams.partition import Rules
from streams.recorded.logs import shipped_log

ITEMS = read_items(shipped_log("online-retail"), Refusals())
RULES = Rules(check_clock=False)
KNOWLEDGE = Knowledge(ITEMS, max_tag_bytes=RULES.profile.short_term.max_tag_bytes)


def test_sessions_begin_with_a_visit_end_with_a_purchase_and_go_on_together() -> None:
    users = [number % 7 for number in range(scale._AT_ONCE + 50)]
    found = list(scale.sessions(users, ITEMS, length=4, seed=3, first_ms=100))
    assert Counter(event.type for _, event in found) == {"visit": 250, "click": 500, "purchase": 250}
    assert [user for user, _ in found[: 2 * scale._AT_ONCE]] == users[: scale._AT_ONCE] * 2
    assert [event.ts_ms for _, event in found] == [100 + scale._STEP_MS * place for place in range(1_000)]
    assert len({event.event_id for _, event in found}) == 1_000
    assert found == list(scale.sessions(users, ITEMS, length=4, seed=3, first_ms=100))


def test_routed_users_stay_in_the_partition_that_fill_gave_them() -> None:
    records = scale.routed(scale.sessions(range(9), ITEMS, length=3, seed=1, first_ms=1), partitions=4, first_offset=1)
    assert {(number, record.key) for number, record in records} == {(user % 4, b"user-%d" % user) for user in range(9)}
    for partition in range(4):
        offsets = [record.offset for number, record in records if number == partition]
        assert offsets == list(range(1, len(offsets) + 1))


def test_first_profiles_hold_one_session_each_and_differ() -> None:
    profiles = scale.first_profiles(KNOWLEDGE, ITEMS, RULES)
    assert {decode(profile).events for profile in profiles} == {scale.FIRST_EVENTS}
    assert len(set(profiles)) == len(profiles) == scale._KINDS


def test_engine_takes_the_filled_states_over_and_fetches_who_does_not_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = {"WARM_SESSIONS": 40, "SESSIONS": 20, "MAX_USERS": 8, "CHECKPOINT_EVENTS": 25, "_AT_ONCE": 4}
    for name, value in (small | {"_STEP_MS": 2_000}).items():  # so that triggers fire: who waits for one stays in memory
        monkeypatch.setattr(scale, name, value)
    with start_redis(tmp_path) as server, redis.Redis.from_url(server.url) as client:
        scale.fill(server.url, 100, scale.first_profiles(KNOWLEDGE, ITEMS, RULES), partitions=4)
        assert client.dbsize() == 100
        assert stored_events(server.url) == (100, 100 * scale.FIRST_EVENTS)
        found = asyncio.run(scale.measured(server.url, 100, ITEMS, KNOWLEDGE, RULES))
        users, events = stored_events(server.url)
    assert found["events"] == 20 * scale.SESSION_EVENTS
    assert 0.0 < found["fetched"] <= 1.0
    assert users == 100  # nobody was taken for somebody else
    assert 100 * scale.FIRST_EVENTS < events <= 100 * scale.FIRST_EVENTS + 60 * scale.SESSION_EVENTS


def test_curve_ends_where_memory_ends_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scale, "free_bytes", lambda: 1_000_000_000)
    written = []
    monkeypatch.setattr(scale, "_write", lambda result, *_: written.append(result))
    ended = CliRunner().invoke(scale.main, ["--users", "10000", "--out", str(tmp_path)])
    assert ended.exit_code == 0, ended.output
    assert written[0]["points"] == []
    assert written[0]["ended"] == "10,000 users need 3.0 GB with some to spare, and 1.0 GB are free"
