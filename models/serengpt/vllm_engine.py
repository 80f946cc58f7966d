"""SerenGPT behind vLLM: the engine for a GPU that serves many users. The same code runs vLLM's build for the CPU.

Requests of all calls that are under way meet in one server, which reads and writes them together and lets the next ones in
while others are still being written; so call it from several threads. A prompt is read once: its samples, its titles, and the
next question about the same user go on from what the server has kept of it.

What is promised, and what is not: one outcome for each request, in order. Every sample draws from a seed of its own, made from
the request's. How a number is rounded depends on what else is in the batch: on the CPU, in single precision, a log-probability
may differ by 1e-4, and a sample falls to another token when two are that close; in bf16 on a GPU by up to a tenth.

A server that dies fails the calls that wait for it with `EngineLost`, which is worth a retry: the next call starts another.

Knows nothing about transports or catalogues. Needs vllm, from the first `load_engine` on.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from pathlib import Path
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np

from models.entities import Digest
from models.errors import CheckpointError, EngineDead, EngineLost, RequestError, SerenError
from models.serengpt.adapters import Adapter, is_adapter, read_adapter
from models.serengpt.checkpoint import read_weights_checkpoint
from models.serengpt.constrained import Walk, walk
from models.serengpt.engine import ImagineRequest, Scored, ScoreRequest
from models.serengpt.gate import Gate
from models.serengpt.prior import PriorCache, Title
from models.serengpt.prompt import PROMPT_TOKENS, TITLE_TOKENS, prompt_ids, reference_ids
from models.serengpt.requests import PRIORS_KEPT, asked_titles, check_imagine, scored_titles, written_title
from models.serengpt.shape import NetworkShape, read_shape
from models.serengpt.shared_prefix import Found, Reading, TitleTree
from models.serengpt.tokens import END, TitleTokenizer
from models.serengpt.trie import TitleTrie, Tries
from models.serengpt.vllm_guard import OWNER
from models.serengpt.vllm_limits import VllmLimits

if TYPE_CHECKING:
    from models.serengpt.vllm_runtime import Runtime

_ENVIRONMENT = {
    "VLLM_USE_V2_MODEL_RUNNER": "0",  # see models.serengpt.vllm_runtime
    "VLLM_WORKER_MULTIPROC_METHOD": "spawn",  # a worker has threads, and a fork would copy their locks
    "VLLM_LOGGING_LEVEL": "ERROR",  # it warns of much that is as we want it
    "VLLM_NO_USAGE_STATS": "1",  # a worker calls nobody
    "HF_HUB_OFFLINE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",  # where the threads run is the operator's to say
}

_Request = TypeVar("_Request", ImagineRequest, ScoreRequest)
_Found = TypeVar("_Found")
_Answer = TypeVar("_Answer")


class _Model(NamedTuple):
    """What answers, apart from the server that runs it."""

    model_id: str
    prompt_version: int
    folder: Path  # of the weights
    shape: NetworkShape
    tokenizer: TitleTokenizer
    adapter: Adapter | None


class _Serving(NamedTuple):
    """A model in a server; `asked` is the adapter as vLLM asks for it."""

    model: _Model
    runtime: Runtime
    adapter_rank: int
    asked: Any
    priors: PriorCache
    tries: Tries


def load_engine(
    folder: Path, *, threads: int = 1, prompt_tokens: int = PROMPT_TOKENS, limits: VllmLimits | None = None
) -> VllmEngine:
    """The engine of a checkpoint folder; its server takes half a minute to start.

    Args:
        folder: holds a tokenizer and the weights, as `models.serengpt.checkpoint` describes.
        threads: on the CPU.
        prompt_tokens: budget of a prompt; the default is what the checkpoints are trained on.
        limits: what the server may take; None: the defaults.

    Raises:
        CheckpointError: the folder is missing, corrupt, or of another prompt version or architecture, or vLLM cannot run it.
    """
    model = _read_model(folder, prompt_tokens)
    for name, value in (_ENVIRONMENT | {"OMP_NUM_THREADS": str(threads)}).items():
        os.environ.setdefault(name, value)  # vLLM has no other place for these
    os.environ[OWNER] = str(os.getpid())
    return VllmEngine(model, prompt_tokens=prompt_tokens, limits=limits or VllmLimits())


class VllmEngine:
    """See `models.serengpt.engine.Engine` and `Swappable`; made by `load_engine`."""

    def __init__(self, model: _Model, *, prompt_tokens: int, limits: VllmLimits) -> None:
        self._server = import_module("models.serengpt.vllm_runtime")
        self.runtime: str = self._server.described()
        self._prompt_tokens = prompt_tokens
        self._limits = limits
        self._deaths = 0
        self._adapters = 0  # vLLM tells adapters apart by number
        self._gate = Gate()
        self._swapping = Lock()
        self._loop = asyncio.new_event_loop()
        # The server's processes die with the thread that started them (models.serengpt.vllm_guard): this one ends last.
        self._thread = Thread(target=self._loop.run_forever, name="serengpt-vllm", daemon=True)
        self._thread.start()
        try:
            self._serving = self._started(model, adapter_rank=0)
        except BaseException:
            self._end_loop()
            raise

    @property
    def model_id(self) -> str:
        """The checkpoint, with its adapter, by content; and that it is vLLM, whose samples are not those of other engines."""
        return self._serving.model.model_id

    @property
    def prompt_version(self) -> int:
        """Of the checkpoint."""
        return self._serving.model.prompt_version

    @property
    def asked_tokens(self) -> int:
        """Tokens of prompts and titles in the questions that this server has answered."""
        return self._serving.runtime.asked_tokens

    @property
    def cached_tokens(self) -> int:
        """Of those, the ones that it did not read anew."""
        return self._serving.runtime.cached_tokens

    @property
    def moved(self) -> int:
        """Readings and writings that the server has answered."""
        return self._serving.runtime.answered

    @property
    def in_hand(self) -> int:
        """Readings and writings that the server has been asked for and has not answered yet."""
        return self._serving.runtime.in_hand

    def imagine(self, requests: Sequence[ImagineRequest]) -> list[tuple[str, ...] | SerenError]:
        """See `Engine.imagine`."""
        with self._call() as serving:
            return self._each(serving, requests, partial(_trie, serving.tries), self._write)

    def score(self, requests: Sequence[ScoreRequest]) -> list[tuple[Scored, ...] | SerenError]:
        """See `Engine.score`."""
        with self._call() as serving:
            tokenizer = serving.model.tokenizer
            found = self._each(serving, requests, lambda request: asked_titles(request, tokenizer), self._read)
            return [self._scored(serving, *answer) for answer in zip(requests, found, strict=True)]

    def swap(self, folder: Path) -> None:
        """Answers with another checkpoint, or with a LoRA adapter of the one that answers; see `Swappable.swap`.

        An adapter is loaded beside the calls under way, which end without it. The first one, and one of a higher rank than any
        before, needs a new server, as does a checkpoint of another shape: then calls wait until it has started. Weights of the
        same shape are read into the server that runs, as soon as nothing is under way.

        Raises:
            CheckpointError: the folder cannot be run; what answered goes on.
        """
        with self._swapping:
            if is_adapter(folder):
                self._adapt(read_adapter(folder))
            else:
                self._change(_read_model(folder, self._prompt_tokens))

    def restart(self) -> None:
        """Ends the server, whatever it does: calls that wait for it fail with `EngineLost`, the next one starts another."""
        self._serving.runtime.kill()

    def close(self) -> None:
        """Ends the server and the thread; the engine answers no more."""
        with self._swapping:
            self._run(self._serving.runtime.close())
            self._end_loop()

    # ---- one call

    @contextmanager
    def _call(self) -> Iterator[_Serving]:
        if self._serving.runtime.is_dead:
            self._revive()
        with self._gate.beside():
            serving = self._serving
            try:
                yield serving
            except self._server.DEAD as error:
                message = f"the vLLM server died: {error}"
                raise EngineLost(message) from error
            self._deaths = 0

    def _each(
        self,
        serving: _Serving,
        requests: Sequence[_Request],
        prepare: Callable[[_Request], _Found],
        answer: Callable[[_Serving, list[int], _Request, _Found], Coroutine[Any, Any, _Answer]],
    ) -> list[_Answer | SerenError]:
        """One outcome each, in order; those whose prompts begin alike go to the server one after the other."""
        outcomes: dict[int, _Answer | SerenError] = {}
        asked: list[tuple[list[int], int, _Found]] = []
        for place, request in enumerate(requests):
            try:
                prepared = prepare(request)
            except RequestError as error:
                outcomes[place] = error
                continue
            asked.append((self._prompt(serving, request.digest), place, prepared))
        asked.sort(key=lambda one: one[:2])
        answers = self._run(_together([answer(serving, prompt, requests[place], found) for prompt, place, found in asked]))
        outcomes.update(zip((place for _, place, _ in asked), answers, strict=True))
        return [outcomes[place] for place in range(len(requests))]

    def _prompt(self, serving: _Serving, digest: Digest) -> list[int]:
        return prompt_ids(digest, serving.model.tokenizer, budget=self._prompt_tokens)

    async def _write(
        self, serving: _Serving, prompt: list[int], request: ImagineRequest, trie: TitleTrie | None
    ) -> tuple[str, ...]:
        if trie is not None:
            read = partial(serving.runtime.read, prompt, priority=request.priority, adapter=serving.asked)
            return tuple(map(serving.model.tokenizer.decode, await _walked(walk(request, trie), read)))
        written = await serving.runtime.write(
            prompt, n=request.n, seed=request.seed, priority=request.priority, adapter=serving.asked
        )
        return tuple(written_title(ids, serving.model.tokenizer) for ids in written)

    async def _read(
        self, serving: _Serving, prompt: list[int], request: ScoreRequest, titles: list[Title]
    ) -> dict[Title, float]:
        return await _logprobs(
            serving.runtime,
            prompt,
            titles,
            end=serving.model.tokenizer.ids[END],
            priority=request.priority,
            adapter=serving.asked,
        )

    def _scored(
        self, serving: _Serving, request: ScoreRequest, found: dict[Title, float] | SerenError
    ) -> tuple[Scored, ...] | SerenError:
        if isinstance(found, SerenError):
            return found
        try:
            return scored_titles(
                request, asked_titles(request, serving.model.tokenizer), found, serving.priors.of(list(found))
            )
        except RequestError as error:
            return error

    def _prior(self, model: _Model, runtime: Runtime, asked: Any, titles: Sequence[Title]) -> list[float]:
        end, prompt = model.tokenizer.ids[END], reference_ids(model.tokenizer)
        found = self._run(_logprobs(runtime, prompt, titles, end=end, priority=0, adapter=asked))
        return [found[title] for title in titles]

    # ---- what answers

    def _started(self, model: _Model, *, adapter_rank: int) -> _Serving:
        start = self._server.start(
            model.folder, tokens=self._prompt_tokens + TITLE_TOKENS + 1, adapter_rank=adapter_rank, limits=self._limits
        )
        return self._serving_of(model, self._run(start), adapter_rank)

    def _serving_of(self, model: _Model, runtime: Runtime, adapter_rank: int) -> _Serving:
        asked = None
        if model.adapter is not None:
            self._adapters += 1
            asked = self._server.adapter_named(model.adapter.name, self._adapters, model.adapter.folder)
            try:
                self._run(runtime.adapt(asked))
            except Exception as error:  # vLLM raises what its worker raised, by another name
                message = f"adapter {model.adapter.folder}: vLLM cannot run it: {error}"
                raise CheckpointError(message) from error
        priors = PriorCache(partial(self._prior, model, runtime, asked), capacity=PRIORS_KEPT)
        tries = Tries(partial(TitleTrie.build, tokenizer=model.tokenizer))
        return _Serving(model, runtime, adapter_rank, asked, priors, tries)

    def _adapt(self, adapter: Adapter) -> None:
        old = self._serving
        base = old.model.model_id.split("+")[0]
        model = old.model._replace(adapter=adapter, model_id=f"{base}+{adapter.model_id}")
        if adapter.rank <= old.adapter_rank:
            self._serving = self._serving_of(model, old.runtime, old.adapter_rank)
        else:
            self._replace(model, adapter_rank=adapter.rank)

    def _change(self, model: _Model) -> None:
        old = self._serving
        if model.shape != old.model.shape:
            self._replace(model, adapter_rank=old.adapter_rank)
            return
        with self._gate.alone():
            try:
                self._run(old.runtime.load(model.folder))
            except Exception as error:  # as above; what the server holds now is neither of the two
                self._run(old.runtime.close())
                self._serving = self._started(old.model, adapter_rank=old.adapter_rank)
                message = f"checkpoint {model.folder}: vLLM cannot load it: {error}"
                raise CheckpointError(message) from error
            self._serving = self._serving_of(model, old.runtime, old.adapter_rank)

    def _replace(self, model: _Model, *, adapter_rank: int) -> None:
        """Another server in place of the old one, which has first to give its memory back."""
        with self._gate.alone():
            old = self._serving
            self._run(old.runtime.close())
            try:
                self._serving = self._started(model, adapter_rank=adapter_rank)
            except CheckpointError:
                self._serving = self._started(old.model, adapter_rank=old.adapter_rank)
                raise

    def _revive(self) -> None:
        with self._gate.alone():
            old = self._serving
            if not old.runtime.is_dead:
                return  # somebody else has been here first
            self._deaths += 1
            if self._deaths > self._limits.deaths:
                message = f"the vLLM server died {self._deaths} times without an answer between"
                raise EngineDead(message)
            self._run(old.runtime.close())
            try:
                self._serving = self._started(old.model, adapter_rank=old.adapter_rank)
            except CheckpointError as error:
                message = f"the vLLM server died and does not start again: {error}"
                raise EngineDead(message) from error

    # ---- the loop

    def _run(self, work: Coroutine[Any, Any, _Found]) -> _Found:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def _end_loop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _together(work: Sequence[Coroutine[Any, Any, _Found]]) -> list[_Found | SerenError]:
    """What each comes to. A request's own error is its outcome; any other is raised when all have ended."""
    outcomes = await asyncio.gather(*work, return_exceptions=True)
    found: list[_Found | SerenError] = []
    for outcome in outcomes:
        if isinstance(outcome, BaseException) and not isinstance(outcome, RequestError):
            raise outcome
        found.append(outcome)
    return found


async def _logprobs(
    runtime: Runtime, prompt: list[int], titles: Sequence[Title], *, end: int, priority: int, adapter: Any
) -> dict[Title, float]:
    """The log-probability of each title, end token included, after a prompt."""
    tree = TitleTree(prompt=len(prompt), block=runtime.block, titles=[(*ids, end) for ids in titles])

    async def note(readings: list[Reading]) -> None:
        read = [runtime.read(prompt, reading, priority=priority, adapter=adapter) for reading in readings]
        for reading, found in zip(readings, await asyncio.gather(*read), strict=True):
            tree.note(reading, found)

    await note(tree.readings())
    await note(tree.gaps())
    return {ids: tree.logprob((*ids, end)) for ids in titles}


def _trie(tries: Tries, request: ImagineRequest) -> TitleTrie | None:
    """The titles that a request may be answered with; None: any that the model writes."""
    check_imagine(request, can_choose=True)
    return None if request.within is None else tries.of(request.within).narrowed(request.avoided)


async def _walked(walk: Walk, read: Callable[[Reading], Awaitable[Found]]) -> list[Title]:
    """The titles of a walk through a catalogue.

    The server tells log-probabilities, which differ from logits by the same number for all tokens; only the penalty on tokens
    that a title already has is a little stronger for it.
    """
    try:
        beginnings = next(walk)
        while True:
            readings = [Reading(one.path, tuple(one.ids.tolist())) for one in beginnings]
            found = await asyncio.gather(*map(read, readings))
            beginnings = walk.send(
                [np.array([one.nexts[token] for token in reading.nexts]) for reading, one in zip(readings, found, strict=True)]
            )
    except StopIteration as ended:
        return list(ended.value)


def _read_model(folder: Path, prompt_tokens: int) -> _Model:
    checkpoint = read_weights_checkpoint(folder)
    shape = read_shape(checkpoint.config_json)
    _check_least("vocabulary", shape.vocabulary, checkpoint.tokenizer.size)
    _check_least("positions", shape.positions, prompt_tokens + TITLE_TOKENS + 2)  # the end token, and one to be answered with
    return _Model(
        model_id=f"{checkpoint.model_id}-vllm",
        prompt_version=checkpoint.prompt_version,
        folder=folder,
        shape=shape,
        tokenizer=checkpoint.tokenizer,
        adapter=None,
    )


def _check_least(name: str, value: int, least: int) -> None:
    if value < least:
        message = f"checkpoint: {name} {value}, must be at least {least}"
        raise CheckpointError(message)
