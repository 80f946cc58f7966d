"""Scored titles of one prompt as pairs, the better one first; those that are too close as questions to a person.

Knows nothing about who scored the titles.

Source: papers.md 1.5.3.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import NamedTuple

from models.alignment.records import Candidate
from models.retrieval.text import words


@dataclass(frozen=True, kw_only=True)
class PairingPolicy:
    """When a difference of scores is a preference. Points of the scale 1..6."""

    titles_per_prompt: int = 8  # samples of the SFT model that are scored
    clear_gap: int = 2  # from here on the judge's word is taken
    close_gap: int = 1  # from here on up to below the clear gap a person is asked; less is no difference
    pairs_per_prompt: int = 4  # most, so that no prompt speaks louder than others
    close_per_prompt: int = 1  # most questions to a person; their time is what is short
    across_share: float = 0.5  # least share of a prompt's pairs whose titles are of different leaf categories

    def __post_init__(self) -> None:
        if not 1 <= self.close_gap <= self.clear_gap:
            message = f"close_gap: {self.close_gap}, must be in 1..clear_gap = {self.clear_gap}"
            raise ValueError(message)
        if not 0.0 <= self.across_share <= 1.0:
            message = f"across_share: {self.across_share}, must be in 0..1"
            raise ValueError(message)


class Preference(NamedTuple):
    """Two titles, the better one first."""

    chosen: Candidate
    rejected: Candidate

    @property
    def gap(self) -> int:
        """Points between them."""
        return self.chosen.score - self.rejected.score

    @property
    def is_across(self) -> bool:
        """Whether they are of different leaf categories; a title of nothing that is sold is of none."""
        return None not in (self.chosen.leaf, self.rejected.leaf) and self.chosen.leaf != self.rejected.leaf


class Paired(NamedTuple):
    """A prompt's pairs, and the questions about it that a person is to answer (the judge's own leaning first)."""

    clear: tuple[Preference, ...]
    close: tuple[Preference, ...]


def paired(candidates: Iterable[Candidate], policy: PairingPolicy, *, key: str) -> Paired:
    """The pairs of one prompt.

    Titles that say the same in other order or case count once, with their first score. Of the possible pairs those come first
    whose titles were used least, then the widest gap; what is still equal is decided by a hash, so that no order of the
    candidates matters. A pair within one category is only kept beside enough pairs across categories.

    Args:
        candidates: scored titles.
        policy: gaps and counts.
        key: of the prompt; with it the hash differs from prompt to prompt.

    Example:
        >>> found = [Candidate("kite", 6, "toys"), Candidate("mug", 2, "mugs"), Candidate("cup", 3, "mugs")]
        >>> [(one.chosen.title, one.rejected.title) for one in paired(found, PairingPolicy(), key="u").clear]
        [('kite', 'mug'), ('kite', 'cup')]
        >>> [(one.chosen.title, one.rejected.title) for one in paired(found, PairingPolicy(), key="u").close]
        [('cup', 'mug')]
    """
    every = [Preference(one, other) for one, other in permutations(_once(candidates), 2)]
    clear = [one for one in every if one.gap >= policy.clear_gap]
    close = [one for one in every if policy.close_gap <= one.gap < policy.clear_gap]
    across = list(_spread([one for one in clear if one.is_across], policy.pairs_per_prompt, key))
    within = list(_spread([one for one in clear if not one.is_across], policy.pairs_per_prompt, key))
    return Paired(_mixed(across, within, policy), tuple(_spread(close, policy.close_per_prompt, key)))


def unjudged(truth: str, titles: Iterable[str], policy: PairingPolicy) -> tuple[tuple[str, str], ...]:
    """What was wanted against what the model wrote, without a judge: the ablation's pairs, in the order of the titles.

    >>> unjudged("Red mug", ["mug, RED", "kite", "kite"], PairingPolicy())
    (('Red mug', 'kite'),)
    """
    said = {_said(truth)}
    found = []
    for title in titles:
        key = _said(title)
        if key and key not in said:
            said.add(key)
            found.append((truth, title))
    return tuple(found[: policy.pairs_per_prompt])


def _said(title: str) -> tuple[str, ...]:
    return tuple(sorted(words(title)))


def _once(candidates: Iterable[Candidate]) -> list[Candidate]:
    first: dict[tuple[str, ...], Candidate] = {}
    for candidate in candidates:
        key = _said(candidate.title)
        if key:
            first.setdefault(key, candidate)
    return list(first.values())


def _spread(pairs: Sequence[Preference], count: int, key: str) -> Iterator[Preference]:
    """At most `count` pairs, the titles used as evenly as can be."""
    left = sorted(pairs, key=lambda pair: (-pair.gap, -pair.chosen.score, _hash(pair, key)))
    used: Counter[str] = Counter()
    for _ in range(min(count, len(left))):
        best = min(left, key=lambda pair: used[pair.chosen.title] + used[pair.rejected.title])
        left.remove(best)
        used.update((best.chosen.title, best.rejected.title))
        yield best


def _mixed(across: Sequence[Preference], within: Sequence[Preference], policy: PairingPolicy) -> tuple[Preference, ...]:
    """The most pairs, at most `pairs_per_prompt`, of which at least `across_share` are across; across ones first."""
    for count in range(min(policy.pairs_per_prompt, len(across) + len(within)), 0, -1):
        few = min(len(within), int(count * (1.0 - policy.across_share)))
        if count - few <= len(across):
            return (*across[: count - few], *within[:few])
    return ()


def _hash(pair: Preference, key: str) -> bytes:
    text = f"{key}|{pair.chosen.title}|{pair.rejected.title}"
    return hashlib.blake2b(text.encode(), digest_size=8).digest()
