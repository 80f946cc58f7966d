"""Laws of what stands beside the tags: history, possessions, static attributes, features, and the digest of it all."""

from __future__ import annotations

from typing import Any

import pytest

from models.entities import Item, Tag, UserAttributes, fingerprint
from models.profiles import Profile, ProfilePolicy, QueryTags, digest, encode, item_features, update_attributes
from models.profiles.features import cut
from models.profiles.policy import HistoryPolicy, PossessionPolicy
from models.profiles.possessions import rejected
from models.profiles.state import deed_bytes
from models.profiles.static import static_lines

MUG = fingerprint("id-mugs")


# ---------------------------------------------------------------------- history


def test_history_holds_deliberate_behaviour_oldest_first(new_user: Any, thing: Any) -> None:
    user = new_user()
    kinds = ["visit", "expose", "click", "favourite", "cart", "purchase", "cancel", "hide"]
    for kind in kinds:
        user.does(kind, None if kind == "visit" else thing("mugs"), day=100)
    assert [deed.type for deed in user.profile.deeds] == kinds[2:]
    assert [deed.offset for deed in user.profile.deeds] == [2, 3, 4, 5, 6, 7]


def test_history_of_a_search_is_its_query_even_when_it_names_an_item(new_user: Any, thing: Any) -> None:
    user = new_user()
    user.does("search", thing("mugs"), day=100, query="red mug")
    assert user.profile.deeds[0].text == "red mug"
    shown = digest(user.profile, lambda _: None, 0, user.policy).history[0]
    assert (shown.title, shown.item_id, shown.category) == ("red mug", None, None)


def test_history_lets_the_oldest_go_past_its_number(new_user: Any, thing: Any) -> None:
    user = new_user(history=HistoryPolicy(top=3))
    for name in "abcde":
        user.does("click", thing(item_id=name), day=100)
    assert [deed.text for deed in user.profile.deeds] == ["c", "d", "e"]


def test_history_lets_the_oldest_go_past_its_bytes(new_user: Any, thing: Any) -> None:
    """Ids of 100 bytes take 123 each: five are 615 and fit into 700, six are 738 and do not."""
    user = new_user()
    assert deed_bytes("x" * 100) == 123
    for name in "abcdefg":
        user.does("click", thing(item_id=name * 100), day=100)
    assert [deed.text[0] for deed in user.profile.deeds] == ["c", "d", "e", "f", "g"]
    assert user.profile.deeds_bytes == 615


def test_history_cuts_a_query_at_whole_characters(new_user: Any) -> None:
    """64 bytes hold 21 characters of three bytes."""
    user = new_user()
    user.does("search", day=100, query="茶" * 512)
    assert user.profile.deeds[0].text == "茶" * 21


# ---------------------------------------------------------------------- possessions


def test_possessions_purchase_moves_from_the_cart_to_owned(new_user: Any, thing: Any) -> None:
    user = new_user()
    user.does("cart", thing("mugs"), day=100)
    assert (user.profile.in_cart, user.profile.owned) == ({MUG: None}, {})
    user.does("purchase", thing("mugs"), day=101)
    assert (user.profile.in_cart, user.profile.owned) == ({}, {MUG: None})


def test_possessions_cancel_takes_ownership_back_and_rejects(new_user: Any, thing: Any) -> None:
    user = new_user()
    user.does("purchase", thing("mugs"), day=100)
    user.does("cancel", thing("mugs"), day=102)
    assert (user.profile.owned, user.profile.in_cart, user.profile.rejected) == ({}, {}, {MUG: 102})


def test_possessions_purchase_ends_a_rejection(new_user: Any, thing: Any) -> None:
    user = new_user()
    user.does("hide", thing("mugs"), day=100)
    user.does("purchase", thing("mugs"), day=101)
    assert (user.profile.rejected, user.profile.owned) == ({}, {MUG: None})


def test_possessions_hide_takes_out_of_the_cart_and_leaves_ownership(new_user: Any, thing: Any) -> None:
    user = new_user()
    user.does("purchase", thing("mugs"), day=100)
    user.does("cart", thing("bowls"), day=100)
    user.does("hide", thing("mugs"), day=101)
    user.does("hide", thing("bowls"), day=101)
    assert set(user.profile.owned) == {MUG}
    assert (user.profile.in_cart, set(user.profile.rejected)) == ({}, {MUG, fingerprint("id-bowls")})


def test_possessions_a_rejection_expires_after_its_days(new_user: Any, thing: Any) -> None:
    user = new_user()
    user.does("hide", thing("mugs"), day=100)
    assert rejected(user.profile, 190, PossessionPolicy()) == [MUG]
    assert rejected(user.profile, 191, PossessionPolicy()) == []


def test_possessions_over_their_number_the_oldest_go(new_user: Any, thing: Any) -> None:
    """a was bought again last, so that b is the oldest."""
    user = new_user(possessions=PossessionPolicy(max_owned=2))
    for name in "abac":
        user.does("purchase", thing(item_id=name), day=100)
    assert list(user.profile.owned) == [fingerprint("a"), fingerprint("c")]


@pytest.mark.parametrize("kind", ["visit", "expose", "click", "favourite", "search"])
def test_possessions_other_types_move_nothing(kind: str, new_user: Any, thing: Any) -> None:
    user = new_user()
    user.does("cart", thing("mugs"), day=100)
    user.does(kind, thing("mugs"), day=100, query="x")
    assert (user.profile.owned, user.profile.in_cart, user.profile.rejected) == ({}, {MUG: None}, {})


# ---------------------------------------------------------------------- static attributes


def change(profile: Profile, attributes: dict[str, str | None], max_bytes: int = 192) -> list[str]:
    return update_attributes(profile, UserAttributes(user_id="u", attributes=attributes), max_bytes=max_bytes)


def test_attributes_null_forgets_and_others_stay() -> None:
    profile = Profile()
    assert change(profile, {"country": "France", "age": "35-44"}) == []
    assert change(profile, {"age": None, "unknown": None}) == []
    assert profile.attributes == {"country": "France"}


def test_attributes_that_do_not_fit_are_refused_by_name_and_the_others_taken() -> None:
    """10 + 10 + 6 = 26 bytes each: two are 52; a third is over 60."""
    profile = Profile()
    assert change(profile, {f"{letter * 10}": "v" * 10 for letter in "abc"}, max_bytes=60) == ["c" * 10]
    assert sorted(profile.attributes) == ["a" * 10, "b" * 10]


def test_attributes_are_measured_in_bytes() -> None:
    """Ten characters of three bytes: 1 + 30 + 6 = 37."""
    profile = Profile()
    assert change(profile, {"a": "茶" * 10}, max_bytes=36) == ["a"]
    assert change(profile, {"a": "茶" * 10}, max_bytes=37) == []


def test_attributes_forgotten_in_a_change_make_room_in_the_same_change() -> None:
    profile = Profile()
    change(profile, {"z": "v" * 40}, max_bytes=60)
    assert change(profile, {"a": "v" * 40, "z": None}, max_bytes=60) == []
    assert profile.attributes == {"a": "v" * 40}


def test_attributes_refused_new_value_forgets_the_old_one() -> None:
    profile = Profile()
    change(profile, {"a": "old"}, max_bytes=60)
    assert change(profile, {"a": "v" * 60}, max_bytes=60) == ["a"]
    assert profile.attributes == {}


def test_static_lines_do_not_depend_on_the_order_of_changes() -> None:
    one, other = Profile(), Profile()
    change(one, {"b": "2"})
    change(one, {"a": "1"})
    change(other, {"a": "1", "b": "2"})
    assert static_lines(one) == static_lines(other) == ("a: 1", "b: 2")


# ---------------------------------------------------------------------- features


def test_features_tags_are_leaf_brand_and_the_items_own_each_once() -> None:
    item = Item(
        item_id="1", title="t", category=("a", "leaf"), brand="acme", tags=("red", "interest:tea", "attribute:red", "x:y")
    )
    assert item_features(item, max_tag_bytes=48).tags == (
        "category:leaf",
        "brand:acme",
        "attribute:red",
        "interest:tea",
        "attribute:x:y",
    )


@pytest.mark.parametrize("tag", ["interest:", "brand: ", " "])
def test_features_tag_without_text_says_nothing(tag: str) -> None:
    tags = item_features(Item(item_id="1", title="t", category=("leaf",), tags=(tag,)), max_tag_bytes=48).tags
    assert tags == ("category:leaf",)


def test_features_without_brand_and_seller_have_no_names_for_them() -> None:
    features = item_features(Item(item_id="1", title="t", category=("leaf",)), max_tag_bytes=48)
    assert (features.brand, features.seller, features.name) == (0, 0, fingerprint("1"))


def test_cut_never_exceeds_its_bytes_and_never_splits_a_character() -> None:
    for limit in range(12):
        short = cut("aé茶😀", limit)
        assert len(short.encode()) <= limit
        assert "aé茶😀".startswith(short)


def query_tags(*tags: str) -> QueryTags:
    known = QueryTags()
    known.learn(item_features(Item(item_id="1", title="t", category=("mugs",), tags=tags), max_tag_bytes=48))
    return known


def test_query_names_tags_in_any_case_and_the_longest_phrase_first() -> None:
    known = query_tags("brand:ACME", "interest:Tea", "interest:Tea Party")
    assert known.find("acme TEA party mugs") == ("brand:ACME", "interest:Tea Party", "category:mugs")
    assert known.find("tea for mugs") == ("interest:Tea", "category:mugs")


def test_query_names_a_tag_with_punctuation_between_its_words() -> None:
    assert query_tags("attribute:black & white").find("Black & White!") == ("attribute:black & white",)


def test_query_of_unknown_words_names_nothing() -> None:
    assert query_tags("interest:tea").find("coffee, 512 % strong") == ()


def test_query_names_at_most_eight_tags() -> None:
    names = [f"interest:word{number}" for number in range(20)]
    assert query_tags(*names).find(" ".join(f"word{number}" for number in range(20))) == tuple(names[:8])


# ---------------------------------------------------------------------- digest


def test_digest_shows_every_level_and_changes_nothing(new_user: Any, thing: Any) -> None:
    user = new_user()
    mug = thing("mugs", brand="acme")
    change(user.profile, {"country": "France"})
    for cycle in range(4):
        user.does("purchase", mug, day=1500 + 15 * cycle)
    user.does("click", thing("bowls"), day=1546)
    before = encode(user.profile)
    shown = digest(user.profile, {mug.item_id: mug}.get, 1546 * 86_400_000, user.policy)
    assert shown.static == ("country: France",)
    assert [(tag.family, tag.text, tag.score) for tag in shown.long_term] == [
        ("brand", "acme", 0.5),
        ("category", "mugs", 0.5),
    ]
    assert {tag.text for tag in shown.short_term} == {"mugs", "acme", "bowls"}
    assert all(isinstance(tag, Tag) and tag.score == round(tag.score, 4) for tag in shown.short_term)
    assert [(deed.title, deed.category) for deed in shown.history] == [("a mugs", "mugs")] * 4 + [("id-bowls", None)]
    assert encode(user.profile) == before


def test_digest_of_a_new_profile_is_empty() -> None:
    shown = digest(Profile(), lambda _: None, 0, ProfilePolicy())
    assert (shown.static, shown.long_term, shown.short_term, shown.history) == ((), (), (), ())
