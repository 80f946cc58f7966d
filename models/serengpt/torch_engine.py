"""SerenGPT on any machine with torch: bf16 on a GPU, float32 on the CPU. The engine that the others are measured by.

A prompt is read once; all candidates of a request, or all of its samples, go on from there (`models.serengpt.qwen3`). Requests
are answered side by side in batches of bounded size; where the device has no room for one, its halves are tried.

What is promised, and what is not: every sample draws from numbers of its own, made from the request's seed alone. On the CPU
requests are read one after the other, so the same request gives the same titles whoever is beside it. On a GPU batches share
matrix products whose rounding depends on the batch: in bf16 a title's log-probability then differs by up to a tenth, and a
sample that lies that close between two tokens may fall to the other. `Batching(requests=1)` buys the promise there, at its
price.

Knows nothing about transports or catalogues. Needs torch and safetensors.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Generic, NamedTuple, TypeVar

import torch
from torch import Tensor

from models.entities import Digest
from models.errors import CheckpointError, EngineDead, EngineOverloaded, RequestError, SerenError
from models.serengpt.checkpoint import read_weights_checkpoint
from models.serengpt.constrained import run, walk
from models.serengpt.engine import ImagineRequest, Scored, ScoreRequest
from models.serengpt.prior import PriorCache, Title
from models.serengpt.prompt import PROMPT_TOKENS, TITLE_TOKENS, prompt_ids, reference_ids
from models.serengpt.qwen3 import Network, Prefix, stored_network
from models.serengpt.requests import (
    PRIORS_KEPT,
    REPETITION_PENALTY,
    TEMPERATURE,
    asked_titles,
    check_imagine,
    scored_titles,
    written_title,
)
from models.serengpt.shape import read_shape
from models.serengpt.tokens import END, SPECIAL_TOKENS, TitleTokenizer
from models.serengpt.torch_constrained import continued
from models.serengpt.trie import TitleTrie, Tries

_RETRY_AFTER_S = 1.0  # when the device has no room: whoever holds it needs about a batch's time to let go

_Request = TypeVar("_Request")
_Asked = TypeVar("_Asked", "_Scoring", "_Imagining", "_Choosing")
_Found = TypeVar("_Found")


@dataclass(frozen=True, kw_only=True)
class Batching:
    """How much is read at once. Keys, values and scores of a Qwen3-8B take about 3 GB at these bounds."""

    requests: int = 64
    prompt_tokens: int = 8192  # of one batch, padding included
    titles: int = 32  # of each request, side by side

    def room(self, longest: int) -> int:
        """Requests of one batch whose longest prompt has so many tokens.

        Example:
            >>> Batching().room(480), Batching().room(10_000), Batching().room(10)
            (17, 1, 64)
        """
        return max(1, min(self.requests, self.prompt_tokens // longest))


class _Scoring(NamedTuple):
    prompt: list[int]
    titles: list[Title]  # each once, shortest first


class _Imagining(NamedTuple):
    prompt: list[int]
    draws: Tensor  # [n, TITLE_TOKENS], each in [0, 1)


class _Choosing(NamedTuple):
    prompt: list[int]
    request: ImagineRequest
    trie: TitleTrie


class _Batch(NamedTuple, Generic[_Asked]):
    places: list[int]
    asked: list[_Asked]


def load_engine(
    folder: Path, *, threads: int = 1, prompt_tokens: int = PROMPT_TOKENS, device: str = "", batching: Batching | None = None
) -> TorchEngine:
    """The engine of a checkpoint folder.

    Args:
        folder: holds a tokenizer and the weights, as `models.serengpt.checkpoint` describes.
        threads: of torch on the CPU, in the whole process.
        prompt_tokens: budget of a prompt; the default is what the checkpoints are trained on.
        device: as torch names it; empty: a GPU where there is one.
        batching: bounds; None: one request at a time on the CPU, `Batching()` on a GPU.

    Raises:
        CheckpointError: the folder is missing, corrupt, or of another prompt version or architecture.
    """
    chosen, precision = placed(device)
    if chosen.type == "cpu":
        torch.set_num_threads(threads)
    checkpoint = read_weights_checkpoint(folder)
    network = stored_network(read_shape(checkpoint.config_json), checkpoint.weights, device=chosen, precision=precision)
    return TorchEngine(
        network,
        checkpoint.tokenizer,
        model_id=checkpoint.model_id,
        prompt_version=checkpoint.prompt_version,
        prompt_tokens=prompt_tokens,
        batching=batching,
    )


def placed(device: str) -> tuple[torch.device, torch.dtype]:
    """A device (empty: a GPU where there is one) and the precision in which it computes here."""
    chosen = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    return chosen, torch.float32 if chosen.type == "cpu" else torch.bfloat16


class TorchEngine:
    """See `models.serengpt.engine.Engine`.

    Args:
        network: on its device.
        tokenizer: the checkpoint's; its ids are the network's first.
        model_id: names the checkpoint by content.
        prompt_version: of the checkpoint.
        prompt_tokens: budget of a prompt.
        batching: bounds; None: those of the device.

    Raises:
        CheckpointError: the network knows fewer tokens than the tokenizer, or has no room for a prompt and a title.
    """

    def __init__(
        self,
        network: Network,
        tokenizer: TitleTokenizer,
        *,
        model_id: str,
        prompt_version: int,
        prompt_tokens: int = PROMPT_TOKENS,
        batching: Batching | None = None,
    ) -> None:
        _check_least("vocabulary", network.shape.vocabulary, tokenizer.size)
        _check_least("positions", network.shape.positions, prompt_tokens + TITLE_TOKENS)
        self.model_id = model_id
        self.prompt_version = prompt_version
        precision = str(network.precision).removeprefix("torch.")
        self.runtime = f"torch {torch.__version__}, {precision} on {_named(network.device)}"
        self.network = network
        self._tokenizer = tokenizer
        self._prompt_tokens = prompt_tokens
        self.batching = batching or Batching(requests=1 if network.device.type == "cpu" else Batching.requests)
        self._priors = PriorCache(self._prior, capacity=PRIORS_KEPT)
        self._tries = Tries(partial(TitleTrie.build, tokenizer=tokenizer))
        self.moved = 0  # steps of the network, for whoever looks whether this moves
        self._working = Lock()  # the bounds on memory are those of one call

    def imagine(self, requests: Sequence[ImagineRequest]) -> list[tuple[str, ...] | SerenError]:
        """See `Engine.imagine`."""
        free = {place: request for place, request in enumerate(requests) if request.within is None}
        bound = {place: request for place, request in enumerate(requests) if request.within is not None}
        outcomes = dict(zip(free, self._imagine_freely(list(free.values())), strict=True))
        outcomes.update(zip(bound, self._choose(list(bound.values())), strict=True))
        return [outcomes[place] for place in range(len(requests))]

    def score(self, requests: Sequence[ScoreRequest]) -> list[tuple[Scored, ...] | SerenError]:
        """See `Engine.score`."""
        refused, batches = self._prepared(requests, self._scoring)
        outcomes: dict[int, tuple[Scored, ...] | SerenError] = {**refused}
        for batch in batches:
            found = self._bounded(batch.asked, self._logprobs)
            for place, asked, logprobs in zip(batch.places, batch.asked, found, strict=True):
                outcomes[place] = self._scored(requests[place], asked.titles, logprobs)
        return [outcomes[place] for place in range(len(requests))]

    def close(self) -> None:
        """Nothing to end: there so that engines can be used alike."""

    # ---- requests, and what becomes of them

    def _imagine_freely(self, requests: Sequence[ImagineRequest]) -> list[tuple[str, ...] | SerenError]:
        refused, batches = self._prepared(requests, self._imagining)
        outcomes: dict[int, tuple[str, ...] | SerenError] = {**refused}
        for batch in batches:
            for place, found in zip(batch.places, self._bounded(batch.asked, self._samples), strict=True):
                outcomes[place] = self._titles(found)
        return [outcomes[place] for place in range(len(requests))]

    def _choose(self, requests: Sequence[ImagineRequest]) -> list[tuple[str, ...] | SerenError]:
        """The same among the titles of a catalogue."""
        refused, batches = self._prepared(requests, self._choosing)
        outcomes: dict[int, tuple[str, ...] | SerenError] = {**refused}
        for batch in batches:
            for place, found in zip(batch.places, self._bounded(batch.asked, self._walked), strict=True):
                outcomes[place] = found if isinstance(found, RequestError) else tuple(map(self._tokenizer.decode, found))
        return [outcomes[place] for place in range(len(requests))]

    def _imagining(self, request: ImagineRequest) -> _Imagining:
        check_imagine(request)
        generator = torch.Generator().manual_seed(request.seed)
        draws = torch.rand((request.n, TITLE_TOKENS), generator=generator, dtype=torch.float64)
        return _Imagining(self._prompt(request.digest), draws)

    def _choosing(self, request: ImagineRequest) -> _Choosing:
        check_imagine(request, can_choose=True)
        if request.within is None:
            message = "within: no catalogue"
            raise RequestError(message)
        trie = self._tries.of(request.within).narrowed(request.avoided)
        return _Choosing(self._prompt(request.digest), request, trie)

    def _scoring(self, request: ScoreRequest) -> _Scoring:
        titles = set(asked_titles(request, self._tokenizer))
        return _Scoring(self._prompt(request.digest), sorted(titles, key=lambda ids: (len(ids), ids)))

    def _prompt(self, digest: Digest) -> list[int]:
        return prompt_ids(digest, self._tokenizer, budget=self._prompt_tokens)

    def _titles(self, samples: Tensor) -> tuple[str, ...] | SerenError:
        if (samples < 0).any():
            return RequestError("no finite probabilities after this digest")
        return tuple(written_title(ids, self._tokenizer) for ids in samples.tolist())

    def _scored(self, request: ScoreRequest, titles: list[Title], logprobs: list[float]) -> tuple[Scored, ...] | SerenError:
        by_title = dict(zip(titles, logprobs, strict=True))
        try:
            return scored_titles(request, asked_titles(request, self._tokenizer), by_title, self._priors.of(titles))
        except RequestError as error:
            return error

    def _prior(self, titles: Sequence[Title]) -> list[float]:
        ordered = sorted(titles, key=lambda ids: (len(ids), ids))
        (logprobs,) = self._bounded([_Scoring(reference_ids(self._tokenizer), ordered)], self._logprobs)
        by_title = dict(zip(ordered, logprobs, strict=True))
        return [by_title[title] for title in titles]

    # ---- batches

    def _prepared(
        self, requests: Sequence[_Request], prepare: Callable[[_Request], _Asked]
    ) -> tuple[dict[int, SerenError], list[_Batch[_Asked]]]:
        """The errors of malformed requests, and batches of the others: those of like length together."""
        refused: dict[int, SerenError] = {}
        asked: dict[int, _Asked] = {}
        for place, request in enumerate(requests):
            try:
                asked[place] = prepare(request)
            except RequestError as error:
                refused[place] = error
        batches: list[_Batch[_Asked]] = []
        for place in sorted(asked, key=lambda place: len(asked[place].prompt)):
            if not batches or len(batches[-1].places) >= self.batching.room(len(asked[place].prompt)):
                batches.append(_Batch([], []))
            batches[-1].places.append(place)
            batches[-1].asked.append(asked[place])
        return refused, batches

    def _bounded(self, asked: list[_Asked], work: Callable[[list[_Asked], int], list[_Found]]) -> list[_Found]:
        """What `work` finds for each, given how many titles it may read side by side.

        Raises:
            EngineOverloaded: the device has no room for one title of one request; what others hold of it may come free.
            EngineDead: the runtime failed otherwise.
        """
        try:
            with self._working, torch.inference_mode():
                return self._halving(asked, work, self.batching.titles)
        except RuntimeError as error:  # what torch raises for all that goes wrong inside it
            message = f"the torch engine failed: {error}"
            raise EngineDead(message) from error

    def _halving(self, asked: list[_Asked], work: Callable[[list[_Asked], int], list[_Found]], titles: int) -> list[_Found]:
        try:
            return work(asked, titles)
        except torch.OutOfMemoryError as error:
            if len(asked) == 1 and titles == 1:
                message = f"the torch engine: {self.network.device} has no room for one title of one request: {error}"
                raise EngineOverloaded(message, _RETRY_AFTER_S) from error
        # Beyond the handler: its traceback would hold on to the tensors of what failed.
        if self.network.device.type == "cuda":
            torch.cuda.empty_cache()
        if len(asked) == 1:
            return self._halving(asked, work, titles // 2)
        half = len(asked) // 2
        return self._halving(asked[:half], work, titles) + self._halving(asked[half:], work, titles)

    # ---- scoring

    def _logprobs(self, asked: list[_Scoring], side_by_side: int) -> list[list[float]]:
        """The log-probability of each title, end token included, after its prompt."""
        prefix = self.network.read([one.prompt for one in asked])
        sums: list[list[float]] = [[] for _ in asked]
        for start in range(0, max(len(one.titles) for one in asked), side_by_side):
            rows = [one.titles[start : start + side_by_side] for one in asked]
            for row, found, titles in zip(sums, self._forced(prefix, rows), rows, strict=True):
                row.extend(found[: len(titles)])
        return sums

    def _forced(self, prefix: Prefix, rows: list[list[Title]]) -> list[list[float]]:
        """Log-probabilities of the titles of each prompt; rows are as long as the longest, and so is what comes back."""
        self.moved += 1
        size = (len(rows), max(map(len, rows)), max(len(ids) for titles in rows for ids in titles) + 1)
        ids = torch.zeros(size, dtype=torch.int64)
        is_real = torch.zeros(size, dtype=torch.bool)
        for u, titles in enumerate(rows):
            for t, title in enumerate(titles):
                ids[u, t, : len(title) + 1] = torch.tensor((*title, self._tokenizer.ids[END]))
                is_real[u, t, : len(title) + 1] = True
        ids, is_real = ids.to(self.network.device), is_real.to(self.network.device)
        after = self.network.extend(ids[:, :, :-1], prefix)
        before_first = prefix.last[:, None, None].expand(-1, size[1], 1, -1)
        before = torch.cat([before_first, after], dim=2)
        logprobs = torch.zeros(size, dtype=torch.float64, device=self.network.device)
        logprobs[is_real] = self.network.log_probabilities(before[is_real], ids[is_real])
        found: list[list[float]] = logprobs.sum(2).tolist()
        return found

    # ---- imagining

    def _samples(self, asked: list[_Imagining], side_by_side: int) -> list[Tensor]:
        """Token ids of the titles of each, [n, up to TITLE_TOKENS]; negative where there were no finite probabilities."""
        prefix = self.network.read([one.prompt for one in asked])
        counts = [len(one.draws) for one in asked]
        draws = torch.nn.utils.rnn.pad_sequence([one.draws for one in asked], batch_first=True, padding_value=0.5)
        pieces = [self._sampled(prefix, piece.to(self.network.device)) for piece in draws.split(side_by_side, dim=1)]
        end = self._tokenizer.ids[END]
        padded = [torch.nn.functional.pad(piece, (0, TITLE_TOKENS - piece.shape[2]), value=end) for piece in pieces]
        return [row[:count].cpu() for row, count in zip(torch.cat(padded, dim=1), counts, strict=True)]

    def _sampled(self, prefix: Prefix, draws: Tensor) -> Tensor:
        """Titles after each prompt, token by token until all have ended: [U, n, up to TITLE_TOKENS]."""
        users, count, most = draws.shape
        tail = self.network.tail(users, count, most)
        hidden = prefix.last[:, None].expand(-1, count, -1)
        ids = torch.empty((users, count, 0), dtype=torch.int64, device=self.network.device)
        has_ended = torch.zeros((users, count), dtype=torch.bool, device=self.network.device)
        while True:
            step = ids.shape[2]
            token = self._drawn(hidden.flatten(0, 1), ids.flatten(0, 1), draws[:, :, step].flatten()).view(users, count)
            token = torch.where(has_ended, self._tokenizer.ids[END], token)
            ids = torch.cat([ids, token[..., None]], dim=2)
            has_ended |= token < len(SPECIAL_TOKENS)
            if step + 1 == most or bool(has_ended.all()):
                return ids
            hidden = self.network.extend(token.clamp(min=0)[..., None], prefix, tail)[:, :, 0]

    def _walked(self, asked: list[_Choosing], side_by_side: int) -> list[list[Title] | RequestError]:
        """Token ids of the chosen titles of each."""
        prefix = self.network.read([one.prompt for one in asked])
        walks = [walk(one.request, one.trie) for one in asked]
        return run(walks, lambda wanted: continued(self.network, prefix, wanted, side_by_side=side_by_side))

    def _drawn(self, hidden: Tensor, seen: Tensor, draws: Tensor) -> Tensor:
        """One token for each row: where its draw falls among the probabilities; -1 where they are not finite."""
        self.moved += 1
        tokens = torch.empty(len(draws), dtype=torch.int64, device=draws.device)
        for piece in self.network.in_pieces(len(draws)):
            logits = self.network.logits(hidden[piece])
            known = logits.gather(1, seen[piece])
            known = torch.where(known > 0, known / REPETITION_PENALTY, known * REPETITION_PENALTY)
            logits.scatter_(1, seen[piece], known)
            reached = (logits.double() / TEMPERATURE).softmax(1).cumsum(1)
            total = reached[:, -1]
            found = torch.searchsorted(reached, (draws[piece] * total)[:, None], right=True).squeeze(1)
            found = found.clamp(max=self.network.shape.vocabulary - 1)
            tokens[piece] = torch.where(total.isfinite(), found, -1)
        return tokens


def _named(device: torch.device) -> str:
    return f"{device} ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else str(device)


def _check_least(name: str, value: int, least: int) -> None:
    if value < least:
        message = f"checkpoint: {name} {value}, must be at least {least}"
        raise CheckpointError(message)
