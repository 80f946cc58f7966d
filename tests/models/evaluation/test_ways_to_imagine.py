"""Laws of the comparison of ways to imagine: numbers by hand, gains against the free way, and when another way is taken."""

from __future__ import annotations

import pytest

from models.catalogue import Catalogue
from models.entities import Candidate, Digest, Filtered, Item, ScoredItem, Seen, Trace, fingerprint
from models.errors import RequestError
from models.evaluation.imagined import CHOICE_METRIC, FREE, WAYS, Trial, best, report, tried
from models.evaluation.ranking import Case, request_of
from models.imagining import ImaginePolicy
from models.pipeline import Answer

CATALOGUE = Catalogue(Item(item_id=f"{n:02}", title=f"Thing {n}", category=("shop", f"leaf {n % 4}")) for n in range(80))
NAMES = frozenset(f"thing {n}" for n in range(80))
SEEN = Seen(categories=(fingerprint("leaf 0"),), visit_days=5)
CASE = Case(user_id="u", as_of_ms=9, digest=Digest(), items=("70", "03", "11", "00"), right=(1, 2, 0), seen=SEEN)


def _place(item_id: str) -> ScoredItem:
    return ScoredItem(item_id=item_id, serendipity=1, relevance=1, unexpectedness=1, aligned=1, propensity=1, reason=0)


def _answer(served: list[str], retrieved: list[str], imagined: tuple[str, ...] = ()) -> Answer:
    request = request_of(CASE)
    trace = Trace(
        user_id="u",
        surface=request.surface,
        reason=request.reason,
        as_of_ms=9,
        offset=0,
        digest=CASE.digest,
        imagined=imagined,
        candidates=tuple(Candidate(item_id=item_id, relevance=1.0, sources=()) for item_id in retrieved),
        filtered=(Filtered("00", "owned"),),
        kept=(),
    )
    return Answer(items=tuple(map(_place, served)), tier="serengpt", trace=trace, model_id="m")


def test_tried_counts_what_was_wanted_among_served_and_retrieved() -> None:
    served = ["05", "06", "03", *(f"{n}" for n in range(20, 29)), "11"]  # right: places 3 and 13; "70" is nowhere
    titles = ("thing 1", "Thing  2", "2 thing", "thing 99")
    answer = _answer(served, [*served, "04", "08"], titles)
    values = tried(CASE, answer, catalogue=CATALOGUE, names=NAMES, ms=12.5).values
    # 1/log2(3 + 1) = 0.5 and 1/log2(13 + 1) = 0.262650, over three right items.
    expected = {"HR@10": 1 / 3, "HR@50": 2 / 3, "NDCG@50": (0.5 + 0.26264954) / 3, "HR retrieved": 2 / 3, "ms": 12.5}
    assert {name: values[name] for name in expected} == pytest.approx(expected)
    assert (values["different titles"], values["titles that exist"]) == (3, 2)  # the second and third have the same words
    # Leaves by number modulo 4: of 15 retrieved, 20, 24, 28, 04 and 08 are of leaf 0, which was seen.
    assert (values["categories retrieved"], values["new among retrieved"]) == (4, pytest.approx(10 / 15))


def test_tried_of_an_error_is_that_error() -> None:
    with pytest.raises(RequestError, match="no titles"):
        tried(CASE, RequestError("no titles"), catalogue=CATALOGUE, names=NAMES, ms=1)


def test_request_of_a_case_is_its_visit() -> None:
    request = request_of(CASE)
    assert (request.user_id, request.as_of_ms, request.digest, request.seen) == ("u", 9, CASE.digest, SEEN)


def _trials(*values: float) -> list[Trial]:
    return [Trial(f"user {n}", {CHOICE_METRIC: value, "ms": 5.0}) for n, value in enumerate(values)]


def test_gains_are_differences_case_by_case_and_the_free_way_has_none() -> None:
    found = report({FREE: _trials(0.2, 0.4), "other": _trials(0.3, 0.6)}, seed=1)
    assert [one.gains[CHOICE_METRIC].mean for one in found] == [0.0, pytest.approx(0.15)]
    assert found[1].metrics[CHOICE_METRIC].mean == pytest.approx(0.45)
    assert found[1].gains["ms"] == (0.0, 0.0, 0.0)


def test_best_way_has_the_highest_mean_of_those_that_gain_beyond_chance() -> None:
    free = _trials(*[0.2] * 40)
    surely, luckily = _trials(*[0.25] * 40), _trials(*[0.0] * 39, 20.0)
    assert best(report({FREE: free, "lucky": luckily}, seed=1)) == FREE
    assert best(report({FREE: free, "lucky": luckily, "sure": surely, "surer": _trials(*[0.3] * 40)}, seed=1)) == "surer"


def test_ways_are_different_and_the_first_is_the_default() -> None:
    assert len(set(WAYS.values())) == len(WAYS)
    assert next(iter(WAYS.items())) == (FREE, ImaginePolicy())
