"""Laws of sharing a title's probability out; expected numbers by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.serengpt.shares import log_shares

TITLES = st.lists(st.sampled_from(("yogurt", "mug", "tea", "Tea")), min_size=1, max_size=12)


@given(TITLES, st.dictionaries(st.integers(0, 11), st.integers(0, 50)), st.floats(0.01, 10.0))
def test_shares_of_every_title_come_to_one(titles: list[str], wants: dict[int, int], smoothing: float) -> None:
    shares = np.exp(log_shares(titles, {row: float(count) for row, count in wants.items()}, smoothing=smoothing))
    for title in set(titles):
        assert sum(share for share, one in zip(shares, titles, strict=True) if one == title) == pytest.approx(1.0)


@given(st.lists(st.text(), min_size=1, max_size=8, unique=True), st.integers(0, 99))
def test_a_title_of_one_product_is_all_its_own(titles: list[str], count: int) -> None:
    assert log_shares(titles, {0: float(count)}).tolist() == [0.0] * len(titles)


def test_a_product_that_nobody_wanted_has_a_share_too() -> None:
    assert np.exp(log_shares(["tea", "tea"], {0: 3.0}, smoothing=0.5)).tolist() == pytest.approx([3.5 / 4, 0.5 / 4])


def test_a_smoothing_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match=r"smoothing: 0.0, must be above 0"):
        log_shares(["tea"], {}, smoothing=0.0)
