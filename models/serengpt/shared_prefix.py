"""Which readings give the log-probabilities of all titles after one prompt, when the reader keeps what it has read in blocks.

A server that caches prefixes skips the blocks that it has read before, and has no log-probabilities for what it skips: of the
tokens up to and with the first one after the skipped blocks. The prompt may be skipped, that is what the cache is for. But a
block may end inside the titles, and then the second title that begins like the first one comes back with a gap.

    prompt            title            block ends
    p p p p p p p p | p p a b|c d end       *        cached up to *: log-probabilities of d and end alone

Tokens in a gap are filled from the title that was read first, or else by a reading that ends with the block: its last block is
never taken from the cache, since a reader must read at least one token to answer. Its answer says how likely the next tokens
are, too.

Knows nothing about servers or tokenizers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from models.errors import EngineError
from models.serengpt.prior import Title


class Reading(NamedTuple):
    """Read the prompt and then `ids`; say how likely each of `nexts` is after them."""

    ids: Title
    nexts: tuple[int, ...] = ()


class Found(NamedTuple):
    """What a reading brought back."""

    cached: int  # tokens that were not read, from the beginning of the prompt on
    logprobs: Sequence[float]  # of `ids`; those of tokens that were not read, or came first after them, are without meaning
    nexts: Mapping[int, float]


class TitleTree:
    """The titles of one request, token by token; what begins alike is one branch.

    Args:
        prompt: tokens of the prompt, at least one.
        block: tokens that the reader's cache keeps together.
        titles: each with its end token.

    Example:
        >>> tree = TitleTree(prompt=10, block=4, titles=[(5, 6, 7, 1), (5, 6, 8, 1)])
        >>> first, second = tree.readings()
        >>> tree.note(first, Found(8, [-1.0, -2.0, -3.0, -4.0], {}))
        >>> tree.note(second, Found(12, [0.0, 0.0, 0.0, -6.0], {}))
        >>> tree.gaps()
        [Reading(ids=(5, 6), nexts=(8,))]
        >>> tree.note(tree.gaps()[0], Found(8, [-1.0, -2.0], {8: -5.0}))
        >>> tree.logprob((5, 6, 8, 1))
        -14.0
    """

    def __init__(self, *, prompt: int, block: int, titles: Iterable[Title]) -> None:
        self._prompt = prompt
        self._block = block
        self._titles = sorted(set(titles))  # neighbours begin alike
        self._known: dict[Title, float] = {}  # by the tokens up to and with the one that it is of

    def readings(self) -> list[Reading]:
        """What to read first, in this order."""
        readings = [Reading(ids) for ids in self._titles]
        if readings and self._prompt % self._block == 0:  # every title but the first would begin with a gap
            return [Reading((), tuple(sorted({ids[0] for ids in self._titles}))), *readings]
        return readings

    def note(self, reading: Reading, found: Found) -> None:
        """Takes in what a reading has brought."""
        for place, logprob in enumerate(found.logprobs):
            if self._prompt + place > found.cached:
                self._known.setdefault(reading.ids[: place + 1], logprob)
        for token, logprob in found.nexts.items():
            self._known.setdefault((*reading.ids, token), logprob)

    def gaps(self) -> list[Reading]:
        """What must be read besides, after the first readings have been noted; nothing in most cases."""
        ends: dict[Title, set[int]] = {}
        for ids in self._titles:
            for place, token in enumerate(ids):
                if ids[: place + 1] in self._known:
                    continue
                end = -(-(self._prompt + place) // self._block) * self._block - self._prompt
                nexts = ends.setdefault(ids[:end], set())
                if end == place:
                    nexts.add(token)
        return [Reading(ids, tuple(sorted(nexts))) for ids, nexts in sorted(ends.items())]

    def logprob(self, title: Title) -> float:
        """Of the whole title, its end token included.

        Raises:
            EngineError: the readings have left a gap: the reader's blocks are not as long as was said.
        """
        try:
            return sum(self._known[title[: place + 1]] for place in range(len(title)))
        except KeyError as error:
            message = (
                f"log-probability of token {len(error.args[0])} of a title: not read; cached blocks are not of {self._block}"
            )
            raise EngineError(message) from error
