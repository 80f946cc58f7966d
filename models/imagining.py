"""Which titles are looked for: as many as the paper samples, and, where it is asked for, better ones.

Three ways beyond the paper's free samples, each a switch of `ImaginePolicy`, alone or together: more samples of which the best
by the aligned score stay; decoding that can only end in a title of the catalogue; and of that, only in categories that the
user's window does not hold.

Knows nothing about retrieval, slates or runtimes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from models.entities import Digest
from models.errors import RequestError, SerenError
from models.retrieval.retriever import distinct
from models.retrieval.text import words
from models.serengpt.aligned import aligned_score
from models.serengpt.answers import read_titles
from models.serengpt.asking import ask
from models.serengpt.engine import CatalogueTitles, Engine, ImagineRequest, Scored, ScoreRequest
from models.serengpt.tokens import is_readable


@dataclass(frozen=True, kw_only=True)
class ImaginePolicy:
    """How titles come about. The default is the paper's way; what the others are worth, `seren evaluate imagine` measures."""

    sampled_ratio: float = 1.0  # samples for each title that stays: above 1 costs a score of each, and may narrow the choice
    likeness_weight: float = 0.5  # of those that stay: how much a title loses for the words it shares with a better one
    is_within_catalogue: bool = False  # no title that nobody sells; follows the catalogue that the retriever has
    most_titles: int = 100_000  # of a catalogue; a larger one is imagined freely: its tree takes 80 us a title to make
    is_distinct: bool = False  # within the catalogue: drawn without replacement
    is_new_only: bool = False  # within the catalogue: only categories that are not in the user's window

    def sampled(self, count: int) -> int:
        """Samples for so many titles.

        Example:
            >>> ImaginePolicy(sampled_ratio=2.5).sampled(3)
            8
        """
        return max(count, math.ceil(count * self.sampled_ratio))


class Wish(NamedTuple):
    """One request's part of a call: whose, the seed of its draws, and the categories of the user's window."""

    digest: Digest
    seed: int
    seen: tuple[int, ...] = ()
    priority: int = 0  # among the requests that wait for the engine: the lowest first


def imagine(
    wishes: Sequence[Wish], *, count: int, engine: Engine, titles: CatalogueTitles | None, policy: ImaginePolicy
) -> list[tuple[str, ...] | SerenError]:
    """`count` titles of each wish, raw as the model wrote them, or what went wrong with it.

    Args:
        wishes: any users.
        count: titles of each; fewer come where samples repeat or the catalogue is smaller.
        engine: is asked once, or twice where samples are chosen from.
        titles: the catalogue's; None: those of the policy's ways that need them are not taken.
        policy: the ways.
    """
    asks = [_request(wish, count=count, titles=titles, policy=policy) for wish in wishes]
    sampled = ask(engine.imagine, asks)
    return sampled if policy.sampled(count) == count else _best(wishes, sampled, count=count, engine=engine, policy=policy)


def keep_best(titles: Sequence[str], values: Sequence[float], *, count: int, likeness_weight: float) -> tuple[str, ...]:
    """The best titles, one after the other, each worth less the more words it shares with one that is kept already.

    Args:
        titles: different ones.
        values: what each is worth, in [0, 1].
        count: titles that stay.
        likeness_weight: what a title loses that has all its words in common with another; 0: values alone decide.

    Returns:
        Best first, of equal ones in their order.

    Example:
        >>> keep_best(["red mug", "mug red", "bag"], [0.9, 0.8, 0.5], count=2, likeness_weight=0.5)
        ('red mug', 'bag')
    """
    bags = [frozenset(words(title)) for title in titles]
    worth = list(values)
    kept: list[int] = []
    left = list(range(len(titles)))
    while left and len(kept) < count:
        best = max(left, key=lambda place: worth[place])
        kept.append(best)
        left.remove(best)
        for place in left:
            shared = len(bags[place] & bags[best]) / max(1, len(bags[place] | bags[best]))
            worth[place] = min(worth[place], values[place] * (1.0 - likeness_weight * shared))
    return tuple(titles[place] for place in kept)


def _request(wish: Wish, *, count: int, titles: CatalogueTitles | None, policy: ImaginePolicy) -> ImagineRequest:
    if titles is None or not policy.is_within_catalogue:
        return ImagineRequest(digest=wish.digest, n=policy.sampled(count), seed=wish.seed, priority=wish.priority)
    return ImagineRequest(
        digest=wish.digest,
        n=policy.sampled(count),
        seed=wish.seed,
        within=titles,
        avoided=wish.seen if policy.is_new_only else (),
        is_distinct=policy.is_distinct,
        priority=wish.priority,
    )


def _score(wish: Wish, titles: tuple[str, ...]) -> ScoreRequest:
    return ScoreRequest(digest=wish.digest, titles=titles, priority=wish.priority)


def _best(
    wishes: Sequence[Wish],
    sampled: Sequence[tuple[str, ...] | SerenError],
    *,
    count: int,
    engine: Engine,
    policy: ImaginePolicy,
) -> list[tuple[str, ...] | SerenError]:
    """The best of each wish's samples, after those that are no titles; all of its errors stay errors."""
    outcomes = list(sampled)
    read = {place: read_titles(found) for place, found in enumerate(sampled) if not isinstance(found, SerenError)}
    choice = {place: tuple(filter(is_readable, distinct(found.titles))) for place, found in read.items()}
    asked = [place for place, titles in choice.items() if len(titles) > count]
    scored = ask(engine.score, [_score(wishes[place], choice[place]) for place in asked])
    for place, scores in zip(asked, scored, strict=True):
        kept = _kept(choice[place], scores, count=count, likeness_weight=policy.likeness_weight)
        malformed = tuple(error.text for error in read[place].malformed)
        outcomes[place] = kept if isinstance(kept, SerenError) else (*kept, *malformed)
    return outcomes


def _kept(
    titles: tuple[str, ...], scores: tuple[Scored, ...] | SerenError, *, count: int, likeness_weight: float
) -> tuple[str, ...] | SerenError:
    if isinstance(scores, SerenError):
        return scores
    try:
        values = [aligned_score(score) for score in scores]
        return keep_best(titles, values, count=count, likeness_weight=likeness_weight)
    except ValueError as error:
        return RequestError(f"score: {error}")
