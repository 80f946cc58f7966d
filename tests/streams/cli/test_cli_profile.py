"""Laws of `seren profile`: what is stored is what is shown, with titles where a catalogue is at hand."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import redis.asyncio

from models.entities import Event, Item, UserAttributes
from models.profiles import Profile, encode, item_features, update, update_attributes
from models.profiles.inferred import Inference, InferredTag
from models.profiles.policy import DAY_MS, ProfilePolicy
from streams.cli import main
from streams.embedded.redis import RunningRedis
from streams.keys import profile_key
from streams.recorded.logs import About, write_log
from streams.state import ProfileStore, ProfileWrite

DAY = 20_000
BOUGHT_MS = DAY * DAY_MS + 3_600_000
LAMP = Item(item_id="l1", title="a [bold]lamp[/] \x1b[31m", category=("home", "lamp"), tags=("interest:reading",))


class Ended(NamedTuple):
    code: int
    out: str
    err: str


Seren = Callable[..., Ended]


@pytest.fixture
def seren(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], redis_server: RunningRedis) -> Seren:
    monkeypatch.setenv("COLUMNS", "250")

    def run(*words: str, url: str = redis_server.url, tenant: str = "t") -> Ended:
        monkeypatch.setattr(sys, "argv", ["seren", "profile", *words, "--redis", url, "--tenant", tenant])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return Ended(int(ended.value.code or 0), out, err)

    return run


@pytest.fixture
async def stored(redis_client: redis.asyncio.Redis) -> None:
    """One user who bought a lamp; offset 7 of partition 3, epoch 5."""
    profile, policy = Profile(), ProfilePolicy()
    update_attributes(profile, UserAttributes(user_id="u", attributes={"country": "France"}), max_bytes=192)
    bought = Event(event_id="e", user_id="u", type="purchase", ts_ms=BOUGHT_MS, item_id="l1")
    update(profile, bought, item_features(LAMP, max_tag_bytes=48), (), offset=7, policy=policy)
    profile.pending, profile.pending_since_ms = "visit", BOUGHT_MS
    store = ProfileStore(redis_client, tenant="t")
    write = ProfileWrite("u", 7, encode(profile), 60_000)
    assert await store.write([write], epoch=5, partition=3) == [True]


@pytest.mark.usefixtures("stored")
def test_profile_prints_levels_window_possessions_and_trigger(seren: Seren) -> None:
    """One purchase: posterior 1 and one repetition of eight: 0.6 x 1 + 0.2 x 0 + 0.2 x 1/8 = 0.625 for both tags."""
    ended = seren("u", "--json")
    found: dict[str, Any] = json.loads(ended.out)
    assert ended.code == 0
    assert (found["epoch"], found["partition"], found["offset"], found["events"]) == (5, 3, 7, 1)
    assert found["static"] == ["country: France"]
    assert {(tag["family"], tag["text"], tag["score"], *tag["evidence"]) for tag in found["short_term"]} == {
        ("category", "lamp", 0.625, 7),
        ("interest", "reading", 0.625, 7),
    }
    assert [(line["type"], line["title"], line["offset"]) for line in found["history"]] == [("purchase", "l1", 7)]
    assert found["window"] == {"visit_days": ["2024-10-04"], "categories": 1, "brands": 0, "sellers": 0}
    assert found["possessions"] == {"owned": 1, "in_cart": 0, "rejected": 0}
    assert (found["trigger"]["pending"], found["trigger"]["due_ms"]) == ("visit", BOUGHT_MS + 30_000)
    assert 0 < found["bytes"] <= found["bytes_bound"] == 4096


@pytest.mark.usefixtures("stored")
def test_profile_with_a_log_shows_titles_without_letting_them_act_on_the_terminal(seren: Seren, tmp_path) -> None:
    about = About(
        name="Lamps",
        licence="CC0-1.0",
        source="made for a test",
        first_ts_ms=0,
        last_ts_ms=0,
        events=0,
        users=0,
        items=1,
        events_by_type={},
        impressions=False,
        notes="",
        importer_version=1,
    )
    write_log(tmp_path / "log", about, events=[], items=[LAMP], users=[])
    ended = seren("u", "--log", str(tmp_path / "log"))
    assert ended.code == 0
    assert "a [bold]lamp[/]" in ended.out
    assert "\x1b" not in ended.out
    for word in ("country: France", "0.6250", "2024-10-04", "visit since", "of 4096 bytes"):
        assert word in ended.out


@pytest.mark.usefixtures("stored")
def test_profile_as_of_a_later_time_is_decayed_to_it(seren: Seren) -> None:
    later = json.loads(seren("u", "--json", "--as-of", str(BOUGHT_MS + DAY_MS)).out)
    assert later["as_of_ms"] == BOUGHT_MS + DAY_MS


@pytest.mark.usefixtures("stored")
def test_profile_of_nobody_exits_with_1_and_says_so(seren: Seren) -> None:
    for words, tenant in ((("nobody",), "t"), (("u",), "other")):
        ended = seren(*words, tenant=tenant)
        assert (ended.code, ended.out) == (1, "")
        assert "there is no profile" in ended.err
    assert json.loads(seren("nobody", "--json").out) is None


def test_profile_with_redis_away_or_misspelt_exits_with_2(seren: Seren) -> None:
    ended = seren("u", url="redis://127.0.0.1:1/0")
    assert (ended.code, ended.out) == (2, "")
    assert "Redis is away" in ended.err
    assert "--redis" in seren("u", url="http://somewhere").err


async def test_profile_of_bytes_that_are_none_raises_nothing_but_exits_with_2(
    redis_server: RunningRedis, redis_client: redis.asyncio.Redis
) -> None:
    await redis_client.set(profile_key("t", "u"), b"junk")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "streams", "profile", "u", "--redis", redis_server.url, "--tenant", "t", stderr=-1, stdout=-1
    )
    out, err = await process.communicate()
    assert (process.returncode, out) == (2, b"")
    assert b"profile state of 4 bytes" in err


async def test_profile_tells_what_a_language_model_inferred_and_on_what(
    redis_client: redis.asyncio.Redis, seren: Seren
) -> None:
    """Asked at noon on the day of the purchase; a score of 0.5 as of that day's begin has lost 2^(-1h/14d) by the purchase."""
    profile, policy = Profile(), ProfilePolicy()
    bought = Event(event_id="e", user_id="u", type="purchase", ts_ms=BOUGHT_MS, item_id="l1")
    update(profile, bought, item_features(LAMP, max_tag_bytes=48), (), offset=7, policy=policy)
    tag = InferredTag(score=5_000, day=DAY, evidence=(7,), names=(1,))
    asked_ms = DAY * DAY_MS + 43_200_000
    profile.inference = Inference(
        asked_ms=asked_ms, answered_ms=asked_ms, answers=1, short_term={"scenario:reading nook": tag}
    )
    write = ProfileWrite("u", 7, encode(profile), 60_000)
    assert await ProfileStore(redis_client, tenant="t").write([write], epoch=5, partition=3) == [True]
    found = json.loads((await asyncio.to_thread(seren, "u", "--json")).out)
    inference = found["inference"]
    assert (inference["is_waiting"], inference["answers"], inference["long_term"]) == (False, 1, [])
    assert inference["short_term"] == [{"tag": "scenario:reading nook", "score": 0.499, "evidence": [7]}]
    assert ("scenario", "reading nook") in {(tag["family"], tag["text"]) for tag in found["short_term"]}
    assert "scenario:reading nook" in (await asyncio.to_thread(seren, "u")).out
