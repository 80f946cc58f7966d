"""Laws of `seren replay`: any cut, memory, Redis and Kafka end in the same profiles, and bad lines are named."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import redis.asyncio
from click.testing import CliRunner, Result

from models.entities import UserAttributes
from streams.cli.replay import replay
from streams.demo.servers import Addresses, Servers
from streams.embedded.redis import RunningRedis
from streams.recorded.playback import Consumers, NoConsumers
from streams.state import PartitionStore
from tests.streams.recorded.made_log import brass_log


@pytest.fixture
def log_folder(tmp_path: Path) -> Path:
    """Five users who visit and buy one thing on each of twelve days: 120 events."""
    users = [UserAttributes(user_id="user 1", attributes={"country": "France"})]
    return brass_log(tmp_path / "log", user_count=5, days=12, users=users)


def run(*words: str | Path) -> Result:
    return CliRunner().invoke(replay, [str(word) for word in words])


def printed(*words: str | Path) -> dict:
    ended = run(*words, "--json")
    assert ended.exit_code == 0, (ended.output, ended.exception)
    return json.loads(ended.stdout)


def test_replay_cut_differently_ends_in_the_same_profiles(log_folder: Path) -> None:
    """The second replay applies 97 records at a time, so no batch boundary is where it was."""
    outcome = printed(log_folder, "--verify")
    assert (outcome["events"], outcome["users"], outcome["items"]) == (120, 5, 30)
    assert outcome["verified"] is True
    assert outcome["again"]["profiles_sha256"] == outcome["profiles_sha256"]
    assert printed(log_folder, "--batch", "1")["profiles_sha256"] == outcome["profiles_sha256"]


def test_replay_of_a_changed_log_has_another_digest(log_folder: Path, tmp_path: Path) -> None:
    lines = [
        b'{"event_id":"1","user_id":"u","type":"visit","ts_ms":5}',
        b'{"event_id":"2","user_id":"u","type":"visit","ts_ms":6}',
    ]
    (tmp_path / "one.jsonl").write_bytes(lines[0] + b"\n")
    (tmp_path / "two.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    assert printed(tmp_path / "one.jsonl")["profiles_sha256"] != printed(tmp_path / "two.jsonl")["profiles_sha256"]


@pytest.mark.usefixtures("redis_client")
def test_replay_into_redis_equals_memory_and_changes_nothing_twice(log_folder: Path, redis_server: RunningRedis) -> None:
    """The second time, every event and the four ends of time lie before the checkpoints."""
    memory = printed(log_folder)
    first = printed(log_folder, "--redis", redis_server.url, "--tenant", "t")
    second = printed(log_folder, "--redis", redis_server.url, "--tenant", "t")
    assert (first["store"], first["already_applied"]) == ("redis", 0)
    assert second["already_applied"] == 120 + 4
    assert {memory["profiles_sha256"], first["profiles_sha256"], second["profiles_sha256"]} == {memory["profiles_sha256"]}
    assert first["requests"] == memory["requests"]


def test_replay_through_kafka_and_a_worker_ends_in_the_profiles_of_the_engine(log_folder: Path, tmp_path: Path) -> None:
    with Servers(tmp_path / "servers", Addresses(), lambda _: None) as servers:
        config = tmp_path / "seren.toml"
        config.write_text(
            f'kafka.bootstrap = "{servers.bootstrap}"\nkafka.manage_topics = false\n'
            f'redis.url = "{servers.redis_url}"\nrules.check_clock = false\n'
        )
        words = ["replay", str(log_folder), "--to-kafka", "--wait", "--json", "--config", str(config)]
        sent = subprocess.Popen(
            [sys.executable, "-m", "streams", *words], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True
        )
        try:
            servers.start_worker("profiles", config)
            out, _ = sent.communicate(timeout=50)
        finally:
            sent.kill()
            sent.wait()
    outcome = json.loads(out)
    assert (outcome["events"], outcome["users"], sum(outcome["ends"].values())) == (120, 5, 120 + 4)
    assert outcome["profiles_sha256"] == printed(log_folder)["profiles_sha256"]


def test_replay_names_the_lines_that_are_no_events(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(
        b'{"event_id":"1","user_id":"u","type":"visit","ts_ms":5}\nnonsense\n'
        b'{"event_id":"2","user_id":"u","type":"nap","ts_ms":5}\n'
        b'{"event_id":"3","user_id":"u","type":"click","item_id":"x","ts_ms":9}\n'
    )
    outcome = printed(path)
    assert (outcome["events"], outcome["unknown_items"], outcome["dead_letters"]["count"]) == (2, 1, 2)
    assert [(one["file"], one["line"]) for one in outcome["dead_letters"]["first"]] == [("events", 2), ("events", 3)]
    shown = run(path).stdout
    assert "first dead letters" in shown
    assert "nap" in shown


def test_replay_with_items_beside_a_bare_file_knows_them(log_folder: Path) -> None:
    outcome = printed(log_folder / "events.jsonl.zst", "--items", log_folder / "items.jsonl.zst")
    assert (outcome["items"], outcome["unknown_items"]) == (30, 0)


def test_replay_answers_the_newest_requests_the_same_twice(log_folder: Path) -> None:
    first = printed(log_folder, "--slates", "--slate-limit", "2")["slates"]
    second = printed(log_folder, "--slates", "--slate-limit", "2", "--batch", "7")["slates"]
    assert (first["requests"], first["slates"], first["failed"]) == (2, 2, {})
    assert first["slates_sha256"] == second["slates_sha256"]


def test_replay_from_a_score_log_asks_no_model_and_gives_the_same_bytes(log_folder: Path, tmp_path: Path) -> None:
    words = ("--slates", "--slate-limit", "2", "--scores", str(tmp_path / "scores.jsonl"))
    first = printed(log_folder, *words)["slates"]
    assert (first["model_calls"], first["imagine_misses"], first["scores_read"]) == (2, 2, 0)
    assert first["scores_written"] == 4
    second = printed(log_folder, *words)["slates"]
    assert (second["model_calls"], second["imagine_hits"], second["score_misses"]) == (0, 2, 0)
    assert (second["scores_read"], second["scores_refused"], second["scores_written"]) == (4, 0, 0)
    assert second["slates_sha256"] == first["slates_sha256"]


def test_verified_replay_shows_that_its_second_pass_asks_no_model(log_folder: Path, tmp_path: Path) -> None:
    for words in ((), ("--scores", str(tmp_path / "scores.jsonl"))):
        found = printed(log_folder, "--verify", "--slates", "--slate-limit", "2", *words)
        assert found["verified"] is True
        assert (found["slates"]["model_calls"], found["slates_again"]["model_calls"]) == (2, 0)
        assert found["slates_again"]["imagine_hits"] == 2
        assert found["slates_again"]["slates_sha256"] == found["slates"]["slates_sha256"]


def test_verified_replay_with_too_little_memory_for_its_score_log_fails_and_says_so(
    log_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEREN_SCORES_CACHE_BYTES", "0")
    ended = run(log_folder, "--verify", "--slates", "--slate-limit", "2", "--json")
    assert ended.exit_code == 1
    assert "the two replays differ" in ended.stderr
    found = json.loads(ended.stdout)
    assert (found["verified"], found["slates_again"]["same"], found["slates_again"]["model_calls"]) == (False, False, 2)
    assert found["slates_again"]["slates_sha256"] == found["slates"]["slates_sha256"]


def test_score_log_s_damaged_lines_are_asked_anew(log_folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "scores.jsonl"
    words = ("--slates", "--slate-limit", "2", "--scores", str(path))
    first = printed(log_folder, *words)["slates"]
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0].replace(b'"seed":', b'"seed":1') + b"".join(lines[1:]))
    second = printed(log_folder, *words)["slates"]
    assert (second["scores_refused"], second["imagine_misses"], second["scores_written"]) == (1, 1, 1)
    assert second["slates_sha256"] == first["slates_sha256"]


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("--to-kafka", "--scores", "topic"), "--scores"),
        (("--scores", "topic"), "--slates"),
        (("--to-kafka", "--verify"), "--verify"),
        (("--to-kafka", "--slates"), "--slates"),
        (("--wait",), "--wait"),
        (("--speed", "2"), "--speed"),
        (("--partitions", "0"), "--partitions"),
        (("--redis", "http://somewhere"), "--redis"),
    ],
)
def test_replay_with_options_that_make_no_sense_exits_with_2(log_folder: Path, words: tuple[str, ...], named: str) -> None:
    ended = run(log_folder, *words)
    assert ended.exit_code == 2
    assert named in ended.stderr


def test_replay_of_no_log_exits_with_2_and_names_those_that_there_are() -> None:
    ended = run("nowhere")
    assert ended.exit_code == 2
    assert "online-retail" in " ".join(ended.stderr.split())


async def test_replay_without_workers_is_given_up_after_its_patience(redis_client: redis.asyncio.Redis) -> None:
    consumers = Consumers(PartitionStore(redis_client, tenant="t"), partitions=2, patience_s=0.0)
    assert await consumers.awaited() == {0: 0, 1: 0}
    with pytest.raises(NoConsumers, match="seren worker profiles"):
        await consumers.awaited()
