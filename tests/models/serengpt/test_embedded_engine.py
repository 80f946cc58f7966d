import math
import subprocess
import sys
from pathlib import Path

import ctranslate2
import msgspec
import numpy as np
import pytest

from models.entities import Behaviour, Digest
from models.errors import RequestError, SerenError
from models.pretrained import serengpt_folder
from models.serengpt.checkpoint import read_checkpoint
from models.serengpt.embedded import EmbeddedEngine, load_engine
from models.serengpt.engine import ImagineRequest, Scored, ScoreRequest
from models.serengpt.prompt import prompt_ids, title_ids

TITLES = (
    "red retrospot mug",
    "vintage alarm clock bakelike green",
    "mug",
    "hanging heart t-light holder",
    "pack of 12 tissues",
)
_IMAGINE = """
import sys, msgspec
from models.pretrained import serengpt_folder
from models.serengpt.embedded import load_engine
from models.serengpt.engine import ImagineRequest
requests = msgspec.json.decode(sys.stdin.buffer.read(), type=list[ImagineRequest])
sys.stdout.buffer.write(msgspec.json.encode(load_engine(serengpt_folder(), threads=1).imagine(requests)))
"""


def _digest(*titles: str) -> Digest:
    return Digest(history=tuple(Behaviour("purchase", title, n, n) for n, title in enumerate(titles)))


DIGESTS = (
    _digest("red retrospot mug"),
    _digest("wicker star", "wicker heart"),
    Digest(static=("country: Germany",)),
    Digest(),
)


def _answered(outcomes: list[tuple[Scored, ...] | SerenError]) -> list[tuple[Scored, ...]]:
    assert not any(isinstance(outcome, SerenError) for outcome in outcomes)
    return [outcome for outcome in outcomes if not isinstance(outcome, SerenError)]


def test_imagine_keeps_order_and_length(engine: EmbeddedEngine) -> None:
    requests = [ImagineRequest(digest=digest, n=n, seed=3) for n, digest in enumerate(DIGESTS, 1)]
    assert [len(titles) for titles in engine.imagine(requests)] == [1, 2, 3, 4]


def test_imagine_same_request_beside_others_or_alone_gives_the_same_titles(engine: EmbeddedEngine) -> None:
    requests = [ImagineRequest(digest=digest, n=5, seed=seed) for seed, digest in enumerate(DIGESTS)]
    together = engine.imagine(requests)
    assert engine.imagine(requests[::-1]) == together[::-1]
    assert [engine.imagine([request])[0] for request in requests] == together


def test_imagine_same_request_in_another_process_gives_the_same_titles(engine: EmbeddedEngine) -> None:
    requests = [ImagineRequest(digest=digest, n=8, seed=2**32 - 1) for digest in DIGESTS[:2]]
    here = engine.imagine(requests)
    there = subprocess.run(
        [sys.executable, "-c", _IMAGINE], input=msgspec.json.encode(requests[::-1]), capture_output=True, check=True
    )
    assert msgspec.json.decode(there.stdout, type=list[tuple[str, ...]]) == here[::-1]


def test_imagine_another_seed_gives_other_titles(engine: EmbeddedEngine) -> None:
    one, other = (engine.imagine([ImagineRequest(digest=DIGESTS[0], n=10, seed=seed)])[0] for seed in (1, 2))
    assert one != other


def test_imagine_titles_are_plain_text(engine: EmbeddedEngine) -> None:
    (titles,) = engine.imagine([ImagineRequest(digest=DIGESTS[0], n=30, seed=5)])
    assert isinstance(titles, tuple)
    assert all("<|" not in title and "\n" not in title for title in titles)
    assert len(set(titles)) > 15


def test_score_keeps_order_and_length_and_answers_a_repeated_title_twice(engine: EmbeddedEngine) -> None:
    (scored,) = _answered(engine.score([ScoreRequest(digest=DIGESTS[0], titles=(*TITLES, TITLES[0]))]))
    assert len(scored) == 6
    assert scored[0] == scored[5]
    assert [one.tokens for one in scored[:3]] == [len(title_ids(title, engine._tokenizer)) + 1 for title in TITLES[:3]]
    assert all(one.logprob < 0 and one.prior_logprob < 0 for one in scored)


def test_score_permuted_titles_and_requests_give_equal_scores(engine: EmbeddedEngine) -> None:
    requests = [ScoreRequest(digest=digest, titles=TITLES) for digest in DIGESTS]
    straight = _answered(engine.score(requests))
    turned = _answered(engine.score([ScoreRequest(digest=digest, titles=TITLES[::-1]) for digest in DIGESTS[::-1]]))
    assert [answer[::-1] for answer in turned[::-1]] == straight


def test_score_does_not_depend_on_how_many_titles_are_asked(engine: EmbeddedEngine) -> None:
    many = tuple(f"{colour} {thing}" for colour in ("red", "blue", "pink", "green") for thing in ("mug", "clock", "bag") * 7)
    (few,) = _answered(engine.score([ScoreRequest(digest=DIGESTS[1], titles=TITLES)]))
    (all_of_them,) = _answered(engine.score([ScoreRequest(digest=DIGESTS[1], titles=(*many, *TITLES))]))
    assert all_of_them[-len(TITLES) :] == few


def test_score_of_no_titles_is_empty(engine: EmbeddedEngine) -> None:
    assert engine.score([ScoreRequest(digest=DIGESTS[0], titles=())]) == [()]


def test_score_before_anything_is_known_is_the_prior(engine: EmbeddedEngine) -> None:
    (scored,) = _answered(engine.score([ScoreRequest(digest=Digest(), titles=TITLES)]))
    assert all(one.logprob == one.prior_logprob for one in scored)


def test_score_agrees_with_reading_every_full_prompt(engine: EmbeddedEngine, baker: Digest) -> None:
    # int8 rounds activations row by row, so a prompt read at once and one read in two parts differ in the third decimal.
    checkpoint = read_checkpoint(serengpt_folder())
    words = checkpoint.tokenizer.tokens
    naive = ctranslate2.Generator("naive", compute_type="int8_float32", files=checkpoint.model_files, intra_threads=1)
    prompt = prompt_ids(baker, checkpoint.tokenizer)
    answers = [(*title_ids(title, checkpoint.tokenizer), checkpoint.tokenizer.ids["<|end|>"]) for title in TITLES]
    results = naive.score_batch([[words[place] for place in (*prompt, *answer)] for answer in answers])
    expected = [sum(result.log_probs[-len(answer) :]) for result, answer in zip(results, answers, strict=True)]
    (scored,) = _answered(engine.score([ScoreRequest(digest=baker, titles=TITLES)]))
    np.testing.assert_allclose([one.logprob for one in scored], expected, rtol=0.01)


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (ImagineRequest(digest=DIGESTS[0], n=0, seed=1), "n: 0, must be from 1 to 256"),
        (ImagineRequest(digest=DIGESTS[0], n=257, seed=1), "n: 257, must be from 1 to 256"),
        (ImagineRequest(digest=DIGESTS[0], n=1, seed=-1), "seed: -1, must be from 0 to 4294967295"),
    ],
)
def test_imagine_malformed_request_fails_alone(engine: EmbeddedEngine, request_: ImagineRequest, message: str) -> None:
    good = ImagineRequest(digest=DIGESTS[0], n=2, seed=1)
    before, error, after = engine.imagine([good, request_, good])
    assert isinstance(error, RequestError)
    assert str(error) == message
    assert before == after == engine.imagine([good])[0]


@pytest.mark.parametrize(
    ("titles", "message"),
    [
        (("red mug", "\n\x00"), r"titles[1]: '\n\x00' has no visible text"),
        (("mug",) * 1025, "titles: 1025, must be from 0 to 1024"),
    ],
)
def test_score_malformed_request_fails_alone(engine: EmbeddedEngine, titles: tuple[str, ...], message: str) -> None:
    good = ScoreRequest(digest=DIGESTS[0], titles=TITLES)
    before, error, after = engine.score([good, ScoreRequest(digest=DIGESTS[0], titles=titles), good])
    assert isinstance(error, RequestError)
    assert str(error) == message
    assert before == after == engine.score([good])[0]


def test_score_that_is_not_a_number_is_an_error_of_its_request(monkeypatch: pytest.MonkeyPatch) -> None:
    # What a checkpoint with a broken weight would say.
    engine = load_engine(serengpt_folder(), threads=1)
    monkeypatch.setattr(engine, "_forced", lambda _prompt, titles: [math.nan] * len(titles))
    (outcome,) = engine.score([ScoreRequest(digest=DIGESTS[0], titles=("red mug",))])
    assert isinstance(outcome, RequestError)
    assert str(outcome) == "titles[0]: 'red mug' has no finite log-probability"
    engine.close()


def test_engine_of_no_threads_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="threads: 0, must be at least 1"):
        load_engine(serengpt_folder(), threads=0)
