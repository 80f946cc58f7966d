"""SerenGPT in the process itself, on the CPU, without torch: the int8 conversion of a checkpoint run by CTranslate2.

Three of the runtime's habits shape this file. Its random generators are thread-local and take the global seed when their
thread first samples, so every `imagine` gets a runtime of its own (loading 2 MB takes about 4 ms), and the seed is drawn
under a lock by a first sample of one token; the rest runs outside the lock. A prompt given as `static_prompt` is computed
once for all rows; the rows are forced through the titles, and the logits of each step come back: a shared-prefix score that
agrees with scoring every full prompt, at a fraction of the work. The cache of static prompts is never emptied, so it stays
off.

Every runtime works on one thread; requests run side by side on up to `threads` of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar

import ctranslate2
import numpy as np
from numpy.typing import NDArray

from models.entities import Digest
from models.errors import CheckpointError, EngineDead, RequestError, SerenError
from models.serengpt.checkpoint import EmbeddedCheckpoint, read_checkpoint
from models.serengpt.constrained import Beginning, Logits, run, walk
from models.serengpt.engine import ImagineRequest, Scored, ScoreRequest
from models.serengpt.prior import PriorCache, Title
from models.serengpt.prompt import PROMPT_TOKENS, TITLE_TOKENS, prompt_ids, reference_ids
from models.serengpt.requests import (
    PRIORS_KEPT,
    REPETITION_PENALTY,
    TEMPERATURE,
    asked_titles,
    check_imagine,
    scored_titles,
    written_title,
)
from models.serengpt.tokens import ANSWER, END
from models.serengpt.trie import TitleTrie, Tries

_NO_SEED = 2**32 - 1  # what the runtime takes for "never seeded": it would draw a seed of its own
# Rows per runtime call while scoring: 64 rows of 17 steps of 3,072 logits are 13 MB, and larger calls are no faster.
_ROWS = 64

_sampling = Lock()  # the runtime's seed is one per process, so engines of one process take turns in planting it
_Request = TypeVar("_Request")
_Answer = TypeVar("_Answer")


def load_engine(folder: Path, *, threads: int = 1, prompt_tokens: int = PROMPT_TOKENS) -> EmbeddedEngine:
    """The engine of a checkpoint folder.

    Args:
        folder: holds a tokenizer and a conversion, as `models.serengpt.checkpoint` describes.
        threads: requests that may run side by side.
        prompt_tokens: budget of a prompt; the default is what the checkpoints are trained on.

    Raises:
        CheckpointError: the folder is missing, corrupt, or of another prompt version or architecture.
    """
    return EmbeddedEngine(read_checkpoint(folder), threads=threads, prompt_tokens=prompt_tokens)


class EmbeddedEngine:
    """See `models.serengpt.engine.Engine`."""

    def __init__(self, checkpoint: EmbeddedCheckpoint, *, threads: int = 1, prompt_tokens: int = PROMPT_TOKENS) -> None:
        if threads < 1:
            message = f"threads: {threads}, must be at least 1"
            raise ValueError(message)
        self.model_id = checkpoint.model_id
        self.prompt_version = checkpoint.prompt_version
        self.moved = 0  # answers made, for whoever looks whether this moves
        self.runtime = f"ctranslate2 {ctranslate2.__version__}, int8 on the CPU"
        self._prompt_tokens = prompt_tokens
        self._tokenizer = checkpoint.tokenizer
        self._files = checkpoint.model_files
        self._runtime = self._load(threads)
        self._tries = Tries(partial(TitleTrie.build, tokenizer=self._tokenizer))
        self._priors = PriorCache(partial(self._logprobs, reference_ids(self._tokenizer)), capacity=PRIORS_KEPT)
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="serengpt")

    def imagine(self, requests: Sequence[ImagineRequest]) -> list[tuple[str, ...] | SerenError]:
        """See `Engine.imagine`."""
        return self._each(self._imagine_one, requests)

    def score(self, requests: Sequence[ScoreRequest]) -> list[tuple[Scored, ...] | SerenError]:
        """See `Engine.score`."""
        return self._each(self._score_one, requests)

    def close(self) -> None:
        """Ends the threads; the engine answers no more."""
        self._pool.shutdown()

    def _each(self, answer: Callable[[_Request], _Answer], requests: Sequence[_Request]) -> list[_Answer | SerenError]:
        def outcome(request: _Request) -> _Answer | SerenError:
            try:
                return answer(request)
            except RequestError as error:
                return error
            finally:
                self.moved += 1

        try:
            return list(self._pool.map(outcome, requests))
        except RuntimeError as error:  # what the runtime raises for all that goes wrong inside it
            message = f"the embedded engine failed: {error}"
            raise EngineDead(message) from error

    def _imagine_one(self, request: ImagineRequest) -> tuple[str, ...]:
        check_imagine(request, can_choose=True)
        if request.within is not None:
            return self._chosen(request, self._tries.of(request.within).narrowed(request.avoided))
        prompt = self._words(self._prompt(request.digest))
        sample = partial(_sample, repetition_penalty=REPETITION_PENALTY, sampling_temperature=TEMPERATURE)
        with _sampling:
            ctranslate2.set_random_seed(request.seed % _NO_SEED)
            runtime = self._load(1)
            sample(runtime, prompt[-1:], n=1, max_length=1)  # plants the seed in the runtime's thread
        found = sample(runtime, prompt, n=request.n, max_length=TITLE_TOKENS)
        return tuple(written_title(ids, self._tokenizer) for ids in found)

    def _chosen(self, request: ImagineRequest, trie: TitleTrie) -> tuple[str, ...]:
        """Titles of a catalogue, at two to three times the cost of free ones: the model is asked step by step."""
        runtime, prompt = self._load(1), self._prompt(request.digest)  # of its own, so that its kept prompts go with it
        (found,) = run([walk(request, trie)], lambda wanted: [self._continued(runtime, prompt, wanted[0])])
        if isinstance(found, RequestError):
            raise found
        return tuple(map(self._tokenizer.decode, found))

    def _continued(self, runtime: Any, prompt: Sequence[int], beginnings: Sequence[Beginning]) -> list[Logits]:
        """The logits of what may follow each beginning."""
        found: dict[Title, Logits] = {}
        # Those of one length go together: the runtime gives a batch's logits from where its shortest row ends.
        for size in sorted({len(one.path) for one in beginnings}):
            rows = [one for one in beginnings if len(one.path) == size]
            results = runtime.generate_batch(
                [self._words((self._tokenizer.ids[ANSWER], *one.path)) for one in rows],
                static_prompt=self._words(prompt[:-1]),
                cache_static_prompt=True,
                include_prompt_in_result=False,
                max_length=1,
                sampling_topk=1,
                return_logits_vocab=True,
            )
            for one, result in zip(rows, results, strict=True):
                found[one.path] = np.array(result.logits[0][0]).reshape(-1)[one.ids].astype(np.float64)
        return [found[one.path] for one in beginnings]

    def _score_one(self, request: ScoreRequest) -> tuple[Scored, ...]:
        titles = asked_titles(request, self._tokenizer)
        different = list(dict.fromkeys(titles))
        logprobs = dict(zip(different, self._logprobs(self._prompt(request.digest), different), strict=True))
        return scored_titles(request, titles, logprobs, self._priors.of(different))

    def _prompt(self, digest: Digest) -> list[int]:
        return prompt_ids(digest, self._tokenizer, budget=self._prompt_tokens)

    def _logprobs(self, prompt: Sequence[int], titles: Sequence[tuple[int, ...]]) -> list[float]:
        """The log-probability of each title, end token included, after a prompt that ends with the answer cue."""
        shortest_first = sorted(range(len(titles)), key=lambda place: len(titles[place]))
        logprobs = [0.0] * len(titles)
        for start in range(0, len(titles), _ROWS):
            places = shortest_first[start : start + _ROWS]
            for place, value in zip(places, self._forced(prompt, [titles[place] for place in places]), strict=True):
                logprobs[place] = value
        return logprobs

    def _forced(self, prompt: Sequence[int], titles: Sequence[tuple[int, ...]]) -> Iterable[float]:
        cue, end = self._tokenizer.ids[ANSWER], self._tokenizer.ids[END]
        results = self._runtime.generate_batch(
            [self._words((cue, *ids, end)) for ids in titles],
            static_prompt=self._words(prompt[:-1]),
            cache_static_prompt=False,
            include_prompt_in_result=True,
            max_length=max(map(len, titles)) + 1,
            sampling_topk=1,
            return_logits_vocab=True,
        )
        for ids, result in zip(titles, results, strict=True):
            steps = np.array([np.array(step).reshape(-1) for step in result.logits[0][: len(ids) + 1]])
            yield _log_probability(steps, np.array((*ids, end)))

    def _words(self, ids: Iterable[int]) -> list[str]:
        return [self._tokenizer.tokens[place] for place in ids]

    def _load(self, threads: int) -> Any:
        try:
            return ctranslate2.Generator(
                self.model_id,
                device="cpu",
                compute_type="int8_float32",  # the same arithmetic on every CPU that the runtime supports
                inter_threads=threads,
                intra_threads=1,
                files=dict(self._files),
            )
        except (RuntimeError, ValueError) as error:  # torn, or of an architecture that it does not know
            message = f"checkpoint {self.model_id}: the runtime cannot load it: {error}"
            raise CheckpointError(message) from error


def _sample(runtime: Any, prompt: list[str], *, n: int, max_length: int, **decoding: float) -> list[list[int]]:
    result = runtime.generate_batch(
        [prompt],
        num_hypotheses=n,
        sampling_topk=0,
        include_prompt_in_result=False,
        max_length=max_length,
        **decoding,
    )[0]
    return [list(ids) for ids in result.sequences_ids]


def _log_probability(logits: NDArray[np.float32], ids: NDArray[np.int64]) -> float:
    """Sum over the steps of log softmax(logits)[id], in double precision."""
    exact = logits.astype(np.float64)
    top = exact.max(axis=1)
    total = np.log(np.exp(exact - top[:, None]).sum(axis=1)) + top
    return float((exact[np.arange(len(ids)), ids] - total).sum())
