"""Laws of the walk without a model: what is looked for, who judges, and that the rest of the walk is the same."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
import pytest

from models import category_rule
from models.catalogue import Catalogue
from models.entities import Behaviour, Digest, Exclusions, Item, Request, Seen, Tag, fingerprint
from models.errors import UnsoundAnswer
from models.fallback import Departments, FallbackPolicy, Judge, category_judge, evidence, serve_without_model
from models.pipeline import Answer, ServePolicy
from models.retrieval import Retriever, Tower
from models.selection import SelectionPolicy

_LEAVES = {"kitchen": ("mugs", "plates", "teapots"), "garden": ("spades", "lanterns"), "paper": ("cards", "wraps")}
ITEMS = [
    Item(item_id=f"{leaf}-{kind}", title=f"{kind} {leaf}", category=(department, leaf), tags=(f"attribute:{kind}",))
    for department, leaves in _LEAVES.items()
    for leaf in leaves
    for kind in ("blue", "folding", "striped", "wooden")
]
CATALOGUE = Catalogue(ITEMS)
RETRIEVER = Retriever(
    CATALOGUE, tower=Tower(np.random.default_rng(1).integers(-99, 100, (4096, 24)).astype(np.int8), name="random")
)
POLICY = ServePolicy(score_limit=20, selection=SelectionPolicy(slate_size=6, category_cap=2, temperature=0.0))
DEPARTMENTS = Departments(CATALOGUE)


def bought(title: str, category: str, offset: int = 0, kind: str = "purchase") -> Behaviour:
    return Behaviour(type=kind, title=title, ts_ms=0, offset=offset, category=category)  # type: ignore[arg-type]


def request(digest: Digest, seen: Seen | None = None, exclusions: Exclusions | None = None, user: str = "u") -> Request:
    return Request(
        user_id=user,
        surface="home",
        reason="visit",
        as_of_ms=1_000,
        epoch=1,
        partition=0,
        offset=7,
        digest=digest,
        seen=seen or Seen(),
        exclusions=exclusions or Exclusions(),
    )


def serve(*requests: Request, judge: Judge | None = None) -> list[Answer]:
    outcomes = serve_without_model(
        requests,
        judge=judge or category_judge(DEPARTMENTS),
        departments=DEPARTMENTS,
        retriever=RETRIEVER,
        catalogue=CATALOGUE,
        policy=POLICY,
        fallback=FallbackPolicy(),
    )
    assert all(isinstance(outcome, Answer) for outcome in outcomes)
    return outcomes  # type: ignore[return-value]


COOK = Digest(history=(bought("blue mugs", "mugs", 1), bought("wooden plates", "plates", 2)))
COOKED = Seen(categories=(fingerprint("mugs"), fingerprint("plates")), visit_days=2)


# ---- what is looked for


def test_evidence_is_the_newest_wants_then_the_strongest_tags_then_unseen_leaves_of_liked_departments() -> None:
    digest = Digest(
        long_term=(Tag("baking", "interest", 0.9), Tag("plates", "category", 0.9)),
        short_term=(Tag("striped", "attribute", 0.3),),
        history=(bought("blue mugs", "mugs", 1), bought("old tin", "plates", 2, "hide"), bought("tall wraps", "wraps", 3)),
    )
    found = evidence(digest, COOKED, departments=DEPARTMENTS.by_leaf(), policy=FallbackPolicy())
    assert found == ("tall wraps", "blue mugs", "baking", "striped", "teapots", "cards", "wraps")


def test_evidence_has_no_more_of_each_kind_than_asked_for() -> None:
    digest = Digest(
        short_term=tuple(Tag(f"t{place}", "interest", 0.5) for place in range(5)),
        history=tuple(bought(f"thing {place}", "mugs", place) for place in range(5)),
    )
    policy = FallbackPolicy(history_count=2, tag_count=1, leaf_count=1)
    found = evidence(digest, Seen(), departments=DEPARTMENTS.by_leaf(), policy=policy)
    assert found == ("thing 4", "thing 3", "t0", "mugs")


def test_user_of_whom_nothing_is_known_gets_leaves_of_every_department() -> None:
    found = evidence(Digest(), Seen(), departments=DEPARTMENTS.by_leaf(), policy=FallbackPolicy(leaf_count=3))
    assert found == ("lanterns", "mugs", "cards")
    [answer] = serve(request(Digest()))
    assert len(answer.items) == 6


def test_departments_follow_the_catalogue() -> None:
    catalogue = Catalogue(ITEMS[:1])
    departments = Departments(catalogue)
    assert departments.by_leaf() == {"mugs": "kitchen"}
    catalogue.upsert(Item(item_id="x", title="x", category=("attic", "boxes")))
    assert departments.by_leaf() == {"boxes": "attic", "mugs": "kitchen"}


# ---- the answer


def test_answer_says_its_tier_and_its_judge_in_the_answer_and_in_the_trace() -> None:
    [answer] = serve(request(COOK, COOKED))
    assert (answer.tier, answer.model_id, answer.trace.tier) == ("category", "category-rule", "category")
    assert answer.trace.imagined == ("wooden plates", "blue mugs", "teapots")
    assert len(answer.items) == 6


def test_unseen_leaf_of_the_user_s_own_department_comes_first() -> None:
    [answer] = serve(request(COOK, COOKED))
    assert answer.items[0].item_id.startswith("teapots-")


def test_exclusions_hold_in_every_tier() -> None:
    [free] = serve(request(COOK, COOKED))
    owned = tuple(item.item_id for item in free.items[:2])
    [answer] = serve(request(COOK, COOKED, Exclusions(owned=owned)))
    assert not set(owned) & {item.item_id for item in answer.items}
    assert {(one.item_id, one.rule) for one in answer.trace.filtered} >= {(item_id, "owned") for item_id in owned}


def test_same_request_has_the_same_answer_whoever_is_beside_it() -> None:
    alone = serve(request(COOK, COOKED))
    beside = serve(request(Digest(), user="v"), request(COOK, COOKED))
    assert msgspec.json.encode(alone[0]) == msgspec.json.encode(beside[1])


def test_judge_decides_the_order_and_names_the_tier() -> None:
    def likes_cards(digest: Digest, items: Sequence[Item]) -> list[float]:
        return [1.0 if item.leaf == "cards" else 0.0 for item in items]

    digest = Digest(history=(bought("folding cards", "cards"), bought("blue mugs", "mugs")))
    [answer] = serve(request(digest), judge=Judge("distilled", "d-1", likes_cards))
    assert (answer.tier, answer.model_id) == ("distilled", "d-1")
    assert answer.items[0].item_id.startswith("cards-")


@pytest.mark.parametrize("scores", [[float("nan")], [1.5], []])
def test_scores_that_are_none_are_no_answer(scores: list[float]) -> None:
    def judge(digest: Digest, items: Sequence[Item]) -> list[float]:
        return scores * len(items)

    outcomes = serve_without_model(
        [request(COOK, COOKED)],
        judge=Judge("distilled", "d-1", judge),
        departments=DEPARTMENTS,
        retriever=RETRIEVER,
        catalogue=CATALOGUE,
        policy=POLICY,
        fallback=FallbackPolicy(),
    )
    assert [type(outcome) for outcome in outcomes] == [UnsoundAnswer]


# ---- the category rule


def test_category_rule_ranks_leaf_then_department_then_the_rest() -> None:
    """Half the past is mugs, half is plates: (0.5 x 0.5 + 0.5) / 1, 0.5, and 0 of it; everybody's third."""
    items = [CATALOGUE.at(CATALOGUE.index(item_id)) for item_id in ("mugs-blue", "teapots-blue", "cards-blue")]
    departments = DEPARTMENTS.by_leaf()
    assert category_rule.affinities(COOK, items, departments=departments) == [0.75, 0.5, 0.0]
    third = 1 / 3
    shares = [0.9 * value + 0.1 * third for value in (0.75, 0.5, 0.0)]
    assert category_rule.aligned(COOK, items, departments=departments) == pytest.approx(
        [share / (share + third) for share in shares]
    )


def test_category_rule_has_no_opinion_of_a_user_without_a_past() -> None:
    assert category_rule.aligned(Digest(), ITEMS[:2], departments=DEPARTMENTS.by_leaf()) == [0.5, 0.5]
