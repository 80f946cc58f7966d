"""Laws of every SerenGPT engine, on the shipped checkpoint. Those of torch and vLLM need the extras of these names."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module

import numpy as np
import pytest

from models.entities import Behaviour, Digest
from models.errors import RequestError, SerenError
from models.pretrained import serengpt_folder
from models.serengpt.embedded import load_engine
from models.serengpt.engine import CatalogueTitles, Engine, ImagineRequest, Scored, ScoreRequest
from models.serengpt.prompt import title_ids
from models.serengpt.tokens import TitleTokenizer

# Greatest difference of a log-probability that a row's neighbours may cause. CTranslate2 reads row by row in whole numbers;
# torch and vLLM add up in single precision, in an order that depends on the size of a product (seen: 1e-5).
NEIGHBOURS = {"ctranslate2": 0.0, "torch": 1e-4, "torch, side by side": 1e-4, "vllm": 1e-4}
# vLLM's imports warn of much, and its server takes half a minute to start.
VLLM = (pytest.mark.vllm, pytest.mark.timeout(900), pytest.mark.filterwarnings("ignore"))
MARKS = {"ctranslate2": (), "vllm": VLLM}
NAMES = tuple(pytest.param(name, marks=MARKS.get(name, (pytest.mark.train,))) for name in NEIGHBOURS)

TITLES = (
    "red retrospot mug",
    "vintage alarm clock bakelike green",
    "mug",
    "hanging heart t-light holder",
    "pack of 12 tissues",
)


def _digest(*titles: str) -> Digest:
    return Digest(history=tuple(Behaviour("purchase", title, n, n) for n, title in enumerate(titles)))


DIGESTS = (
    _digest("red retrospot mug"),
    _digest("wicker star", "wicker heart"),
    Digest(static=("country: Germany",)),
    Digest(),
)


@pytest.fixture(scope="module")
def tokenizer() -> TitleTokenizer:
    return TitleTokenizer.load(serengpt_folder() / "tokenizer.json")


@pytest.fixture(scope="module", params=NAMES)
def named(request: pytest.FixtureRequest) -> Iterator[tuple[str, Engine]]:
    name: str = request.param
    if name == "ctranslate2":
        embedded = load_engine(serengpt_folder(), threads=2)
        yield name, embedded
        embedded.close()
        return
    if name == "vllm":
        yield name, request.getfixturevalue("vllm_engine")
        return
    torch_engine = import_module("models.serengpt.torch_engine")
    batching = None if name == "torch" else torch_engine.Batching(titles=3)
    yield name, torch_engine.load_engine(serengpt_folder(), device="cpu", batching=batching)


@pytest.fixture
def engine(named: tuple[str, Engine]) -> Engine:
    return named[1]


@pytest.fixture
def close_to(named: tuple[str, Engine]) -> float:
    return NEIGHBOURS[named[0]]


def _answered(outcomes: list[tuple[Scored, ...] | SerenError]) -> list[tuple[Scored, ...]]:
    assert not any(isinstance(outcome, SerenError) for outcome in outcomes)
    return [outcome for outcome in outcomes if not isinstance(outcome, SerenError)]


def _assert_close(found: list[tuple[Scored, ...]], expected: list[tuple[Scored, ...]], tolerance: float) -> None:
    assert [len(answer) for answer in found] == [len(answer) for answer in expected]
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(
            [(one.logprob, one.prior_logprob, one.tokens) for one in ours],
            [(one.logprob, one.prior_logprob, one.tokens) for one in theirs],
            rtol=0,
            atol=tolerance,
        )


def test_threads_that_ask_at_once_get_what_each_gets_alone(engine: Engine, close_to: float) -> None:
    wishes = [[ImagineRequest(digest=digest, n=4, seed=5)] for digest in DIGESTS]
    asked = [[ScoreRequest(digest=digest, titles=TITLES)] for digest in DIGESTS]
    alone = [engine.imagine(wish) for wish in wishes], [_answered(engine.score(one))[0] for one in asked]
    with ThreadPoolExecutor(len(DIGESTS)) as threads:
        imagined, scored = threads.map(engine.imagine, wishes), threads.map(engine.score, asked)
        assert list(imagined) == alone[0]
        _assert_close([_answered(answer)[0] for answer in scored], alone[1], close_to)


# ---- imagine


def test_imagine_keeps_order_and_length(engine: Engine) -> None:
    requests = [ImagineRequest(digest=digest, n=n, seed=3) for n, digest in enumerate(DIGESTS, 1)]
    answers = engine.imagine(requests)
    assert [len(titles) for titles in answers if isinstance(titles, tuple)] == [1, 2, 3, 4]


def test_imagine_of_nothing_is_nothing(engine: Engine) -> None:
    assert engine.imagine([]) == []
    assert engine.score([]) == []


def test_imagine_same_request_beside_others_or_alone_gives_the_same_titles(engine: Engine) -> None:
    requests = [ImagineRequest(digest=digest, n=5, seed=seed) for seed, digest in enumerate(DIGESTS)]
    together = engine.imagine(requests)
    assert engine.imagine(requests[::-1]) == together[::-1]
    assert [engine.imagine([request])[0] for request in requests] == together


def test_imagine_same_request_twice_in_a_batch_is_answered_twice_alike(engine: Engine) -> None:
    request = ImagineRequest(digest=DIGESTS[1], n=6, seed=9)
    first, _, second = engine.imagine([request, ImagineRequest(digest=DIGESTS[0], n=2, seed=9), request])
    assert first == second


def test_imagine_another_seed_gives_other_titles(engine: Engine) -> None:
    one, other = (engine.imagine([ImagineRequest(digest=DIGESTS[0], n=10, seed=seed)])[0] for seed in (1, 2))
    assert one != other


def test_imagine_titles_are_plain_text(engine: Engine) -> None:
    (titles,) = engine.imagine([ImagineRequest(digest=DIGESTS[0], n=30, seed=5)])
    assert isinstance(titles, tuple)
    assert all("<|" not in title and "\n" not in title for title in titles)
    assert len(set(titles)) > 15


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (ImagineRequest(digest=DIGESTS[0], n=0, seed=1), "n: 0, must be from 1 to 256"),
        (ImagineRequest(digest=DIGESTS[0], n=257, seed=1), "n: 257, must be from 1 to 256"),
        (ImagineRequest(digest=DIGESTS[0], n=1, seed=-1), "seed: -1, must be from 0 to 4294967295"),
    ],
)
def test_imagine_malformed_request_fails_alone(engine: Engine, request_: ImagineRequest, message: str) -> None:
    good = ImagineRequest(digest=DIGESTS[0], n=2, seed=1)
    before, error, after = engine.imagine([good, request_, good])
    assert isinstance(error, RequestError)
    assert str(error) == message
    assert before == after == engine.imagine([good])[0]


# ---- imagine within a catalogue

WITHIN = CatalogueTitles.of([*((title, n % 2) for n, title in enumerate(TITLES)), ("Wicker Star", 2), ("red mug large", 2)])


def _chosen(outcome: tuple[str, ...] | SerenError) -> tuple[str, ...]:
    assert not isinstance(outcome, SerenError)
    return outcome


@pytest.mark.parametrize("is_distinct", [False, True])
def test_imagine_within_a_catalogue_gives_its_titles_alone_and_beside_others(engine: Engine, is_distinct: bool) -> None:
    requests = [
        ImagineRequest(digest=digest, n=n, seed=n, within=WITHIN, is_distinct=is_distinct)
        for n, digest in enumerate(DIGESTS, 2)
    ]
    free = ImagineRequest(digest=DIGESTS[0], n=3, seed=1)
    together = engine.imagine([*requests, free])
    assert [len(_chosen(titles)) for titles in together] == [2, 3, 4, 5, 3]
    assert {title for titles in together[:-1] for title in _chosen(titles)} <= {title.lower() for title in WITHIN.titles}
    assert [engine.imagine([request])[0] for request in (*requests, free)] == together


def test_imagine_distinct_titles_are_different_and_at_most_all_there_are(engine: Engine) -> None:
    (titles,) = engine.imagine([ImagineRequest(digest=DIGESTS[0], n=30, seed=4, within=WITHIN, is_distinct=True)])
    assert sorted(_chosen(titles)) == sorted(title.lower() for title in WITHIN.titles)


def test_imagine_avoided_groups_are_not_written_unless_nothing_else_is_there(engine: Engine) -> None:
    some, none = (
        ImagineRequest(digest=DIGESTS[0], n=9, seed=4, within=WITHIN, avoided=avoided, is_distinct=True)
        for avoided in ((0, 1), (0, 1, 2))
    )
    found, everything = engine.imagine([some, none])
    assert sorted(_chosen(found)) == ["red mug large", "wicker star"]
    assert len(_chosen(everything)) == 7


def test_imagine_within_a_catalogue_of_nothing_fails_alone(engine: Engine) -> None:
    good = ImagineRequest(digest=DIGESTS[0], n=2, seed=1, within=WITHIN)
    blank = ImagineRequest(digest=DIGESTS[0], n=2, seed=1, within=CatalogueTitles.of([("\u200b", 0)]))
    before, error, after = engine.imagine([good, blank, good])
    assert str(error) == "within: 0 of 1 titles can be read, must be at least 1"
    assert before == after == engine.imagine([good])[0]


# ---- score


def test_score_keeps_order_and_length_and_answers_a_repeated_title_twice(engine: Engine, tokenizer: TitleTokenizer) -> None:
    (scored,) = _answered(engine.score([ScoreRequest(digest=DIGESTS[0], titles=(*TITLES, TITLES[0]))]))
    assert len(scored) == 6
    assert scored[0] == scored[5]
    assert [one.tokens for one in scored[:3]] == [len(title_ids(title, tokenizer)) + 1 for title in TITLES[:3]]
    assert all(one.logprob < 0 and one.prior_logprob < 0 for one in scored)


def test_score_permuted_titles_and_requests_give_the_same_scores(engine: Engine, close_to: float) -> None:
    requests = [ScoreRequest(digest=digest, titles=TITLES) for digest in DIGESTS]
    straight = _answered(engine.score(requests))
    turned = _answered(engine.score([ScoreRequest(digest=digest, titles=TITLES[::-1]) for digest in DIGESTS[::-1]]))
    _assert_close([answer[::-1] for answer in turned[::-1]], straight, close_to)


def test_score_does_not_depend_on_the_requests_beside_it(engine: Engine, close_to: float) -> None:
    requests = [ScoreRequest(digest=digest, titles=TITLES[: n + 2]) for n, digest in enumerate(DIGESTS)]
    alone = [_answered(engine.score([request]))[0] for request in requests]
    _assert_close(_answered(engine.score(requests)), alone, close_to)


def test_score_does_not_depend_on_how_many_titles_are_asked(engine: Engine, close_to: float) -> None:
    many = tuple(f"{colour} {thing}" for colour in ("red", "blue", "pink", "green") for thing in ("mug", "clock", "bag") * 7)
    few = _answered(engine.score([ScoreRequest(digest=DIGESTS[1], titles=TITLES)]))
    (all_of_them,) = _answered(engine.score([ScoreRequest(digest=DIGESTS[1], titles=(*many, *TITLES))]))
    _assert_close([all_of_them[-len(TITLES) :]], few, close_to)


def test_score_of_no_titles_is_empty_beside_others_too(engine: Engine) -> None:
    nothing, some = ScoreRequest(digest=DIGESTS[0], titles=()), ScoreRequest(digest=DIGESTS[0], titles=TITLES)
    assert engine.score([nothing]) == [()]
    assert [len(answer) for answer in _answered(engine.score([some, nothing]))] == [5, 0]


def test_score_before_anything_is_known_is_the_prior(engine: Engine, close_to: float) -> None:
    (scored,) = _answered(engine.score([ScoreRequest(digest=Digest(), titles=TITLES)]))
    np.testing.assert_allclose([one.logprob for one in scored], [one.prior_logprob for one in scored], rtol=0, atol=close_to)


@pytest.mark.parametrize(
    ("titles", "message"),
    [
        (("red mug", "\n\x00"), r"titles[1]: '\n\x00' has no visible text"),
        (("mug",) * 1025, "titles: 1025, must be from 0 to 1024"),
    ],
)
def test_score_malformed_request_fails_alone(engine: Engine, close_to: float, titles: tuple[str, ...], message: str) -> None:
    good = ScoreRequest(digest=DIGESTS[0], titles=TITLES)
    before, error, after = engine.score([good, ScoreRequest(digest=DIGESTS[0], titles=titles), good])
    assert isinstance(error, RequestError)
    assert str(error) == message
    _assert_close(_answered([before, after]), _answered(engine.score([good, good])), close_to)
