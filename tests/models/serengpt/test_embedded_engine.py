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
from models.serengpt.constrained import Beginning
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
from models.serengpt.constrained import Beginning
from models.serengpt.embedded import load_engine
from models.serengpt.engine import ImagineRequest
requests = msgspec.json.decode(sys.stdin.buffer.read(), type=list[ImagineRequest])
sys.stdout.buffer.write(msgspec.json.encode(load_engine(serengpt_folder(), threads=1).imagine(requests)))
"""


def _digest(*titles: str) -> Digest:
    return Digest(history=tuple(Behaviour("purchase", title, n, n) for n, title in enumerate(titles)))


DIGESTS = (_digest("red retrospot mug"), _digest("wicker star", "wicker heart"))


def _answered(outcomes: list[tuple[Scored, ...] | SerenError]) -> list[tuple[Scored, ...]]:
    assert not any(isinstance(outcome, SerenError) for outcome in outcomes)
    return [outcome for outcome in outcomes if not isinstance(outcome, SerenError)]


def test_imagine_same_request_in_another_process_gives_the_same_titles(engine: EmbeddedEngine) -> None:
    requests = [ImagineRequest(digest=digest, n=8, seed=2**32 - 1) for digest in DIGESTS]
    here = engine.imagine(requests)
    there = subprocess.run(
        [sys.executable, "-c", _IMAGINE], input=msgspec.json.encode(requests[::-1]), capture_output=True, check=True
    )
    assert msgspec.json.decode(there.stdout, type=list[tuple[str, ...]]) == here[::-1]


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


def test_constrained_steps_read_the_logits_of_the_whole_prompt_whatever_is_beside_them(engine: EmbeddedEngine) -> None:
    prompt = engine._prompt(DIGESTS[0])
    every = np.arange(engine._tokenizer.size)
    paths = (
        (),
        *(title_ids(title, engine._tokenizer)[:size] for size, title in ((1, TITLES[0]), (3, TITLES[1]), (3, TITLES[3]))),
    )
    found = engine._continued(engine._load(1), prompt, [Beginning(path, every) for path in paths])
    for path, logits in zip(paths, found, strict=True):
        [plain] = engine._runtime.generate_batch(
            [engine._words((*prompt, *path))],
            include_prompt_in_result=False,
            max_length=1,
            sampling_topk=1,
            return_logits_vocab=True,
        )
        # In whole numbers but for the rounding of a product's rows, which depends on how many there are (seen: 3e-6).
        np.testing.assert_allclose(logits, np.array(plain.logits[0][0]).reshape(-1), rtol=0, atol=1e-4)
