"""Laws of SerenGPT's readings and of their choice."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from models.catalogue import Catalogue
from models.entities import Digest, Item
from models.errors import RequestError, SerenError
from models.evaluation import serengpt
from models.evaluation.choice import choose
from models.evaluation.ranking import Case
from models.serengpt.aligned import aligned_score
from models.serengpt.engine import ImagineRequest, Scored, ScoreRequest

CATALOGUE = Catalogue(Item(item_id=name, title=f"title {name}", category=("all",)) for name in "abc")


def _cases(count: int) -> list[Case]:
    return [Case(user_id=f"u{n}", as_of_ms=n, digest=Digest(), items=("c", "a", "b"), right=(0,)) for n in range(count)]


class FakeEngine:
    """Scores a title by its last letter; remembers how many it was asked at a time."""

    model_id = "fake"
    prompt_version = 1

    def __init__(self, *, fails: bool = False) -> None:
        self.batches: list[int] = []
        self._fails = fails

    def imagine(self, requests: Sequence[ImagineRequest]) -> list[tuple[str, ...] | SerenError]:
        return [("title a",) for _ in requests]

    def score(self, requests: Sequence[ScoreRequest]) -> list[tuple[Scored, ...] | SerenError]:
        self.batches.append(len(requests))
        outcomes: list[tuple[Scored, ...] | SerenError] = [
            tuple(Scored(-float(ord(title[-1])), -1.0, 2) for title in request.titles) for request in requests
        ]
        return [RequestError("too long"), *outcomes[1:]] if self._fails else outcomes


def test_scored_batches_keep_the_order_of_cases_and_titles() -> None:
    engine = FakeEngine()
    given = _cases(serengpt.BATCH_CASES + 1)
    scored = [one for batch in serengpt.scored_batches(given, engine=engine, catalogue=CATALOGUE) for one in batch]
    assert engine.batches == [serengpt.BATCH_CASES, 1]
    assert [[one.logprob for one in case] for case in scored] == [[-99.0, -97.0, -98.0]] * len(given)


def test_scored_batches_with_a_failed_case_raise_its_error() -> None:
    with pytest.raises(RequestError, match="too long"):
        list(serengpt.scored_batches(_cases(2), engine=FakeEngine(fails=True), catalogue=CATALOGUE))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("logprob", -6.0),
        ("logprob - 0.5 prior", -4.0),
        ("logprob - prior", -2.0),
        ("logprob per token", -2.0),
        ("logprob - prior, per token", pytest.approx(-2.0 / 3.0)),
    ],
)
def test_reading_of_known_numbers_is_what_its_name_says(name: str, expected: float) -> None:
    assert serengpt.READINGS[name](Scored(logprob=-6.0, prior_logprob=-4.0, tokens=3)) == expected


def test_aligned_reading_orders_as_the_aligned_score_does() -> None:
    titles = [Scored(-6.0, -4.0, 3), Scored(-5.0, -1.0, 2), Scored(-9.0, -12.0, 4), Scored(-6.0, -6.0, 1)]
    reading = serengpt.READINGS[serengpt.ALIGNED]
    assert sorted(titles, key=reading) == sorted(titles, key=aligned_score)


def test_choose_takes_the_reading_that_ranks_the_right_item_first() -> None:
    """The right title is as likely as the others, but rarest beforehand: only taking the prior off puts it first."""
    scored = [(Scored(-5.0, -9.0, 2), Scored(-4.0, -4.0, 2), Scored(-3.0, -3.0, 2))] * 3
    assert choose(_cases(3), serengpt.readings(scored), seed=0) == "logprob - 0.5 prior"


def test_choose_between_equal_readings_takes_the_first_named() -> None:
    scored = [(Scored(-1.0, -1.0, 1), Scored(-9.0, -1.0, 1), Scored(-9.0, -1.0, 1))]
    assert choose(_cases(1), serengpt.readings(scored), seed=0) == "logprob"


def test_choose_between_no_variants_raises() -> None:
    with pytest.raises(ValueError, match="0 variants"):
        choose(_cases(1), {}, seed=0)


def test_prior_is_what_a_title_is_worth_to_nobody() -> None:
    assert serengpt.prior([(Scored(-1.0, -2.0, 1), Scored(-9.0, -3.0, 1))]) == [[-2.0, -3.0]]
