"""A few items of a gift shop and a tower with hand-made vectors."""

from __future__ import annotations

import numpy as np
import pytest

from models.entities import Item
from models.retrieval import Tower


@pytest.fixture
def items() -> list[Item]:
    """Six items in four leaf categories, in the order of their ids."""
    return [
        Item(item_id="1", title="red retrospot cake tin", category=("kitchen", "cake tin"), tags=("interest:baking",)),
        Item(item_id="2", title="blue retrospot cake tin", category=("kitchen", "cake tin"), tags=("interest:baking",)),
        Item(item_id="3", title="glass t-light holder", category=("home", "t-light holder")),
        Item(item_id="4", title="wooden advent calendar", category=("season", "calendar"), tags=("scenario:christmas",)),
        Item(item_id="5", title="garden kneeling pad", category=("garden", "kneeler")),
        Item(item_id="6", title="cake stand, three tiers", category=("kitchen", "cake stand"), brand="Regency"),
    ]


@pytest.fixture
def tower() -> Tower:
    """Random rows: texts that share features lie near each other, all others are almost at right angles."""
    table = np.random.default_rng(3).integers(-100, 101, (4096, 32)).astype(np.int8)
    return Tower(table, name="random")
