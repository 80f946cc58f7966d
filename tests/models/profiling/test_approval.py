"""Laws of approval: no tag without evidence that exists, none that neither pool nor behaviour speaks for; caps and scores."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.entities import TagFamily
from models.profiles.features import FAMILIES
from models.profiling.answers import Candidate
from models.profiling.approval import Approval, approve
from models.profiling.pieces import Piece
from models.profiling.policy import ApprovalPolicy, RelevancePolicy
from models.profiling.relevance import Relevance

POLICY = ApprovalPolicy()
WORDS = Relevance(RelevancePolicy())
PIECES = (
    Piece(number=1, title="set of 3 cake tins pantry design", tags=("category:cake tins", "interest:baking"), weight=0.5),
    Piece(number=2, title="red retrospot mug", tags=("category:mug", "attribute:red"), weight=0.3),
    Piece(number=3, title="vintage paper chain", tags=("scenario:christmas",), weight=0.2),
)


def candidate(text: str, *evidence: int, family: TagFamily = "interest") -> Candidate:
    return Candidate(family=family, text=text, evidence=evidence)


def approved(*candidates: Candidate, pool: dict[str, float] | None = None, **policy: Any) -> Approval:
    return approve(candidates, PIECES, pool or {}, ApprovalPolicy(**policy), WORDS)


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (candidate("baking"), "no_evidence"),
        (candidate("baking", 4), "unknown_evidence"),
        (candidate("baking", 1, 99), "unknown_evidence"),
        (candidate("baking", 0), "unknown_evidence"),
        (candidate("baking", -1), "unknown_evidence"),
        (candidate("sailing", 1), "irrelevant"),
        (candidate("na", 1), "na"),
        (candidate("!!!", 1), "na"),
        (candidate("x" * 33, 1), "long"),
        (candidate("pregnant baking", 1), "forbidden"),
    ],
)
def test_tag_that_cannot_be_believed_is_refused_by_name(wrong: Candidate, reason: str) -> None:
    found = approved(wrong, candidate("mug", 2))
    assert [tag.text for tag in found.tags] == ["mug"]
    assert found.refused == {reason: 1}


def test_score_is_made_of_behaviour_pool_evidence_and_family() -> None:
    # Posterior .5 (the first piece), prior .8 (the same words in the pool), one piece of three, family .8:
    # .6 x .5 + .2 x .8 + .15 / 3 + .05 x .8
    found = approved(candidate("baking", 1), pool={"interest:baking": 0.8})
    assert found.tags[0].score == pytest.approx(0.55)
    assert found.tags[0].evidence == (0,)


def test_prior_alone_makes_a_tag_credible_until_it_has_faded() -> None:
    assert approved(candidate("garden gnomes", 1), pool={"scenario:garden gnome": 0.5}).tags
    assert approved(candidate("garden gnomes", 1), pool={"scenario:garden gnome": 0.49}).refused == {"irrelevant": 1}


def test_posterior_below_the_threshold_makes_none_credible() -> None:
    assert approved(candidate("christmas", 3), min_posterior=0.2).tags
    assert approved(candidate("christmas", 3), min_posterior=0.21).refused == {"irrelevant": 1}


def test_same_words_in_any_order_and_family_are_one_tag() -> None:
    found = approved(candidate("cake tins", 1), candidate("Tin cake", 1, family="category"))
    assert len(found.tags) == 1
    assert found.refused == {"duplicate": 1}


def test_caps_keep_the_best_of_a_family_and_of_all() -> None:
    found = approved(candidate("baking", 1), candidate("mug", 2), candidate("christmas", 3), family_cap=2)
    assert [tag.text for tag in found.tags] == ["baking", "mug"]
    assert found.refused == {"family_cap": 1}
    found = approved(candidate("baking", 1), candidate("mug", 2, family="category"), top=1)
    assert [tag.text for tag in found.tags] == ["baking"]
    assert found.refused == {"top": 1}


def test_tower_speaks_for_a_tag_without_a_word_in_common() -> None:
    def encode(text: str) -> Any:
        return np.array([4080.0, 0.0] if "cake" in text or "patisserie" in text else [0.0, 4080.0], dtype=np.float32)

    with_tower = Relevance(RelevancePolicy(), encode)
    assert approve([candidate("patisserie", 1)], PIECES, {}, POLICY, WORDS).refused == {"irrelevant": 1}
    assert approve([candidate("patisserie", 1)], PIECES, {}, POLICY, with_tower).tags[0].text == "patisserie"


candidates = st.lists(
    st.builds(
        Candidate,
        family=st.sampled_from(FAMILIES),
        text=st.sampled_from(["baking", "mug", "red", "cake tins", "na", "", "sailing", "christmas", "paper"]),
        evidence=st.lists(st.integers(-1, 5), max_size=3).map(tuple),
    ),
    max_size=12,
)


@settings(max_examples=200, deadline=None)
@given(
    given_candidates=candidates,
    credible=st.dictionaries(st.sampled_from(["interest:baking", "brand:sailing"]), st.floats(0, 1)),
)
def test_every_candidate_is_approved_on_existing_evidence_or_counted(
    given_candidates: list[Candidate], credible: dict[str, float]
) -> None:
    found = approve(given_candidates, PIECES, credible, POLICY, WORDS)
    assert len(found.tags) + found.refused.total() == len(given_candidates)
    assert all(0 <= place < len(PIECES) for tag in found.tags for place in tag.evidence)
    assert all(0.0 <= tag.score <= 1.0 and tag.evidence for tag in found.tags)
    assert [tag.score for tag in found.tags] == sorted((tag.score for tag in found.tags), reverse=True)
    assert max(Counter(tag.family for tag in found.tags).values(), default=0) <= POLICY.family_cap
