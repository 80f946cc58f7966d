"""Laws of judged lines: as many out as in, in order, whatever they hold; one line never changes another's answer."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.combine import CombinePolicy
from models.judging.home import Adviser
from models.judging.policy import JudgePolicy
from models.pretrained import serengpt_folder
from models.serengpt.checkpoint import read_checkpoint
from models.serengpt.embedded import EmbeddedEngine
from streams.verdicts.lines import Line
from streams.verdicts.wire import LINE_BYTES, JudgedLines, combined

POLICY = JudgePolicy()
GIFTS = ("WHITE HANGING HEART T-LIGHT HOLDER", "SET OF 3 CAKE TINS PANTRY DESIGN", "RETRO SPOT TEA SET CERAMIC 11 PC")


@pytest.fixture(scope="module")
def adviser() -> Adviser:
    checkpoint = read_checkpoint(serengpt_folder())
    return Adviser(EmbeddedEngine(checkpoint), checkpoint.tokenizer, policy=POLICY.home, tastes=POLICY.portrait.tastes)


def lines(*contents: bytes | None) -> list[Line]:
    return [Line(number, content) for number, content in enumerate(contents, start=1)]


def pair(line_id: str | int, title: str, *past: str, **more: Any) -> bytes:
    user = {"history": [{"title": one} for one in past], **more}
    return json.dumps({"id": line_id, "user": user, "item": {"title": title}}).encode()


def read(answers: list[Any]) -> list[dict[str, Any]]:
    return [json.loads(answer.content) for answer in answers]


def test_judged_lines_answer_good_and_bad_lines_in_their_places() -> None:
    given_ = lines(pair("a", "Tea", "Green tea"), b"no json", None, b'{"id":"b","user":{}}', b"", pair(5, "Tea"))
    answers = JudgedLines(None, POLICY).answers(given_)
    assert [one["id"] for one in read(answers)] == ["a", None, None, "b", None, 5]
    assert ["error" in one for one in read(answers)] == [False, True, True, True, True, False]
    assert answers[3].error == "line 4: Object missing required field `item`"
    assert answers[2].error == f"line 3: line of over {LINE_BYTES} bytes, the bound"


def test_judged_line_has_the_promised_fields_and_nothing_else() -> None:
    (answer,) = read(JudgedLines(None, POLICY).answers(lines(pair("a", "Tea", "Green tea"))))
    assert list(answer) == ["id", "serendipity", "relevance", "unexpectedness", "reason"]


@pytest.mark.parametrize(
    "content",
    [
        b'{"id":"a","user":{"history":[{"title":"x","rating":"good"}]},"item":{"title":"x"}}',
        b'{"id":"a","user":{"history":[{"title":"x","rating":1e999}]},"item":{"title":"x"}}',
        b'{"id":"a","user":{"history":[{"title":"x","rating":NaN}]},"item":{"title":"x"}}',
        b'{"id":"a","user":{"history":[{"title":"' + b"x" * 65_537 + b'"}]},"item":{"title":"x"}}',
        b'{"id":"a","user":{},"item":{"title":""}}',
        b'{"id":"a","user":{},"item":{"title":"\\u0000\\u202e"}}',
        b'{"id":"a","user":{},"item":{"title":"\\ud800"}}',
        b'{"id":"a","user":[],"item":{"title":"x"}}',
        b'{"id":"a","user":' + b"[" * 5000 + b"]" * 5000 + b',"item":{"title":"x"}}',
        b'{"id":99999999999999999999,"user":{},"item":{"title":"x"}}',
        b'{"id":"a","user":{},"item":{"title":"\xff"}}',
        b'{"user":{},"item":{"title":"x"}}',
    ],
)
def test_judged_line_that_breaks_a_bound_is_refused_and_the_next_is_judged(content: bytes) -> None:
    bad, good = read(JudgedLines(None, POLICY).answers(lines(content, pair("good", "Tea"))))
    assert bad["id"] in ("a", None)
    assert 0 < len(bad["error"]) < 400
    assert good["relevance"] == POLICY.prior


@given(st.lists(st.binary(max_size=60) | st.sampled_from([pair("a", "Tea", "Tea"), pair(2, "\u202ex", "\x00")]), max_size=5))
def test_judged_lines_of_any_bytes_are_as_many_lines(contents: list[bytes]) -> None:
    for answers in (JudgedLines(None, POLICY).answers(lines(*contents)), combined(lines(*contents), CombinePolicy())):
        assert [answer.number for answer in answers] == list(range(1, len(contents) + 1))
        assert all("error" in one or "serendipity" in one for one in read(answers))
        assert all(b"\n" not in answer.content for answer in answers)


def test_judged_lines_do_not_depend_on_their_neighbours(adviser: Adviser) -> None:
    asked = [pair(place, title, *GIFTS[:place], queries=["cake"]) for place, title in enumerate(GIFTS)]
    together = read(JudgedLines(adviser, POLICY).answers(lines(*asked)))
    apart = [read(JudgedLines(adviser, POLICY).answers(lines(one)))[0] for one in reversed(asked)]
    assert together == apart[::-1]


def test_judged_lines_hear_serengpt_in_its_own_shop_alone(adviser: Adviser) -> None:
    own = pair("own", "JAM MAKING SET WITH JARS", *GIFTS)
    foreign = pair("foreign", "Grave of the Fireflies (1988)", "Run Lola Run (1998)", "Spirited Away (2001)")
    with_model = read(JudgedLines(adviser, POLICY).answers(lines(own, foreign)))
    without = read(JudgedLines(None, POLICY).answers(lines(own, foreign)))
    assert "SerenGPT" in with_model[0]["reason"]
    assert with_model[0]["relevance"] != without[0]["relevance"]
    assert with_model[1] == without[1]


def test_judged_line_of_a_very_long_history_is_judged_by_its_newest_in_bounded_memory() -> None:
    """The newest 10,000 of 60,000 things are looked at; the disliked ones before them are not."""
    old = [{"title": f"Old {place}", "category": "Tea", "rating": 1, "ts_ms": place} for place in range(50_000)]
    new = [{"title": f"New {place}", "category": "Tea", "rating": 5, "ts_ms": 10**6 + place} for place in range(10_000)]
    content = json.dumps({"id": 1, "user": {"history": new + old}, "item": {"title": "Cup", "category": "Tea"}}).encode()
    assert len(content) < LINE_BYTES
    tracemalloc.start()
    (answer,) = read(JudgedLines(None, POLICY).answers(lines(content)))
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert answer["relevance"] > 0.5
    assert peak_bytes < 256 << 20


def test_judged_line_with_numbers_in_quotes_or_a_page_for_a_title_is_judged() -> None:
    """As tables have it that were written out as text; an id in quotes stays a text."""
    told = {"title": "Alien (1979)", "category": "Horror|Sci-Fi", "rating": 5.0, "ts_ms": 1.5e12}
    quoted = told | {"rating": "5.0", "ts_ms": "1500000000000"}
    asked: list[dict[str, Any]] = [
        {"id": "7", "user": {"history": [one]}, "item": {"title": "Aliens (1986)"}} for one in (told, quoted)
    ]
    asked.append({"id": 7, "user": {"history": [told]}, "item": {"title": "Aliens (1986)" + " of a long title" * 4_000}})
    first, second, third = read(JudgedLines(None, POLICY).answers(lines(*(json.dumps(one).encode() for one in asked))))
    assert first == second
    assert first["id"] == "7"
    assert third["serendipity"] > 0.0


def test_first_line_of_a_file_may_begin_with_a_byte_order_mark() -> None:
    (first,) = read(combined(lines(b"\xef\xbb\xbf" + b'{"id":1,"relevance":"0.5"}\r'), CombinePolicy()))
    assert set(first) == {"id", "serendipity"}


@pytest.mark.parametrize("part", ['"high"', '""', "[]", "true", "1.5", '"1.5"', "-0.0001", "1e999", '"nan"', "NaN", "{}"])
def test_combined_line_whose_part_is_no_share_is_refused_alone(part: str) -> None:
    bad, good = read(combined(lines(f'{{"id":1,"relevance":{part}}}'.encode(), b'{"id":2}'), CombinePolicy()))
    assert set(bad) == {"id", "error"}
    assert good == {"id": 2, "serendipity": 0.5}


def test_combined_lines_keep_ids_and_take_null_as_missing() -> None:
    given_ = lines(b'{"id":"a","relevance":0.9,"novelty":null}', b'{"relevance":0.9}', b'{"id":3,"relevance":-0.1}')
    first, second, third = read(combined(given_, CombinePolicy()))
    assert first == {"id": "a", "serendipity": second["serendipity"]}
    assert list(second) == ["serendipity"]
    assert third == {"id": 3, "error": "Expected `float` >= 0.0 - at `$.relevance`"}
