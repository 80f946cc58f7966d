"""Laws of the benchmark beside peers: nobody is compared by a run that lost or doubled events. No law about speed."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import redis

from models.entities import Event
from models.errors import StoreError
from models.profiles import Profile, ProfilePolicy, encode, update
from streams.bench.drain import TENANT, Drained, Sending, Visible, empty, stored_events
from streams.bench.loading import MARK
from streams.bench.peers.fold import Fold
from streams.bench.peers.report import COLUMNS, cells, report, whole_cells
from streams.bench.peers.rounds import CONTESTANTS, Contestant, PeerFailed, Row, Run, answer, checked, run_peer, turns
from streams.bench.peers.task import Tally
from streams.embedded.redis import start_redis
from streams.keys import profile_key
from streams.production import partition_of
from streams.state import ProfileState, encode_profile_state

RUN = Run(events=10, in_profiles=10, users=2, cpu_s=0.5, wall_s=2.0)
OURS, PEER = Contestant(name="ours", keeps="all"), Contestant(name="peer", module="peer", keeps="nothing")


def test_run_that_lost_or_doubled_events_is_refused() -> None:
    assert checked(RUN, asked=10) is RUN
    with pytest.raises(PeerFailed, match="folded 10 of 11 events"):
        checked(RUN, asked=11)
    for held in (9, 11):
        with pytest.raises(PeerFailed, match=f"its profiles hold {held}"):
            checked(Run(events=10, in_profiles=held, users=2, cpu_s=1.0, wall_s=1.0), asked=10)


def test_answer_is_the_last_line_of_the_output() -> None:
    said = '{"events":10,"in_profiles":10,"users":2,"cpu_s":0.5,"wall_s":2.0}'
    assert answer(0, f"a library greets\n{said}\n", "and warns") == RUN


@pytest.mark.parametrize(
    ("code", "output", "errors", "reason"),
    [
        (1, "", "Traceback\nImportError: no such tool\n", "exit code 1: ImportError: no such tool"),
        (0, "", "", "exit code 0: nothing said"),
        (0, "hello", "", "'hello' is no result"),
        (0, '{"events":10}', "", "is no result: Object missing required field"),
    ],
)
def test_answer_of_a_peer_that_failed_says_why(code: int, output: str, errors: str, reason: str) -> None:
    with pytest.raises(PeerFailed, match=reason):
        answer(code, output, errors)


def test_peer_whose_tool_is_not_there_fails_with_its_error(tmp_path: Path) -> None:
    told = {
        "kafka": "127.0.0.1:1",
        "redis": "redis://127.0.0.1:1",
        "topic": "t",
        "group": "g",
        "events": 1,
        "folder": tmp_path,
    }
    with pytest.raises(PeerFailed, match=r"No module named streams\.bench\.peers\.peer"):
        run_peer(PEER, Path(sys.executable), **told)


def test_turns_let_everybody_run_once_a_round_and_begin_once() -> None:
    rounds = turns(CONTESTANTS, len(CONTESTANTS))
    assert all(sorted(one.name for one in each) == sorted(one.name for one in CONTESTANTS) for each in rounds)
    assert {each[0].name for each in rounds} == {one.name for one in CONTESTANTS}


def test_row_shows_medians_per_core_and_by_wall() -> None:
    runs = [Run(events=900, in_profiles=900, users=3, cpu_s=cpu_s, wall_s=3.0) for cpu_s in (1.0, 3.0, 2.0)]
    # 900, 300 and 450 events a CPU second: 450 in the middle, 2,222.2 us each
    assert cells(Row(OURS, runs)) == ("ours", "450", "300", "2222.2", "900", "3", "all")
    assert len(COLUMNS) == 7


def test_row_of_a_peer_that_never_ran_says_why_and_the_rest_stays() -> None:
    failed = Row(PEER, error="no such tool")
    assert cells(failed)[1:] == ("-", "-", "-", "-", "-", "did not run: no such tool")
    said = report({"cores": 2}, [Row(OURS, [RUN]), failed], None, None)
    assert [(one["events_per_core_s"], one["error"]) for one in said["engines"]] == [(20.0, None), (None, "no such tool")]


def test_whole_log_says_when_events_are_missing_in_profiles() -> None:
    drained = Drained(
        events=10, in_profiles=9, users=2, cpu_s=1.0, wall_s=1.0, rss_bytes=5_000_000, checkpoints=1, dead_letters=0
    )
    shown = whole_cells(drained, Visible(events=30, rate=10.0, p50_s=0.5, p99_s=1.0))
    assert shown[0] == ("events", "10", "NOT all")
    assert shown[-1] == ("event to visible profile, p99", "1.00", "s at 10 events/s for 3 s")


def test_sending_counts_a_wait_once_its_partition_is_durable_past_the_record() -> None:
    produced: list[tuple[int, bytes]] = []
    sending = Sending({0: 100, 1: 50}, lambda number, key, _: produced.append((number, key)))
    keys = [b"user-%d" % number for number in range(6)]
    sending.send(iter([(key, b"") for key in keys]), 6)
    assert produced == [(partition_of(key, [0, 1]), key) for key in keys]
    here = sum(number == 0 for number, _ in produced)
    sending.seen({0: 100, 1: 50})
    assert sending.open == 6
    sending.seen({0: 101, 1: 50})
    assert sending.open == 5
    sending.seen({0: 100 + here, 1: 50})
    sending.seen({0: 100 + here + 1, 1: 50 + 6 - here})  # behind our records there may be others
    assert (sending.open, len(sending.waits_s)) == (0, 6)


def test_fold_makes_the_profile_that_update_makes() -> None:
    profile = Profile()
    value = b'{"event_id":"e","user_id":"u","type":"visit","ts_ms":1291191960000}'
    Fold()(profile, value, 7)
    same = Profile()
    event = Event(event_id="e", user_id="u", type="visit", ts_ms=1_291_191_960_000)
    update(same, event, None, (), offset=7, policy=ProfilePolicy())
    assert encode(profile) == encode(same)


def test_tally_prints_what_a_run_reads(capsys: pytest.CaptureFixture[str]) -> None:
    tally = Tally()
    tally.start()
    for user, count in ((b"a", 1), (b"b", 1), (b"a", 2)):
        tally.add(user, count)
    tally.stop()
    output = capsys.readouterr().out
    assert checked(answer(0, output, ""), asked=3).users == 2
    assert json.loads(output)["wall_s"] >= 0.0


def test_redis_of_others_is_never_emptied(tmp_path: Path) -> None:
    with start_redis(tmp_path) as server, redis.Redis.from_url(server.url) as client:
        client.set("theirs", "1")
        with pytest.raises(StoreError, match="holds 1 keys of others"):
            empty(server.url)
        assert client.get("theirs") == b"1"
        client.flushall()
        empty(server.url)
        client.set("ours", "1")
        empty(server.url)
        assert client.keys() == [MARK.encode()]


def test_stored_events_are_those_that_profiles_say_they_hold(tmp_path: Path) -> None:
    with start_redis(tmp_path) as server, redis.Redis.from_url(server.url) as client:
        for user, events in (("a", 3), ("b", 4)):
            profile = Profile()
            profile.events = events
            client.set(profile_key(TENANT, user), encode_profile_state(ProfileState(1, 0, 9, encode(profile))))
        client.set(profile_key("another", "a"), b"theirs")
        assert stored_events(server.url) == (2, 7)
