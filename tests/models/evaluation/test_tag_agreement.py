"""Laws of holding tags against the next period: counted by hand on two users."""

from __future__ import annotations

from models.evaluation.profiles import agreement
from models.profiling.pieces import Piece
from models.profiling.policy import RelevancePolicy
from models.profiling.relevance import Relevance

WORDS = Relevance(RelevancePolicy())


def thing(title: str) -> Piece:
    return Piece(number=1, title=title, tags=(), weight=1.0)


def test_agreement_counts_tags_that_come_true_and_things_that_are_told() -> None:
    tags = {"a": ["mug", "cake tins"], "b": ["lantern"], "nobody": [], "gone": ["mug"]}
    later = {"a": [thing("red mug"), thing("blue mug"), thing("paper chain")], "b": [thing("mug"), thing("cake tins")]}
    found = agreement("m", tags, later, WORDS, least=0.6, seed=0)
    assert found is not None
    assert (found.users, found.tags_per_user) == (2, 1.5)
    assert found.agreement.mean == (1 / 2 + 0) / 2
    assert found.chance.mean == (2 / 2 + 0) / 2  # a's tags against b's things, and the other way round
    assert found.reach.mean == (2 / 3 + 0) / 2


def test_nobody_with_tags_and_a_next_period_is_nothing_to_say() -> None:
    assert agreement("m", {"a": []}, {"a": [thing("mug")]}, WORDS, least=0.6, seed=0) is None
