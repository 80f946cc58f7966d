"""Laws of the reason that an item carries."""

from __future__ import annotations

import pytest

from models.entities import Behaviour, Digest, Item, Tag
from models.evidence import EvidencePolicy, reason
from models.reasons import REASONS

POLICY = EvidencePolicy(min_likeness=0.4)
TIN = Item(item_id="1", title="retrospot cake tin", category=("kitchen", "tins"), brand="Regency", tags=("interest:baking",))
BAKING = Tag("baking", "interest", 0.8)
GARDEN = Tag("garden pots", "category", 0.8)
BOUGHT = Behaviour(type="purchase", title="cake stand", ts_ms=0, offset=0)
HIDDEN = Behaviour(type="hide", title="cake stand", ts_ms=0, offset=0)


@pytest.mark.parametrize(
    ("digest", "likeness", "expected"),
    [
        (Digest(short_term=(GARDEN, BAKING), long_term=(BAKING,)), None, 1),
        (Digest(short_term=(GARDEN,), long_term=(BAKING,), history=(BOUGHT,)), 0.9, 2),
        (Digest(short_term=(GARDEN,), history=(BOUGHT,)), 0.4, 3),
        (Digest(short_term=(GARDEN,), history=(BOUGHT,)), 0.39, 4),
        (Digest(history=(HIDDEN,)), 0.9, 4),
        (Digest(), None, 4),
        (Digest(short_term=(Tag("Regency", "brand", 0.5),)), None, 1),
        (Digest(short_term=(Tag("cake stand", "category", 0.5),)), None, 4),  # only one of the tag's words
        (Digest(short_term=(Tag("!", "attribute", 0.5),)), None, 4),  # no words: speaks for nothing
    ],
)
def test_reason_is_the_first_part_of_the_profile_that_speaks(digest: Digest, likeness: float | None, expected: int) -> None:
    assert reason(TIN, digest, likeness=likeness, policy=POLICY) == expected
    assert expected in REASONS
