"""Sampling that can only end in a title of the catalogue: at every token the model chooses among what some title goes on with.

A walk is a generator: it gives the beginnings that it wants read, and takes the logits of what may follow each; so one walk
runs on any engine, and many side by side. Where a beginning leaves only one way on, the model is not asked.

Knows nothing about runtimes or tokenizers.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.errors import RequestError
from models.serengpt.engine import ImagineRequest
from models.serengpt.prior import Title
from models.serengpt.prompt import TITLE_TOKENS
from models.serengpt.requests import REPETITION_PENALTY, TEMPERATURE
from models.serengpt.trie import Node, TitleTrie

Logits = NDArray[np.float64]


class Beginning(NamedTuple):
    """The beginning of a title, and the ids that some title goes on with: two or more."""

    path: Title
    ids: NDArray[np.int64]


Walk = Generator[list[Beginning], Sequence[Logits], list[Title]]
# The logits of the ids of each beginning, for each walk.
Read = Callable[[Sequence[Sequence[Beginning]]], Sequence[Sequence[Logits]]]


class _Beam(NamedTuple):
    """A beginning; `logprob` of the walk to it, and that with the noise that decides which beginnings stay."""

    path: Title
    node: Node
    logprob: float
    perturbed: float


def independent(trie: TitleTrie, draws: NDArray[np.float64]) -> Walk:
    """Titles drawn one by one, as a model that may write anything draws them: likely ones come again and again.

    Args:
        trie: the titles.
        draws: [titles, steps], each in [0, 1); one for each token that the model is asked for.
    """
    walks = [_forced(trie, (), trie.root) for _ in draws]
    while True:
        open_nodes = {path: node for path, node in walks if node is not None}
        if not open_nodes:
            return [path for path, _ in walks]
        found = yield [Beginning(path, trie.branches(node).ids) for path, node in open_nodes.items()]
        logprobs = {path: _logprobs(one, path, trie, open_nodes[path]) for path, one in zip(open_nodes, found, strict=True)}
        for number, (path, node) in enumerate(walks):
            if node is not None:
                reached = np.exp(logprobs[path]).cumsum()
                place = int(np.searchsorted(reached, draws[number, len(path)] * reached[-1], side="right"))
                walks[number] = _taken(trie, path, node, min(place, len(reached) - 1))


def distinct(trie: TitleTrie, count: int, generator: np.random.Generator) -> Walk:
    """Different titles, drawn without replacement: as if one went on drawing until there are so many.

    The `count` beginnings of highest perturbed log-probability are kept at each step (stochastic beam search: Kool, van Hoof
    and Welling 2019); a beginning's noise is bounded by that of the one that it comes from, which makes the draw exact.

    Args:
        trie: the titles; where it has fewer than `count`, all of them come.
        count: titles.
        generator: of the noise.

    Returns:
        In the order of the draw.
    """
    path, node = _forced(trie, (), trie.root)
    ended = [_Beam(path, trie.root, 0.0, 0.0)] if node is None else []
    open_beams = [] if node is None else [_Beam(path, node, 0.0, 0.0)]
    while open_beams:
        found = yield [Beginning(beam.path, trie.branches(beam.node).ids) for beam in open_beams]
        is_open = [(False, beam) for beam in ended]
        for beam, row in zip(open_beams, found, strict=True):
            is_open.extend(_children(trie, beam, row, generator))
        is_open.sort(key=lambda one: (-one[1].perturbed, one[1].path))
        ended = [beam for goes_on, beam in is_open[:count] if not goes_on]
        open_beams = [beam for goes_on, beam in is_open[:count] if goes_on]
    return [beam.path for beam in ended]


def walk(request: ImagineRequest, trie: TitleTrie) -> Walk:
    """What a request asks for, with draws that its seed alone decides."""
    generator = np.random.default_rng(request.seed)
    if request.is_distinct:
        return distinct(trie, request.n, generator)
    return independent(trie, generator.random((request.n, TITLE_TOKENS)))


def run(walks: Sequence[Walk], read: Read) -> list[list[Title] | RequestError]:
    """The titles of walks that go side by side, or what went wrong with one.

    Args:
        walks: one for each request.
        read: reads the beginnings of each walk, in order; a walk that has ended wants none.
    """
    outcomes: list[list[Title] | RequestError] = [[] for _ in walks]
    wanted: list[list[Beginning]] = [[] for _ in walks]

    def advance(place: int, logits: Sequence[Logits] | None) -> None:
        try:
            wanted[place] = next(walks[place]) if logits is None else walks[place].send(logits)
        except StopIteration as ended:
            wanted[place], outcomes[place] = [], ended.value
        except RequestError as error:
            wanted[place], outcomes[place] = [], error

    for place in range(len(walks)):
        advance(place, None)
    while any(wanted):
        for place, logits in enumerate(read(wanted)):
            if wanted[place]:
                advance(place, logits)
    return outcomes


def _children(trie: TitleTrie, beam: _Beam, logits: Logits, generator: np.random.Generator) -> list[tuple[bool, _Beam]]:
    """Every way on from a beam, with noise whose maximum is the beam's own; whether it goes on from there."""
    logprobs = beam.logprob + _logprobs(logits, beam.path, trie, beam.node)
    noisy = logprobs + generator.gumbel(size=len(logprobs))
    # Numerically stable form of -log(exp(-beam) - exp(-highest) + exp(-noisy)).
    with np.errstate(divide="ignore"):
        gap = beam.perturbed - noisy + np.log1p(-np.exp(noisy - noisy.max()))
    perturbed = beam.perturbed - np.maximum(0.0, gap) - np.log1p(np.exp(-np.abs(gap)))
    children = []
    for place, (logprob, noise) in enumerate(zip(logprobs.tolist(), perturbed.tolist(), strict=True)):
        path, node = _taken(trie, beam.path, beam.node, place)
        children.append((node is not None, _Beam(path, node or beam.node, logprob, noise)))
    return children


def _logprobs(logits: Logits, path: Title, trie: TitleTrie, node: Node) -> NDArray[np.float64]:
    """Log-probabilities of the ways on alone, tempered and with the penalty on what the title already has."""
    ids = trie.branches(node).ids
    chosen = np.array(logits, dtype=np.float64)
    if not np.isfinite(chosen).all():
        message = "no finite probabilities after this digest"
        raise RequestError(message)
    seen = np.isin(ids, path)
    chosen[seen] = np.where(chosen[seen] > 0, chosen[seen] / REPETITION_PENALTY, chosen[seen] * REPETITION_PENALTY)
    chosen /= TEMPERATURE
    chosen -= chosen.max()
    return np.asarray(chosen - np.log(np.exp(chosen).sum()))


def _taken(trie: TitleTrie, path: Title, node: Node, place: int) -> tuple[Title, Node | None]:
    """The beginning after one more id, and after all that must follow it; no node where the title has ended."""
    branches = trie.branches(node)
    token = int(branches.ids[place])
    return (path, None) if token == trie.end else _forced(trie, (*path, token), branches.nodes[place])


def _forced(trie: TitleTrie, path: Title, node: Node) -> tuple[Title, Node | None]:
    while True:
        branches = trie.branches(node)
        if len(branches.ids) > 1:
            return path, node
        token = int(branches.ids[0])
        if token == trie.end:
            return path, None
        path, node = (*path, token), branches.nodes[0]
