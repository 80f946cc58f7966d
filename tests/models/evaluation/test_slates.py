"""Laws of what is shown: counts that can be made by hand, and the walk's own titles."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
import pytest

from models.catalogue import Catalogue
from models.entities import Digest, Item, Seen, fingerprint
from models.errors import RequestError, SerenError
from models.evaluation.gate import DIVERSITY, NOVELTY, GateMetrics, asked_digest, gate_metrics
from models.evaluation.ranking import Case, Report
from models.evaluation.slates import Imagined, imagine, slates_metrics, titles_metrics
from models.metrics import Interval
from models.pipeline import ServePolicy
from models.registry import Evaluation
from models.retrieval import Retriever, Tower
from models.serengpt.engine import ImagineRequest, Scored, ScoreRequest

ITEMS = [
    Item(item_id="a", title="oak table", category=("home", "table")),
    Item(item_id="b", title="oak chair", category=("home", "chair")),
    Item(item_id="c", title="rose seeds", category=("garden", "seeds")),
    Item(item_id="d", title="tulip seeds", category=("garden", "seeds")),
]
CATALOGUE = Catalogue(ITEMS)


def _case(user: str, *right: int, seen: tuple[str, ...] = ("table",)) -> Case:
    window = Seen(categories=tuple(map(fingerprint, seen)), visit_days=3)
    return Case(user_id=user, as_of_ms=0, digest=Digest(), items=("a", "b", "c", "d"), right=right, seen=window)


class FakeEngine:
    """Always imagines the same two titles, one of them twice."""

    model_id = "fake"
    prompt_version = 1

    def __init__(self, *, fails: bool = False) -> None:
        self._fails = fails

    def imagine(self, requests: Sequence[ImagineRequest]) -> list[tuple[str, ...] | SerenError]:
        return [RequestError("no") if self._fails else ("rose seeds", "oak chair", "rose seeds") for _ in requests]

    def score(self, requests: Sequence[ScoreRequest]) -> list[tuple[Scored, ...] | SerenError]:
        return [tuple(Scored(-1.0, -2.0, 2) for _ in request.titles) for request in requests]


def _imagine(engine: FakeEngine) -> list[Imagined]:
    table = np.random.default_rng(3).integers(-99, 100, (4096, 64)).astype(np.int8)
    retriever = Retriever(CATALOGUE, tower=Tower(table, name="random"))
    given = [_case("u", 2), _case("v", 1)]
    return imagine(given, engine=engine, retriever=retriever, catalogue=CATALOGUE, policy=ServePolicy())


def test_imagine_keeps_every_sampled_title_and_what_retrieval_found() -> None:
    said = _imagine(FakeEngine())
    assert [one.titles for one in said] == [("rose seeds", "oak chair", "rose seeds")] * 2
    assert all({"seeds", "chair"} <= one.categories for one in said)
    assert all({"b", "c"} <= set(one.slate) for one in said)


def test_imagine_of_a_failed_case_raises_its_error() -> None:
    with pytest.raises(RequestError, match="no"):
        _imagine(FakeEngine(fails=True))


def test_titles_metrics_are_those_counted_by_hand() -> None:
    """u: 2 titles, 2 categories, table is not new; right are b (chair: found) and c (seeds: not). v: one each, none right."""
    given = [_case("u", 1, 2), _case("v", 0)]
    said = [
        Imagined(titles=("x", "y", "x"), categories=frozenset({"table", "chair"}), slate=()),
        Imagined(titles=("x", "x"), categories=frozenset({"seeds"}), slate=()),
    ]
    found = {name: one.mean for name, one in titles_metrics(given, said, CATALOGUE, seed=0).items()}
    assert found == {
        "unique_titles": 1.5,
        "categories_retrieved": 1.5,
        "category_hit_rate": 0.25,
        "new_categories": 1.0,
        "new_categories_ratio": 0.75,
    }


def test_slates_metrics_are_those_counted_by_hand() -> None:
    """Places: a 1, c 2, d 1, b none of 4 items: (-1 * 1 + 1 * 1 + 3 * 2) / (4 * 4) = 6 / 16 of Gini."""
    given = [_case("u", 2), _case("v", 1)]
    wants = {"a": 2, "b": 4, "c": 1, "d": 1}
    found = slates_metrics(given, [("a", "c"), ("c", "d")], CATALOGUE, wants=wants, seed=0)
    assert {name: one.mean for name, one in found.items()} == {
        "slate_size": 2.0,
        "slate_categories": 1.5,
        "slate_hit_rate": 0.5,
        "slate_recall": 0.5,
        "slate_diversity": 0.5,
        "slate_new_ratio": 0.75,
        "slate_bits": (2 + 3 + 3 + 3) / 4,
        "coverage": 0.75,
        "gini": 0.375,
    }


def test_slates_metrics_of_the_same_slate_for_everyone_have_no_width() -> None:
    given = [_case(f"u{n}", 1) for n in range(9)]
    found = slates_metrics(given, [("a", "b")] * 9, CATALOGUE, wants={"a": 1, "b": 1}, seed=0)
    assert found["coverage"] == Interval(0.5, 0.5, 0.5)
    assert found["gini"] == Interval(0.5, 0.5, 0.5)


def test_gate_metrics_put_the_deciding_ones_beside_all_that_was_measured() -> None:
    shown = {name: Interval(1.0 + place, 0.0, 9.0) for place, name in enumerate((*NOVELTY, *DIVERSITY))}
    evaluation = Evaluation(
        name="shop",
        log="a" * 64,
        part="test",
        seed=0,
        negatives=99,
        cases=4,
        slates=2,
        asked="b" * 64,
        tower="c" * 64,
        engine="torch",
        prompt_version=1,
    )
    values = [0.0, 1.0, 0.25, 0.75]
    ranked = Report(name="m", metrics={"NDCG@10": Interval(0.5, 0.25, 0.75)}, values={"NDCG@10": values})
    found = gate_metrics(
        evaluation,
        checkpoint="d" * 64,
        ranked=ranked,
        users=["v", "u", "v", "w"],
        shown=shown,
        values={"new_categories": [0.0, 2.0], "categories_retrieved": [5.0, 7.0]},
    )
    assert (found.ranking.mean, found.novelty.mean, found.diversity.mean) == (0.5, 1.0, 6.0)
    assert (found.ranking.values, found.users, found.slate_users) == (tuple(values), (0, 1, 0, 2), [0, 0])
    assert found.details["diversity"]["gini"].mean == len(shown)
    assert msgspec.json.decode(msgspec.json.encode(found), type=GateMetrics) == found


def test_asked_digest_changes_with_anything_that_is_asked() -> None:
    cases = [_case("u", 1, 2), _case("v", 0)]
    others = [cases[::-1], [*cases, cases[0]], [_case("u", 1), _case("v", 0)], [_case("u", 1, 2, seen=()), _case("v", 0)]]
    digests = {asked_digest(one) for one in (cases, *others)}
    assert len(digests) == 5
    assert asked_digest(list(cases)) in digests
