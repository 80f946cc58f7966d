"""The whole walk, as a user of `seren demo` gets it: real workers, a real Redis, the embedded broker, a real recorded log."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from streams.demo.servers import Servers
from streams.demo.walk import Moment, WalkOptions

DAYS = 30.0  # of the small log's end in which slates are asked for

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def one_worker(play: Any, small_log: Any) -> Any:
    return play(small_log, days=DAYS)


def test_walk_applies_every_event_and_answers_every_request(one_worker: Any, small_log: Any) -> None:
    counts = one_worker.walked.counts
    lines = sum(1 for _ in small_log.events())
    assert lines > 1_000
    assert one_worker.walked.replayed.events == lines
    assert counts['seren_events_total{outcome="applied"}'] == lines
    assert counts['seren_events_total{outcome="unknown_item"}'] == 0
    assert one_worker.slates
    assert set(one_worker.slates) == set(one_worker.traces)


def test_walk_offers_nothing_that_the_user_owns(one_worker: Any) -> None:
    for user_id, slate in one_worker.slates.items():
        trace = one_worker.traces[user_id]
        bought = {deed.item_id for deed in trace.digest.history if deed.type == "purchase"}
        offered = [item.item_id for item in slate.items]
        assert offered
        assert not bought.intersection(offered)
        assert len(set(offered)) == len(offered)
        assert [item.item_id for item in trace.kept] == offered


def test_walk_explains_every_offer_from_an_imagined_title(one_worker: Any) -> None:
    for trace in one_worker.traces.values():
        found = {candidate.item_id: candidate.sources for candidate in trace.candidates}
        for item in trace.kept:
            assert all(0 <= source.imagined < len(trace.imagined) for source in found[item.item_id])
            assert item.serendipity == pytest.approx(item.relevance * item.unexpectedness * item.aligned, abs=1e-5)


def test_walk_with_a_torn_line_names_it_and_changes_nothing_else(play: Any, spoilt_log: Any, one_worker: Any) -> None:
    """And with two workers of each kind: the same slates, byte for byte."""
    spoilt = play(spoilt_log, WalkOptions(profile_workers=2, judging_workers=2), days=DAYS)
    [(value, headers)] = spoilt.letters
    assert value == b'{"event_id":"torn","user_id":"1'
    assert headers["reason"].startswith(b"line 1001: event:")
    assert headers["error"] == b"DecodeError"
    assert spoilt.packed == one_worker.packed


def test_walk_with_redis_killed_in_the_middle_ends_in_the_same_slates(play: Any, small_log: Any, one_worker: Any) -> None:
    killed = []

    def kill_once(servers: Servers, moment: Moment) -> None:
        if moment.slates >= 3 and not killed:
            killed.append(servers.redis_pid)
            os.kill(servers.redis_pid, signal.SIGKILL)

    disturbed = play(small_log, days=DAYS, disturb=kill_once)
    assert killed
    assert disturbed.redis_restarts == 1
    assert disturbed.packed == one_worker.packed


def test_walk_with_the_model_s_process_killed_in_the_middle_ends_in_the_same_slates(
    play: Any, small_log: Any, one_worker: Any
) -> None:
    killed: list[int] = []

    def kill_once(_: Servers, moment: Moment) -> None:
        if moment.slates >= 3 and not killed:
            killed.extend(_processes_below(os.getpid(), "streams.engines.hosting.child"))
            for pid in killed:
                os.kill(pid, signal.SIGKILL)

    disturbed = play(small_log, days=DAYS, disturb=kill_once)
    assert len(killed) == 1
    assert disturbed.walked.counts['seren_engine_restarts_total{why="lost"}'] == 1
    assert disturbed.packed == one_worker.packed


def _processes_below(ancestor: int, command: str) -> list[int]:
    """The descendants of a process that run a command."""
    parents, found = {}, []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int((folder / "stat").read_text().rsplit(")")[-1].split()[1])
            if command in (folder / "cmdline").read_text():
                found.append(int(folder.name))
        except (FileNotFoundError, ProcessLookupError):  # it ended meanwhile
            continue

    def is_below(pid: int) -> bool:
        return pid == ancestor or (pid in parents and is_below(parents[pid]))

    return [pid for pid in found if is_below(pid)]
