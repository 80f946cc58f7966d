"""Laws of the endpoint behind the profiling stage, held against a server that really answers over HTTP, well or badly."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from models.entities import Digest
from models.errors import ConfigError, EngineError, EngineOverloaded, MalformedAnswer
from models.profiling.model import Question
from streams.engines.chat import ANSWER_BYTES
from streams.profiling.models import EndpointProfileModel, endpoint_model
from streams.profiling.settings import ProfilingEndpoint, ProfilingSettings
from tests.streams.engines.scripted_model import Reply, Scripted, said, scripted_model

GOOD = json.dumps({"interest": [{"tag": "baking", "evidence": [1], "reason": "tins"}]})


def question(text: str, seed: int = 0) -> Question:
    return Question(level="short_term", system="rules", user=text, pieces=(), digest=Digest(), seed=seed)


@contextmanager
def model(server: Scripted, **settings: Any) -> Iterator[EndpointProfileModel]:
    chat = ProfilingEndpoint(url=server.url, model="big", attempts=1, key_variable="KEY", **settings.pop("chat", {}))
    made = endpoint_model(ProfilingSettings(endpoint=chat, **settings), {"KEY": "secret"})
    try:
        yield made
    finally:
        made.close()


def test_questions_are_asked_apart_with_rules_schema_and_key_and_answered_in_their_order() -> None:
    with scripted_model(lambda body: said(body["messages"][1]["content"].upper())) as server, model(server) as asked:
        assert asked.infer([question(f"user {number}", number) for number in range(9)]) == [f"USER {n}" for n in range(9)]
        assert asked.model_id == "endpoint/big"
    assert {one["key"] for one in server.asked} == {"Bearer secret"}
    assert {one["messages"][0]["content"] for one in server.asked} == {"rules"}
    assert sorted(one["seed"] for one in server.asked) == list(range(9))
    schema = server.asked[0]["response_format"]["json_schema"]["schema"]
    assert set(schema["required"]) == {"thoughts", "category", "brand", "attribute", "interest", "scenario"}


def test_endpoint_that_refuses_schemas_is_asked_without() -> None:
    with scripted_model(lambda _: said(GOOD)) as server, model(server, with_schema=False) as asked:
        asked.infer([question("u")])
    assert "response_format" not in server.asked[0]


def test_as_many_questions_wait_at_the_endpoint_as_are_allowed() -> None:
    together = threading.Barrier(3)

    def reply(_: dict[str, Any]) -> Reply:
        together.wait(timeout=20)  # passes only when three are here
        return said(GOOD)

    with scripted_model(reply) as server, model(server, concurrency=3) as asked:
        assert asked.infer([question("u")] * 6) == [GOOD] * 6


@pytest.mark.parametrize(
    ("reply", "error", "words"),
    [
        (Reply(200, b"no json"), MalformedAnswer, "answer"),
        (Reply(200, b'{"choices": []}'), MalformedAnswer, "no choice"),
        (Reply(200, b" " * (ANSWER_BYTES + 2)), MalformedAnswer, "the bound"),
        (Reply(200, b"x" * 1_000, rest_s=0.05), EngineOverloaded, "no whole answer within 1 s"),
        (Reply(503, b"busy"), EngineOverloaded, "HTTP 503"),
        (Reply(401, b"bad key"), EngineError, "HTTP 401"),
    ],
)
def test_error_of_one_question_is_its_own(reply: Reply, error: type[Exception], words: str) -> None:
    def by_user(body: dict[str, Any]) -> Reply:
        return reply if body["messages"][1]["content"] == "bad" else said(GOOD)

    with scripted_model(by_user) as server, model(server, chat={"timeout_s": 1.0}) as asked:
        good, bad, also = asked.infer([question("good"), question("bad"), question("good")])
    assert (good, also) == (GOOD, GOOD)
    assert type(bad) is error
    assert words in str(bad)
    assert "secret" not in str(bad)


def test_endpoint_without_an_address_is_refused_by_the_key_of_the_configuration() -> None:
    with pytest.raises(ConfigError, match=r"profiling\.endpoint\.url"):
        endpoint_model(ProfilingSettings(model="endpoint"), {})
