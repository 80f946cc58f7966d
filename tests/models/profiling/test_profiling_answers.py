"""Laws of reading a language model's JSON: any text is candidates or a malformed answer, and nothing is invented."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.errors import MalformedAnswer
from models.profiles.features import FAMILIES
from models.profiling.answers import ANSWER_CHARS, MAX_CANDIDATES, Candidate, parse_answer

jsons = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["tag", "evidence", "reason", "x"]) | st.text(max_size=4), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None)
@given(text=st.text(max_size=200) | st.text(alphabet='{}[]":,0 \\tagevidnc', max_size=60))
def test_any_text_is_an_answer_or_malformed(text: str) -> None:
    try:
        parse_answer(text)
    except MalformedAnswer as error:
        assert error.text == text[:200]


@settings(max_examples=300, deadline=None)
@given(value=st.dictionaries(st.sampled_from([*FAMILIES, "thoughts", "other"]), jsons, min_size=1, max_size=5))
def test_any_object_with_a_family_is_an_answer(value: dict[str, Any]) -> None:
    try:
        found = parse_answer(json.dumps(value))
    except MalformedAnswer:
        # Only where no family is there, or the JSON is none (NaN, Infinity).
        assert not value.keys() & set(FAMILIES) or any(word in json.dumps(value) for word in ("NaN", "Infinity"))
        return
    for candidate in found.candidates:
        assert candidate.family in value
        assert all(isinstance(number, int) for number in candidate.evidence)


def entry(tag: Any = "cake tins", evidence: Any = (1,), **more: Any) -> dict[str, Any]:
    return {"tag": tag, "evidence": list(evidence) if isinstance(evidence, tuple) else evidence, **more}


def parsed(**families: Any) -> tuple[Candidate, ...]:
    return parse_answer(json.dumps(families)).candidates


def test_entries_are_cleaned_and_keep_their_families_in_order() -> None:
    found = parsed(interest=[entry("Home\nBaking <|end|>", (2, 2, 1), reason="Tins & cutters")], category=[entry()])
    assert found == (
        Candidate(family="category", text="cake tins", evidence=(1,)),
        Candidate(family="interest", text="home baking end", evidence=(2, 1), reason="tins & cutters"),
    )


@pytest.mark.parametrize("nothing", ["NA", "n/a", "none", [], None, ""])
def test_family_that_says_nothing_has_no_tags(nothing: Any) -> None:
    assert parsed(category=[entry()], brand=nothing) == parsed(category=[entry()])


@pytest.mark.parametrize("wrapped", ["```json\n{}\n```", "Here it is: {} Hope this helps!", "  {}  "])
def test_prose_and_fences_around_the_object_are_passed_over(wrapped: str) -> None:
    text = json.dumps({"category": [entry()]})
    assert parse_answer(wrapped.replace("{}", text)).candidates == parsed(category=[entry()])


@pytest.mark.parametrize(
    ("cited", "expected"),
    [
        ("3", (3,)),
        (["[3]", "#4", 5], (3, 4, 5)),
        ([1.5, True, None, "x", {}], (0,)),
        ("all", (0,)),
        ([], ()),
        ([-1, 9**9], (-1, 9**9)),
    ],
)
def test_numbers_in_any_dress_are_read_and_others_cite_what_does_not_exist(cited: Any, expected: tuple[int, ...]) -> None:
    assert parsed(category=[entry(evidence=cited)])[0].evidence == expected


def test_entries_that_are_none_are_counted_and_cost_no_other() -> None:
    found = parse_answer(
        json.dumps({"category": [entry(), 7, {"evidence": [1]}, {"tag": 3}], "mood": [entry()], "thoughts": "x"})
    )
    assert found.candidates == parsed(category=[entry()])
    assert found.refused == {"malformed": 3, "family": 1}


def test_entries_past_the_bound_are_counted() -> None:
    found = parse_answer(json.dumps({"category": [entry(f"tag {number}") for number in range(MAX_CANDIDATES + 5)]}))
    assert len(found.candidates) == MAX_CANDIDATES
    assert found.refused == {"too_many": 5}


@pytest.mark.parametrize(
    "text", ["", "NA", "[]", '{"mood": []}', '{"category": [', "{" * 5_000, "x" * (ANSWER_CHARS + 1), '{"a":' * 50_000 + "1"]
)
def test_text_without_an_answer_is_malformed_and_keeps_its_beginning(text: str) -> None:
    with pytest.raises(MalformedAnswer) as caught:
        parse_answer(text)
    assert caught.value.text == text[:200]
