import zlib
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.entities import Digest
from models.errors import EngineError, MalformedAnswer, RequestError, SerenError
from models.imagining import ImaginePolicy, Wish, imagine, keep_best
from models.serengpt.aligned import aligned_score
from models.serengpt.engine import CatalogueTitles, ImagineRequest, Scored, ScoreRequest

TITLES = CatalogueTitles.of([("red mug", 1), ("bag", 2)])
COUNT = 3


class FakeEngine:
    """Numbers its titles, and scores them by a checksum; a fact may make one verb of it fail."""

    model_id = "fake-1"
    prompt_version = 1

    def __init__(self) -> None:
        self.imagined: list[ImagineRequest] = []
        self.scored: list[ScoreRequest] = []

    def imagine(self, requests: Sequence[ImagineRequest]) -> list[tuple[str, ...] | SerenError]:
        self.imagined.extend(requests)
        return [self._imagine(request) for request in requests]

    def score(self, requests: Sequence[ScoreRequest]) -> list[tuple[Scored, ...] | SerenError]:
        self.scored.extend(requests)
        return [
            RequestError("no score") if "fail score" in request.digest.static else tuple(map(scored, request.titles))
            for request in requests
        ]

    def _imagine(self, request: ImagineRequest) -> tuple[str, ...] | SerenError:
        if "fail imagine" in request.digest.static:
            return MalformedAnswer("no title", "?")
        noise = ("\x00", "red  mug", "mug red", "\u200b") if "noise" in request.digest.static else ()
        return (*noise, *(f"title {number} of {request.seed}" for number in range(request.n)))[: request.n]


def scored(title: str) -> Scored:
    return Scored(logprob=-6.0 - zlib.crc32(title.encode()) % 997 / 100, prior_logprob=-9.0, tokens=3)


def _wish(*facts: str, seed: int = 1) -> Wish:
    return Wish(Digest(static=facts), seed, (7,))


def _imagine(*wishes: Wish, policy: ImaginePolicy, engine: FakeEngine | None = None) -> list[tuple[str, ...] | SerenError]:
    return imagine(wishes, count=COUNT, engine=engine or FakeEngine(), titles=TITLES, policy=policy)


def test_default_is_the_papers_way_one_call_of_free_samples() -> None:
    engine = FakeEngine()
    [found] = _imagine(_wish(), policy=ImaginePolicy(), engine=engine)
    assert engine.imagined == [ImagineRequest(digest=Digest(), n=COUNT, seed=1)]
    assert (found, engine.scored) == (("title 0 of 1", "title 1 of 1", "title 2 of 1"), [])


def test_more_samples_are_asked_for_and_the_best_by_aligned_score_stay() -> None:
    engine = FakeEngine()
    [found] = _imagine(_wish(), policy=ImaginePolicy(sampled_ratio=3.0, likeness_weight=0.0), engine=engine)
    every = [f"title {number} of 1" for number in range(9)]
    assert found == tuple(sorted(every, key=lambda title: -aligned_score(scored(title)))[:COUNT])
    assert [request.n for request in engine.imagined] == [9]


def test_what_is_no_title_is_not_scored_and_comes_after_the_titles() -> None:
    engine = FakeEngine()
    [found] = _imagine(_wish("noise"), policy=ImaginePolicy(sampled_ratio=3.0), engine=engine)
    assert isinstance(found, tuple)
    assert found[COUNT:] == ("\x00", "\u200b")
    [request] = engine.scored
    assert request.titles == ("red  mug", *(f"title {number} of 1" for number in range(5)))  # "mug red" is the same words


def test_errors_stay_with_their_wish() -> None:
    policy = ImaginePolicy(sampled_ratio=2.0)
    wishes = (_wish("fail imagine"), _wish(seed=4), _wish("fail score"))
    no_title, good, no_score = _imagine(*wishes, policy=policy)
    assert [str(no_title), str(no_score)] == ["no title", "no score"]
    assert [good] == _imagine(_wish(seed=4), policy=policy)


def test_no_wishes_ask_nothing() -> None:
    engine = FakeEngine()
    assert _imagine(policy=ImaginePolicy(sampled_ratio=2.0), engine=engine) == []
    assert (engine.imagined, engine.scored) == ([], [])


def test_engine_that_answers_too_few_is_an_engine_error() -> None:
    engine = FakeEngine()
    engine.imagine = lambda requests: []  # type: ignore[method-assign]
    with pytest.raises(EngineError, match="0 replies to 1 requests"):
        _imagine(_wish(), policy=ImaginePolicy(), engine=engine)


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (ImaginePolicy(is_within_catalogue=True), (TITLES, (), False)),
        (ImaginePolicy(is_within_catalogue=True, is_distinct=True), (TITLES, (), True)),
        (ImaginePolicy(is_within_catalogue=True, is_new_only=True), (TITLES, (7,), False)),
        (ImaginePolicy(is_distinct=True, is_new_only=True), (None, (), False)),
    ],
)
def test_ways_within_the_catalogue_are_asked_for_only_together_with_it(
    policy: ImaginePolicy, expected: tuple[CatalogueTitles | None, tuple[int, ...], bool]
) -> None:
    engine = FakeEngine()
    _imagine(_wish(), policy=policy, engine=engine)
    [request] = engine.imagined
    assert (request.within, request.avoided, request.is_distinct) == expected


VALUES = st.dictionaries(st.text("abc ", min_size=1, max_size=6), st.floats(0, 1), max_size=12)


@given(VALUES, st.integers(0, 14), st.floats(0, 1))
def test_keep_best_keeps_so_many_different_titles_beginning_with_the_best(
    values: dict[str, float], count: int, weight: float
) -> None:
    found = keep_best(list(values), list(values.values()), count=count, likeness_weight=weight)
    assert len(found) == len(set(found)) == min(count, len(values))
    assert set(found) <= set(values)
    if found:
        assert values[found[0]] == max(values.values())


def test_keep_best_prefers_another_thing_to_a_variant_that_is_a_little_better() -> None:
    titles = ("red retrospot mug", "pink retrospot mug", "wicker star")
    # "pink retrospot mug" shares 2 of 4 words: 0.8 x (1 - 0.5 x 0.5) = 0.6, less than the star's 0.7.
    assert keep_best(titles, (0.9, 0.8, 0.7), count=2, likeness_weight=0.5) == ("red retrospot mug", "wicker star")
    assert keep_best(titles, (0.9, 0.8, 0.7), count=2, likeness_weight=0.0) == ("red retrospot mug", "pink retrospot mug")
