"""`seren read`, `seren blend` and `seren why` against a real Redis: what they print, and how they exit."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import redis.asyncio

from models.entities import Behaviour, Candidate, Digest, Filtered, ScoredItem, Slate, Source, Tag, Trace
from streams.cli import main
from streams.embedded.redis import RunningRedis
from streams.keys import slate_key, why_key
from streams.slates.store import Publication, SlateStore

EVIL = "a [bold]lamp[/] \x1b[31m\u202e"
USER = "u|1 \x1b[2J"


class Ended(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Seren = Callable[..., Ended]


@pytest.fixture
def seren(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], redis_server: RunningRedis) -> Seren:
    """Runs one command line against the test's Redis."""
    monkeypatch.setenv("COLUMNS", "250")

    def run(*words: str, url: str = redis_server.url, tenant: str = "t") -> Ended:
        monkeypatch.setattr(sys, "argv", ["seren", *words, "--redis", url, "--tenant", tenant])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return Ended(int(ended.value.code or 0), out, err)

    return run


def scored(item_id: str, serendipity: float, reason: int = 1) -> ScoredItem:
    return ScoredItem(
        item_id=item_id,
        serendipity=serendipity,
        relevance=1.0,
        unexpectedness=0.6,
        aligned=1.0,
        propensity=1.0,
        reason=reason,
    )


@pytest.fixture
async def published(redis_client: redis.asyncio.Redis) -> None:
    kept = (scored("s1", 0.6), scored("s2", 0.2, reason=4))
    slate = Slate(
        user_id=USER,
        surface="home",
        epoch=3,
        offset=70,
        watermark_ms=1_291_191_960_000,
        published_ms=1_291_191_961_000,
        soft_expiry_ms=1_291_191_990_000,
        model_id="m1",
        tier="serengpt",
        items=kept,
    )
    trace = Trace(
        user_id=USER,
        surface="home",
        reason="visit",
        as_of_ms=1_291_191_960_000,
        offset=70,
        digest=Digest(
            static=("adult",),
            long_term=(Tag("candles", "category", 0.75, (3, 68)),),
            history=(Behaviour("click", EVIL, 1_291_191_950_000, 68, "i"),),
        ),
        imagined=("a brass lantern", "a paper star"),
        candidates=(
            Candidate(item_id="s1", relevance=1.0, sources=(Source("keyword", 1, 0, 7.5), Source("vector", 0, 3, 0.5))),
            Candidate(item_id="s2", relevance=1.0, sources=()),
            Candidate(item_id="owned", relevance=0.5, sources=()),
            Candidate(item_id="weak", relevance=0.125, sources=()),
        ),
        filtered=(Filtered("owned", "owned"),),
        kept=kept,
    )
    store = SlateStore(redis_client, tenant="t", hard_ttl_ms=60_000)
    assert await store.publish([Publication(slate, trace)]) == ["accepted"]


def page_file(folder: Path, text: str) -> str:
    path = folder / "page.json"
    path.write_text(text, encoding="utf-8")
    return str(path)


@pytest.mark.usefixtures("published")
def test_read_prints_the_slate_for_people_and_for_programs(seren: Seren) -> None:
    shown = seren("read", USER)
    assert (shown.code, shown.err) == (0, "")
    for word in ("s1", "0.6000", "slate 3-70", "tier serengpt", "2010-12-01 08:26:00", "STALE", "looked for lately"):
        assert word in shown.out
    assert "\x1b[2J" not in shown.out
    printed = seren("read", USER, "--json").json
    assert (printed["user_id"], printed["slate_id"], printed["is_stale"]) == (USER, "3-70", True)
    assert [(item["item_id"], item["reason_text"]) for item in printed["items"]] == [
        ("s1", "in line with what you looked for lately"),
        ("s2", "a new corner that people like you enjoy"),
    ]


@pytest.mark.usefixtures("published")
@pytest.mark.parametrize("words", [("read", "nobody"), ("read", USER, "--surface", "search"), ("why", "nobody", "s1")])
def test_command_without_a_slate_exits_with_1_and_says_so(seren: Seren, words: tuple[str, ...]) -> None:
    ended = seren(*words)
    assert (ended.code, ended.out) == (1, "")
    assert "there is no" in ended.err
    printed = seren(*words, "--json")
    assert (printed.code, printed.json) == (1, None)


@pytest.mark.usefixtures("published")
def test_read_of_another_tenant_finds_nothing(seren: Seren) -> None:
    assert seren("read", USER, tenant="other").code == 1


def test_command_with_redis_away_exits_with_2_and_says_so(seren: Seren, tmp_path: Path) -> None:
    page = page_file(tmp_path, '{"items": []}')
    for words in (("read", "u"), ("why", "u", "i"), ("blend", "u", "--page", page)):
        ended = seren(*words, url="redis://127.0.0.1:1/0")
        assert (ended.code, ended.out) == (2, "")
        assert "Redis is away" in ended.err


def test_command_with_a_url_that_is_none_exits_with_2(seren: Seren) -> None:
    for words in (("read", "u"), ("why", "u", "i")):
        ended = seren(*words, url="http://somewhere")
        assert ended.code == 2
        assert "--redis" in ended.err


async def test_command_on_bytes_that_are_no_slate_exits_with_2(seren: Seren, redis_client: redis.asyncio.Redis) -> None:
    await redis_client.set(slate_key("t", "u", "home"), b"junk")
    await redis_client.set(why_key("t", "u", "home"), b"junk")
    assert [seren("read", "u").code, seren("why", "u", "i").code] == [2, 2]


@pytest.mark.usefixtures("published")
def test_blend_prints_the_page_with_channels_and_rules(seren: Seren, tmp_path: Path) -> None:
    """Ten places, shares 0.1 to 0.3, boost 1.5: 0.6 x 1.5 = 0.9 stands after p0 (1) and before p1 (8/9)."""
    items = [{"item_id": f"p{at}", "score": 10 - at, "title": "ignored"} for at in range(10)]
    page = page_file(tmp_path, json.dumps({"items": items, "exposed": ["s2", "p3"]}))
    ended = seren("blend", USER, "--page", page, "--json")
    places = ended.json["page"]
    assert (ended.code, ended.json["slate_id"]) == (0, "3-70")
    assert [place["item_id"] for place in places] == ["p0", "s1", "p1", "p2", "p4", "p5", "p6", "p7", "p8", "p9"]
    assert places[1] | {"channel": "serendipity", "rule": "score", "score_before": pytest.approx(0.6, abs=1e-4)} == places[1]
    shown = seren("blend", USER, "--page", page)
    assert "1 of 10 places are serendipitous" in shown.out


def test_blend_without_a_slate_prints_the_page_alone_and_exits_with_1(seren: Seren, monkeypatch: pytest.MonkeyPatch) -> None:
    stdin = io.TextIOWrapper(io.BytesIO(b'{"items": [{"item_id": "p", "score": 1}]}'))
    monkeypatch.setattr(sys, "stdin", stdin)
    ended = seren("blend", "nobody", "--page", "-", "--json")
    assert ended.code == 1
    assert [place["item_id"] for place in ended.json["page"]] == ["p"]
    assert ended.json["slate_id"] is None


@pytest.mark.parametrize(
    "text",
    ["", "[]", '{"items": [{"item_id": "p"}]}', '{"items": [{"item_id": "", "score": 1}]}', '{"items": [], "shown": []}'],
)
def test_blend_of_a_malformed_page_exits_with_2_and_names_the_fault(seren: Seren, tmp_path: Path, text: str) -> None:
    ended = seren("blend", "u", "--page", page_file(tmp_path, text))
    assert ended.code == 2
    assert "--page" in ended.err


@pytest.mark.usefixtures("published")
@pytest.mark.parametrize(
    ("item", "code", "outcome", "shown"),
    [
        ("s1", 0, "kept", "place 1: serendipity 0.6000 = relevance 1.000 x unexpectedness 0.600 x aligned 1.000"),
        ("owned", 0, "filtered", "dropped by the rule 'owned'"),
        ("weak", 0, "not selected", "found with relevance 0.125"),
        ("stranger", 1, "not retrieved", "none of the imagined titles found it"),
    ],
)
def test_why_tells_what_became_of_an_item(seren: Seren, item: str, code: int, outcome: str, shown: str) -> None:
    printed = seren("why", USER, item, "--json")
    assert (printed.code, printed.json["outcome"]) == (code, outcome)
    ended = seren("why", USER, item)
    assert ended.code == code
    assert shown in ended.out


@pytest.mark.usefixtures("published")
def test_why_shows_the_chain_without_letting_titles_act_on_the_terminal(seren: Seren) -> None:
    out = seren("why", USER, "s1").out
    for word in ("visit", "candles (0.75, from offsets 3, 68)", "a paper star", "keyword", "7.5", "a [bold]lamp[/]"):
        assert word in out
    assert not {"\x1b", "\u202e"} & set(out)
    sources = seren("why", USER, "s1", "--json").json["sources"]
    assert [source["title"] for source in sources] == ["a paper star", "a brass lantern"]
