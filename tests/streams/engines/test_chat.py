"""Laws of the chat endpoint, held against a server that really answers over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain, repeat
from typing import Any

import pytest

from models.errors import ConfigError, EngineError, EngineOverloaded, MalformedAnswer
from streams.engines.chat import ANSWER_BYTES, ChatEndpoint, ChatSettings
from tests.streams.engines.scripted_model import Reply, said, scripted_model


@contextmanager
def server(*replies: Reply) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Gives the replies in turn, the last one again and again; keeps what it was asked."""
    turns = chain(replies, repeat(replies[-1]))
    with scripted_model(lambda _: next(turns)) as running:
        yield f"{running.url}/", running.asked


def endpoint(url: str, waits: list[float] | None = None, **environment: str) -> ChatEndpoint:
    settings = ChatSettings(url=url, model="large", attempts=3, timeout_s=5)
    return ChatEndpoint(settings, environment, sleep=(waits if waits is not None else []).append)


def test_ask_sends_system_and_question_apart_and_gives_the_text() -> None:
    with server(said('{"ok": true}')) as (url, asked):
        answer = endpoint(url, CHAT_API_KEY="secret").ask("judge", "tea", schema={"type": "object"}, seed=4)
    assert answer == '{"ok": true}'
    assert asked[0]["path"] == "/v1/chat/completions"
    assert asked[0]["key"] == "Bearer secret"
    assert [one["content"] for one in asked[0]["messages"]] == ["judge", "tea"]
    assert (asked[0]["model"], asked[0]["temperature"], asked[0]["seed"]) == ("large", 0, 4)
    assert asked[0]["response_format"]["json_schema"]["schema"] == {"type": "object"}


def test_busy_endpoint_is_asked_again_with_growing_waits() -> None:
    waits: list[float] = []
    with server(Reply(503, b"busy"), Reply(429, b"slow down"), said("yes")) as (url, asked):
        assert endpoint(url, waits).ask("s", "q") == "yes"
    assert (len(asked), waits) == (3, [1.0, 2.0])


def test_endpoint_that_stays_busy_is_overloaded_and_says_what_it_said() -> None:
    with (
        server(Reply(503, b"no room")) as (url, asked),
        pytest.raises(EngineOverloaded, match="3 attempts, the last: HTTP 503"),
    ):
        endpoint(url).ask("s", "q")
    assert len(asked) == 3


def test_endpoint_that_is_away_is_overloaded() -> None:
    with pytest.raises(EngineOverloaded, match="ConnectionRefusedError"):
        endpoint("http://127.0.0.1:9/v1").ask("s", "q")


def test_refused_question_is_not_asked_again_and_the_key_is_not_told() -> None:
    with server(Reply(401, b"bad key")) as (url, asked), pytest.raises(EngineError, match="HTTP 401: bad key") as caught:
        endpoint(url, CHAT_API_KEY="secret").ask("s", "q")
    assert len(asked) == 1
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [b"", b"no json", b'{"choices": []}', said(None).body, b"[" * 100_000, b'{"choices": 5}', b" " * (ANSWER_BYTES + 1)],
)
def test_what_is_no_answer_is_an_error_of_this_question(content: bytes) -> None:
    with server(Reply(200, content)) as (url, _), pytest.raises(MalformedAnswer, match="answer"):
        endpoint(url).ask("s", "q")


@pytest.mark.parametrize("url", ["", "ftp://host/v1", "127.0.0.1:8000", "file:///etc/passwd"])
def test_url_that_is_none_is_refused_by_name(url: str) -> None:
    with pytest.raises(ConfigError, match=r"teacher\.url"):
        endpoint(url)
