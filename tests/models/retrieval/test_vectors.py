"""Laws of the vector channel: exact whatever the batch, nearest first."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.entities import Item
from models.errors import CheckpointError
from models.retrieval import Tower
from models.retrieval.text import item_text
from models.retrieval.vectors import FILE, SCALE, VectorIndex, cosines, to_length

_components = st.lists(st.floats(min_value=-1e6, max_value=1e6), min_size=1, max_size=256)


@given(_components)
def test_to_length_gives_whole_numbers_whose_products_are_exact_in_32_bits(values: list[float]) -> None:
    vector = to_length(np.array(values))
    assert np.array_equal(vector, np.rint(vector))
    assert float(np.square(vector.astype(np.float64)).sum()) < 2**24


def test_encode_of_a_text_is_the_same_whatever_the_batch(items: list[Item], tower: Tower) -> None:
    index = VectorIndex(items, tower=tower)
    queries = [tower.encode(item.title) for item in items]
    alone = [index.search([query], limit=3)[0] for query in queries]
    assert index.search(queries, limit=3) == alone


def test_cosines_do_not_depend_on_the_order_of_dimensions() -> None:
    draw = np.random.default_rng(0)
    vectors = np.stack([to_length(draw.normal(size=256)) for _ in range(50)])
    turned = vectors[:, ::-1]
    assert np.array_equal(cosines(vectors, vectors), cosines(turned, turned))


def test_search_finds_an_item_by_its_own_text_first(items: list[Item], tower: Tower) -> None:
    index = VectorIndex(items, tower=tower)
    for row, item in enumerate(items):
        [hits] = index.search([tower.encode(item_text(item))], limit=2)
        assert hits[0].row == row
        assert hits[0].score == pytest.approx(1.0, abs=1e-3)


def test_search_with_a_vector_of_zeros_finds_none(items: list[Item], tower: Tower) -> None:
    index = VectorIndex(items, tower=tower)
    assert index.search([np.zeros(32, dtype=np.float32)], limit=3) == [[]]
    assert VectorIndex([], tower=tower).search([tower.encode("mug")], limit=3) == [[]]


def test_encode_of_a_text_without_words_is_zeros(tower: Tower) -> None:
    assert not tower.encode(" ... ").any()


def test_encoded_vector_cannot_be_changed_by_its_reader(tower: Tower) -> None:
    with pytest.raises(ValueError, match="read-only"):
        tower.encode("mug")[0] = 1.0


def test_tower_that_was_saved_and_loaded_encodes_the_same(tower: Tower, tmp_path: Path) -> None:
    tower.save(tmp_path)
    again = Tower.load(tmp_path)
    assert again.name == "random"
    assert np.array_equal(again.encode("cake tin"), tower.encode("cake tin"))


def test_tower_saved_twice_has_the_same_bytes(tower: Tower, tmp_path: Path) -> None:
    for name in ("a", "b"):
        tower.save(tmp_path / name)
    assert (tmp_path / "a" / FILE).read_bytes() == (tmp_path / "b" / FILE).read_bytes()


@pytest.mark.parametrize("content", [None, b"", b"PK\x03\x04 torn", b"no archive at all"])
def test_load_of_a_missing_or_torn_file_says_which_tower(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / FILE).write_bytes(content)
    with pytest.raises(CheckpointError, match=r"tower\.npz"):
        Tower.load(tmp_path)


def test_tower_of_floats_is_refused() -> None:
    with pytest.raises(CheckpointError, match="int8"):
        Tower(np.zeros((4, 4)), name="wrong")  # type: ignore[arg-type]


def test_scale_leaves_room_for_the_rounding_of_256_dimensions() -> None:
    """Rounding adds at most 1/2 per dimension, so at most sqrt(256) / 2 = 8 to the length."""
    assert (SCALE + 8) ** 2 < 2**24
