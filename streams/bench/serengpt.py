"""SerenGPT alone, whatever its engine: titles for users, scores of candidates, how long one user waits.

Knows nothing about torch: what only it can say is in `streams.bench.roofline`, the same work done naively in
`streams.bench.naive`.
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar, runtime_checkable

from models.entities import Behaviour, Digest
from models.errors import SerenError
from models.serengpt.engine import Engine, ImagineRequest, Scored, ScoreRequest
from models.serengpt.prompt import TITLE_TOKENS, prompt_ids, title_ids
from models.serengpt.tokens import TitleTokenizer
from streams.bench.figures import Meaning, quantile

# Tokens of a purchase in a prompt are three at least, mostly; so many purchases fill any profile, and the rest is cut.
_TOKENS_OF_A_PURCHASE = 3

_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True)
class Load:
    """What is asked of the engine: each user's profile, and the same candidates for all."""

    digests: tuple[Digest, ...]
    prompts: tuple[tuple[int, ...], ...]  # the digests as token ids
    candidates: tuple[str, ...]
    candidate_ids: tuple[tuple[int, ...], ...]  # without the end token
    imagined: int  # titles for each user
    is_random: bool  # the weights: titles then end by the bound alone, and their texts do not show it

    @property
    def scored_tokens(self) -> int:
        """Tokens that scoring reads when each prompt is read once."""
        return sum(map(len, self.prompts)) + len(self.prompts) * sum(len(ids) + 1 for ids in self.candidate_ids)


@runtime_checkable
class KeepsPrefixes(Protocol):
    """An engine that counts what it did not have to read anew."""

    @property
    def asked_tokens(self) -> int:
        """Of prompts and titles."""
        ...

    @property
    def cached_tokens(self) -> int:
        """Of those, the ones that were taken from its cache."""
        ...


def make_load(
    titles: Sequence[str],
    tokenizer: TitleTokenizer,
    *,
    users: int,
    candidates: int,
    imagined: int,
    profile_tokens: int,
    is_random: bool,
    seed: int,
) -> Load:
    """Users who bought random titles until their profiles are full, and random candidates, each once.

    Args:
        titles: of a catalogue.
        tokenizer: the checkpoint's.
        users: how many.
        candidates: for each of them.
        imagined: titles for each of them.
        profile_tokens: budget of a prompt; the last purchase that does not fit is left out.
        is_random: the weights are.
        seed: of the draws.
    """
    draw = random.Random(seed)  # noqa: S311 - a benchmark's draws
    bought = [draw.choices(titles, k=profile_tokens // _TOKENS_OF_A_PURCHASE) for _ in range(users)]
    digests = tuple(Digest(history=tuple(Behaviour("purchase", title, n, n) for n, title in enumerate(one))) for one in bought)
    by_ids = {title_ids(title, tokenizer): title for title in titles}
    chosen = draw.sample(sorted(ids for ids in by_ids if ids), candidates)
    return Load(
        digests=digests,
        prompts=tuple(tuple(prompt_ids(digest, tokenizer, budget=profile_tokens)) for digest in digests),
        candidates=tuple(by_ids[ids] for ids in chosen),
        candidate_ids=tuple(chosen),
        imagined=imagined,
        is_random=is_random,
    )


def meanings(load: Load, model: str, *, keeps_prefixes: bool) -> dict[str, Meaning]:
    """What the numbers of `through_engine` stand for; with those of an engine that counts its prefixes, or without."""
    tokens = sum(map(len, load.prompts)) / len(load.prompts)
    users = f"{len(load.digests)} users, profiles of {tokens:.0f} tokens"
    hits = Meaning(
        "ratio", "of the tokens of prompts and titles that were asked for, in the whole run, each question counted once"
    )
    return {
        "imagine": Meaning("users/s", f"{load.imagined} titles for each of {users}, in one call; {model}"),
        "imagined tokens": Meaning("tokens/s", f"of those titles, at most {TITLE_TOKENS} each"),
        "score": Meaning(
            "pairs/s", f"{len(load.candidates)} candidates for each of the same users, in one call, priors known"
        ),
        "scored tokens": Meaning("tokens/s", "of that, each prompt counted once"),
        "first slate p50": Meaning("ms", "one user alone: titles imagined, candidates scored"),
        "first slate p99": Meaning("ms", f"the same; of {len(load.digests)} users, so the slowest of them below a hundred"),
        **({"prefix hits": hits} if keeps_prefixes else {}),
    }


def through_engine(engine: Engine, tokenizer: TitleTokenizer, load: Load) -> dict[str, float]:
    """One run. Raises the first error among the answers."""
    before = _prefixes(engine)
    wishes = [ImagineRequest(digest=digest, n=load.imagined, seed=n) for n, digest in enumerate(load.digests)]
    started_s = time.perf_counter()
    titles = [_answer(outcome) for outcome in engine.imagine(wishes)]
    imagine_s = time.perf_counter() - started_s
    started_s = time.perf_counter()
    scores(engine, load)
    score_s = time.perf_counter() - started_s
    waits_s = []
    for wish in wishes:
        started_s = time.perf_counter()
        _answer(engine.imagine([wish])[0])
        _answer(engine.score([ScoreRequest(digest=wish.digest, titles=load.candidates)])[0])
        waits_s.append(time.perf_counter() - started_s)
    written = [TITLE_TOKENS if load.is_random else len(title_ids(title, tokenizer)) + 1 for one in titles for title in one]
    return {
        "imagine": len(wishes) / imagine_s,
        "imagined tokens": sum(written) / imagine_s,
        "score": len(load.digests) * len(load.candidates) / score_s,
        "scored tokens": load.scored_tokens / score_s,
        "first slate p50": quantile(waits_s, 0.5) * 1_000,
        "first slate p99": quantile(waits_s, 0.99) * 1_000,
        **_hits(before, _prefixes(engine)),
    }


def _prefixes(engine: Engine) -> tuple[int, int] | None:
    return (engine.cached_tokens, engine.asked_tokens) if isinstance(engine, KeepsPrefixes) else None


def _hits(before: tuple[int, int] | None, after: tuple[int, int] | None) -> dict[str, float]:
    if before is None or after is None:
        return {}
    return {"prefix hits": (after[0] - before[0]) / (after[1] - before[1])}


def scores(engine: Engine, load: Load) -> list[tuple[Scored, ...]]:
    """Every user's candidates, scored in one call. Raises the first error among the answers."""
    outcomes = engine.score([ScoreRequest(digest=digest, titles=load.candidates) for digest in load.digests])
    return [_answer(outcome) for outcome in outcomes]


def warm(engine: Engine, load: Load) -> None:
    """Lets the engine learn the candidates' priors, which a worker that has run for a while knows, and start its threads."""
    _answer(engine.score([ScoreRequest(digest=Digest(), titles=load.candidates)])[0])
    _answer(engine.imagine([ImagineRequest(digest=load.digests[0], n=load.imagined, seed=0)])[0])


def _answer(outcome: tuple[_T, ...] | SerenError) -> tuple[_T, ...]:
    if isinstance(outcome, SerenError):
        raise outcome
    return outcome
