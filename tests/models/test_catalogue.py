"""Laws of the catalogue: one row per item, the same in every process."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.catalogue import Catalogue
from models.entities import Item


def _item(item_id: str, title: str = "mug") -> Item:
    return Item(item_id=item_id, title=title, category=("kitchen", "mug"))


@given(st.lists(st.text(min_size=1, max_size=4), unique=True), st.randoms())
def test_catalogue_in_any_order_has_the_same_rows(item_ids: list[str], chance: object) -> None:
    shuffled = list(item_ids)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    catalogue = Catalogue(map(_item, shuffled))
    assert [item.item_id for item in catalogue.items] == sorted(item_ids)
    assert [catalogue.index(item_id) for item_id in sorted(item_ids)] == list(range(len(item_ids)))


def test_catalogue_with_an_id_twice_keeps_the_later_record() -> None:
    catalogue = Catalogue([_item("a", "old"), _item("a", "new")])
    assert len(catalogue) == 1
    assert catalogue.at(0).title == "new"


def test_get_of_an_unknown_item_is_none_and_index_raises() -> None:
    catalogue = Catalogue([_item("a")])
    assert catalogue.get("b") is None
    assert "b" not in catalogue
    with pytest.raises(KeyError):
        catalogue.index("b")


def test_items_are_a_copy_that_the_caller_may_change() -> None:
    catalogue = Catalogue([_item("a")])
    catalogue.items.clear()
    assert len(catalogue.items) == 1


def test_upsert_of_a_known_item_keeps_its_row_and_moves_the_version() -> None:
    catalogue = Catalogue([_item("a"), _item("b")])
    assert catalogue.upsert(_item("a", "cup")) is True
    assert (catalogue.index("a"), catalogue.at(0).title, catalogue.version) == (0, "cup", 1)


def test_upsert_of_the_same_record_changes_nothing() -> None:
    catalogue = Catalogue([_item("a")])
    assert catalogue.upsert(_item("a")) is False
    assert catalogue.version == 0


def test_upsert_of_a_new_item_takes_the_next_row_and_moves_no_other() -> None:
    catalogue = Catalogue([_item("b"), _item("c")])
    catalogue.upsert(_item("a"))
    assert [catalogue.index(item_id) for item_id in "abc"] == [2, 0, 1]


def test_withdrawn_item_keeps_its_row_and_title_and_is_no_longer_available() -> None:
    catalogue = Catalogue([_item("a"), _item("b")])
    assert catalogue.withdraw("a") is True
    assert (catalogue.index("a"), catalogue.at(0).title, catalogue.at(0).available, catalogue.version) == (0, "mug", False, 1)
    assert catalogue.withdraw("a") is False
    assert catalogue.withdraw("nobody's") is False


def test_item_that_is_offered_again_is_available_again() -> None:
    catalogue = Catalogue([_item("a")])
    catalogue.follow([("a", None), ("b", _item("b")), ("a", _item("a"))])
    assert [item.available for item in catalogue.items] == [True, True]
    catalogue.follow([("b", None)])
    assert [item.available for item in catalogue.items] == [True, False]
