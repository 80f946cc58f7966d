"""Laws of unexpectedness."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.entities import Item, Seen, fingerprint
from models.retrieval.vectors import to_length
from models.unexpectedness import UnexpectednessPolicy, likenesses, unexpectedness

POLICY = UnexpectednessPolicy(category_weight=0.6, brand_weight=0.1, seller_weight=0.1, distance_weight=0.2)
MUG = Item(item_id="1", title="mug", category=("kitchen", "mug"), brand="Regency", seller="Potts")


def _seen(*, category: bool, brand: bool, seller: bool) -> Seen:
    return Seen(
        categories=(fingerprint("mug"),) if category else (),
        brands=(fingerprint("Regency"),) if brand else (),
        sellers=(fingerprint("Potts"),) if seller else (),
        visit_days=5,
    )


@pytest.mark.parametrize(
    ("category", "brand", "seller", "likeness", "expected"),
    [
        (False, False, False, 0.0, 1.0),
        (True, True, True, 1.0, 0.0),
        (True, False, False, 1.0, 0.2),
        (False, True, True, 0.25, 0.75),
        (True, True, False, None, 0.125),  # 0.1 of the 0.8 that is left without a distance
    ],
)
def test_unexpectedness_is_the_weighted_share_of_new_parts(
    category: bool, brand: bool, seller: bool, likeness: float | None, expected: float
) -> None:
    seen = _seen(category=category, brand=brand, seller=seller)
    assert unexpectedness(MUG, seen, likeness=likeness, policy=POLICY) == pytest.approx(expected)


def test_unexpectedness_of_an_item_without_brand_and_seller_is_judged_by_the_rest() -> None:
    plain = Item(item_id="1", title="mug", category=("mug",))
    assert unexpectedness(plain, Seen(), likeness=0.5, policy=POLICY) == pytest.approx((0.6 + 0.1) / 0.8)


def test_unexpectedness_without_any_weight_left_is_full() -> None:
    policy = UnexpectednessPolicy(category_weight=0.0, brand_weight=0.0, seller_weight=0.0, distance_weight=1.0)
    assert unexpectedness(MUG, Seen(), likeness=None, policy=policy) == 1.0


@given(st.booleans(), st.booleans(), st.booleans(), st.one_of(st.none(), st.floats(0.0, 1.0)))
def test_unexpectedness_falls_when_the_category_was_seen(
    category: bool, brand: bool, seller: bool, likeness: float | None
) -> None:
    value = unexpectedness(MUG, _seen(category=category, brand=brand, seller=seller), likeness=likeness, policy=POLICY)
    seen = unexpectedness(MUG, _seen(category=True, brand=brand, seller=seller), likeness=likeness, policy=POLICY)
    assert 0.0 <= seen <= value <= 1.0


def test_likenesses_are_the_nearest_cosine_and_never_below_zero() -> None:
    east, north, west = (to_length(np.array(point)) for point in ((1.0, 0.0), (0.0, 1.0), (-1.0, 0.0)))
    assert likenesses([east, north], [north, west]) == [0.0, 1.0]


def test_likenesses_without_history_or_vector_are_unknown() -> None:
    east, nothing = to_length(np.array((1.0, 0.0))), np.zeros(2, dtype=np.float32)
    assert likenesses([east], []) == [None]
    assert likenesses([nothing, east], [east]) == [None, 1.0]
    assert likenesses([], [east]) == []
