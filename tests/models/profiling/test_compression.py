"""Laws of behaviour compression: nothing that is kept is lost, nothing foreign gets out of its place, budgets hold."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.errors import DecodeError
from models.profiling.compression import (
    CompressionPolicy,
    Deed,
    Kept,
    compress,
    counted,
    is_reliable,
    parse,
    uncompressed,
)

DAY_MS = 86_400_000
NOW_MS = 15_000 * DAY_MS
POLICY = CompressionPolicy()
TYPES = ("purchase", "cart", "favourite", "search", "click", "cancel", "hide")

nasty = st.text(alphabet=st.sampled_from("ab ,|\\\n\r()x\u2028\x85\x1c"), max_size=8)
deeds = st.lists(
    st.builds(Deed, ts_ms=st.integers(0, NOW_MS), type=st.sampled_from(TYPES), text=st.one_of(nasty, st.text(max_size=6))),
    max_size=30,
)
bought = st.lists(
    st.builds(
        Deed,
        ts_ms=st.integers(NOW_MS - 800 * DAY_MS, NOW_MS),
        type=st.sampled_from(TYPES),
        text=st.sampled_from(["mug", "red, mug", "tray", "a | b", "tins"]),
    ),
    max_size=40,
)


def at(age_days: float, kind: str, text: str) -> Deed:
    return Deed(NOW_MS - round(age_days * DAY_MS), kind, text)  # type: ignore[arg-type]


@settings(max_examples=300, deadline=None)
@given(given_deeds=st.one_of(deeds, bought))
def test_parse_of_compressed_gives_every_behaviour_back(given_deeds: list[Deed]) -> None:
    compressed = compress(given_deeds, NOW_MS, POLICY)
    assert parse(compressed.lines) == counted(given_deeds, NOW_MS, POLICY)
    assert compressed.kept == len(given_deeds)
    assert compressed.dropped == 0
    assert compressed.text.splitlines() == list(compressed.lines)  # no text ends a line, in any sense of Python's


@settings(max_examples=100, deadline=None)
@given(given_deeds=bought, data=st.data())
def test_order_of_behaviours_changes_nothing(given_deeds: list[Deed], data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations(given_deeds))
    budget = data.draw(st.integers(0, 200))
    assert compress(shuffled, NOW_MS, POLICY, budget=budget) == compress(given_deeds, NOW_MS, POLICY, budget=budget)


@settings(max_examples=200, deadline=None)
@given(given_deeds=bought, budget=st.integers(0, 300))
def test_budget_holds_and_what_is_left_is_told_without_loss(given_deeds: list[Deed], budget: int) -> None:
    compressed = compress(given_deeds, NOW_MS, POLICY, budget=budget)
    assert len(compressed.text) <= budget
    assert compressed.kept + compressed.dropped == len(given_deeds)
    found = parse(compressed.lines)
    assert sum(found.values()) == compressed.kept
    texts = {kept.text for kept in found}
    assert found == counted([deed for deed in given_deeds if deed.text in texts], NOW_MS, POLICY)


@settings(max_examples=100, deadline=None)
@given(given_deeds=bought)
def test_compressed_text_is_longer_by_two_brackets_a_behaviour_at_most(given_deeds: list[Deed]) -> None:
    assert len(compress(given_deeds, NOW_MS, POLICY).text) <= len(uncompressed(given_deeds)) + 2 * len(given_deeds)


@settings(max_examples=200, deadline=None)
@given(line=st.one_of(st.text(max_size=40), nasty))
def test_any_text_is_parsed_or_refused(line: str) -> None:
    try:
        found = parse([line])
    except DecodeError:
        return
    assert all(isinstance(kept, Kept) for kept in found)


def test_lines_are_cut_by_day_month_and_year_and_shared_by_equal_sets() -> None:
    # 2011-01-26 is day 15,000; 30 days before lies 2010-12-27, 365 days before 2010-01-26.
    history = [
        at(1, "purchase", "mug"),
        at(1, "purchase", "mug"),
        at(1, "cart", "mug"),
        at(31, "purchase", "tray"),
        at(31, "purchase", "tins"),
        at(40, "purchase", "tray"),
        at(40, "purchase", "tins"),
        at(400, "search", "cake, stand"),
    ]
    assert compress(history, NOW_MS, POLICY).lines == (
        "2009 (search) | cake\\, stand",
        "2010-12 (purchase x2) | tins, tray",
        "2011-01-25 (cart, purchase x2) | mug",
    )


def test_budget_lets_the_least_valuable_text_go_first() -> None:
    # Worth: mug 1, old 2^(-360/90) = 1/16, click 0.3. Lines of 26, 19 and 23 characters and line ends.
    history = [at(0, "purchase", "mug"), at(360, "purchase", "old"), at(0, "click", "seen")]
    texts = [
        {kept.text for kept in parse(compress(history, NOW_MS, POLICY, budget=budget).lines)} for budget in (200, 60, 30, 5)
    ]
    assert texts == [{"mug", "old", "seen"}, {"mug", "seen"}, {"mug"}, set()]


@pytest.mark.parametrize(
    ("kind", "dwell_ms", "expected"),
    [
        ("purchase", None, True),
        ("search", None, True),
        ("hide", None, True),
        ("click", None, False),
        ("click", 9_999, False),
        ("click", 10_000, True),
        ("expose", 60_000, False),
        ("visit", None, False),
    ],
)
def test_only_intentional_feedback_and_searches_are_reliable(kind: str, dwell_ms: int | None, expected: bool) -> None:
    assert is_reliable(kind, dwell_ms, POLICY) is expected  # type: ignore[arg-type]


def test_one_text_that_is_item_and_query_is_told_as_both() -> None:
    found = parse(compress([at(0, "purchase", "mug"), at(0, "search", "mug")], NOW_MS, POLICY).lines)
    assert found == Counter({Kept("2011-01-26", "purchase", "mug"): 1, Kept("2011-01-26", "search", "mug"): 1})


def test_times_past_the_calendar_are_told_as_its_last_day() -> None:
    compressed = compress([Deed(2**53 - 1, "purchase", "mug")], 2**53 - 1, POLICY)
    assert compressed.lines == ("9999-12-31 (purchase) | mug",)
