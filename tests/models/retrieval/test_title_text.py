"""Laws of how titles are cut up."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from models.entities import Item
from models.retrieval.text import core, features, item_text, words


@given(st.text(max_size=80))
def test_words_of_any_text_are_never_empty_and_the_same_again(text: str) -> None:
    found = words(text)
    assert all(found)
    assert words(text) == found


@given(st.text(max_size=80), st.integers(min_value=1, max_value=100))
def test_features_of_any_text_are_rows_of_the_table(text: str, buckets: int) -> None:
    assert all(0 <= row < buckets for row in features(text, buckets=buckets))


def test_words_in_full_width_letters_and_capitals_equal_the_plain_ones() -> None:
    assert words("\uff2d\uff35\uff27 Set") == words("mug set") == ("mug", "set")


def test_words_ending_in_double_s_keep_it() -> None:
    assert words("glass glasses") == ("glass", "glasse")


def test_core_of_colour_and_size_variants_is_one() -> None:
    assert core("small red retrospot cake tin") == core("CAKE TINS retrospot, blue, set of 3")


def test_core_of_two_different_things_differs() -> None:
    assert core("red cake tin") != core("red cake stand")


def test_core_of_a_title_without_words_is_empty() -> None:
    assert core("!!!") == ()


def test_item_text_leaves_out_the_root_and_the_families() -> None:
    item = Item(item_id="1", title="mug", category=("shop", "kitchen", "cup"), tags=("scenario:picnic", "tin"))
    assert item_text(item) == "mug kitchen cup picnic tin"


def test_item_text_with_a_single_level_keeps_it() -> None:
    assert item_text(Item(item_id="1", title="mug", category=("cup",))) == "mug cup"
