"""Names, by content, of what SerenGPT was asked: the same question has the same name in every process and release.

A digest is named by what the prompt reads of it: facts, tags in the order of their strength, deeds and their titles. Scores,
times, offsets and item ids shape no prompt and are left out, so that one log replayed over another number of partitions, or a
tag that faded a little, asks nothing anew. Whatever else a prompt depends on is in `model_id`, `prompt_version` and the
decoding, and a change of any of them changes every name.

Knows nothing about how answers are kept.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from models.entities import Digest
from models.serengpt.prompt import PROMPT_TOKENS, TITLE_TOKENS
from models.serengpt.requests import REPETITION_PENALTY, TEMPERATURE

# 128 bits: among 2^40 questions two share a name with a chance of 2^-49, and nobody can choose two that do.
ADDRESS_BYTES = 16


class Asked(NamedTuple):
    """Whom: the checkpoint by content, and the prompt's layout."""

    model_id: str
    prompt_version: int


class Decoding(NamedTuple):
    """How: what is the same for both verbs, and what `imagine` has on top. Any text that tells two ways apart."""

    reading: str
    sampling: str

    @classmethod
    def of(cls, *, prompt_tokens: int = PROMPT_TOKENS) -> Decoding:
        """As the engines of this package decode; `prompt_tokens` is the budget of a prompt."""
        return cls(
            reading=f"prompt {prompt_tokens}, title {TITLE_TOKENS}",
            sampling=f"prompt {prompt_tokens}, title {TITLE_TOKENS}, temperature {TEMPERATURE}, penalty {REPETITION_PENALTY}",
        )


def cue_of(digest: Digest) -> str:
    """What the prompt reads of a digest, as one name in hexadecimal.

    Example:
        >>> from models.entities import Behaviour, Tag
        >>> one = Digest(short_term=(Tag("tea", "interest", 0.5, (3,)),), history=(Behaviour("click", "mug", 10, 3, "i"),))
        >>> other = Digest(short_term=(Tag("tea", "interest", 0.4, (9,)),), history=(Behaviour("click", "mug", 99, 9, "j"),))
        >>> cue_of(one) == cue_of(other), cue_of(one) == cue_of(Digest())
        (True, False)
    """
    levels = [sorted(level, key=lambda tag: -tag.score) for level in (digest.long_term, digest.short_term)]
    read = (
        digest.static,
        [[(tag.family, tag.text) for tag in level] for level in levels],
        [(behaviour.type, behaviour.title) for behaviour in digest.history],
    )
    return _name(read)


def imagine_address(asked: Asked, decoding: str, cue: str, *, n: int, seed: int) -> str:
    """Of one `imagine`."""
    return _name(("imagine", *asked, decoding, cue, n, seed))


def prompt_address(asked: Asked, decoding: str, cue: str) -> str:
    """Of the prompt that titles are scored after; its scores are found under it, whichever titles were asked together."""
    return _name(("prompt", *asked, decoding, cue))


def score_address(asked: Asked, decoding: str, cue: str, titles: Sequence[str]) -> str:
    """Of one `score`."""
    return _name(("score", *asked, decoding, cue, tuple(titles)))


def _name(content: Any) -> str:
    return hashlib.blake2b(msgspec.msgpack.encode(content), digest_size=ADDRESS_BYTES, person=b"seren").hexdigest()
