"""The prompt: a digest as token ids, laid out stable-first so that refreshes of one user share a prefix.

    static: facts | long-term: tags | short-term: tags | recent history, oldest first | answer

Every piece is opened by a delimiter that says what it is (a fact, a tag of a family, a purchase, a search...), so text needs
no quoting and cannot leave its place. Prompt and title are tokenised apart and joined as ids. Knows nothing about models.

What the user did last moves on with every event; what comes before it does not, because the two have budgets of their own: a
new behaviour changes nothing before the history's delimiter, however long it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from models.entities import Behaviour, Digest, Tag
from models.serengpt.tokens import ANSWER, FACT, HISTORY, LONG_TERM, SHORT_TERM, STATIC, TitleTokenizer

PROMPT_VERSION = 1  # a change of anything below that moves a golden prompt is a new version, and needs a new checkpoint

PROMPT_TOKENS = 144  # the whole prompt; one core reads it in about 15 ms
TITLE_TOKENS = 16  # of a title, in the history or as an answer; the longest of 3,676 catalogue titles has 13
STABLE_TOKENS = 84  # of the facts and tags together; the most that 16,676 digests of a recorded log needed is 52
_TAG_TOKENS = 6  # of a tag or a fact
_FACTS = 8  # 56 tokens at most, so that the strongest tags have room beside any attributes
_LONG_TERM_TAGS = 6
_SHORT_TERM_TAGS = 10
_HISTORY_TOKENS = 55  # that the facts and tags never take: three behaviours of the longest kind, seven usual ones

Piece = tuple[int, ...]


class _Evidence(NamedTuple):
    """The pieces of a prompt by section, each section with its least valuable piece last."""

    facts: list[Piece]
    long_term: list[Piece]
    short_term: list[Piece]
    history: list[Piece]  # newest first


def prompt_ids(digest: Digest, tokenizer: TitleTokenizer, *, budget: int = PROMPT_TOKENS) -> list[int]:
    """The prompt of a digest, ending with the answer cue.

    When it is over the budget, the least valuable evidence goes first: of the facts and tags, which may take `STABLE_TOKENS`,
    the short-term tags of lowest score, then the long-term tags of lowest score, then the facts from the end; of the history,
    the oldest behaviours. A larger budget keeps whatever a smaller one kept. Below the default budget the facts and tags get
    what the history's own share leaves.

    Args:
        digest: whose; its texts are untrusted.
        tokenizer: the checkpoint's.
        budget: tokens, the five section delimiters included.

    Raises:
        ValueError: the budget cannot hold the delimiters.
    """
    section = [tokenizer.ids[token] for token in (STATIC, LONG_TERM, SHORT_TERM, HISTORY, ANSWER)]
    if budget < len(section):
        message = f"budget: {budget} tokens, must be at least {len(section)}"
        raise ValueError(message)
    evidence = _evidence(digest, tokenizer)
    _drop(evidence, budget - len(section))
    ids: list[int] = []
    ordered = (evidence.facts, evidence.long_term, evidence.short_term, evidence.history[::-1])
    for delimiter, pieces in zip(section, ordered, strict=False):
        ids.append(delimiter)
        for piece in pieces:
            ids.extend(piece)
    return [*ids, section[-1]]


def reference_ids(tokenizer: TitleTokenizer) -> list[int]:
    """The prompt of nobody: what a title is worth before anything is known of the user."""
    return prompt_ids(Digest(), tokenizer)


def title_ids(title: str, tokenizer: TitleTokenizer) -> tuple[int, ...]:
    """A title as an answer, without the end token; empty when the title has no visible text."""
    return tokenizer.encode(title, TITLE_TOKENS)


def _evidence(digest: Digest, tokenizer: TitleTokenizer) -> _Evidence:
    lasting = _strongest(digest.long_term)[:_LONG_TERM_TAGS]
    said = {(tag.family, tag.text) for tag in lasting}
    passing = [tag for tag in _strongest(digest.short_term) if (tag.family, tag.text) not in said][:_SHORT_TERM_TAGS]
    return _Evidence(
        facts=_pieces([(FACT, fact, _TAG_TOKENS) for fact in digest.static[:_FACTS]], tokenizer),
        long_term=_pieces([_of_tag(tag) for tag in lasting], tokenizer),
        short_term=_pieces([_of_tag(tag) for tag in passing], tokenizer),
        history=_pieces([_of_behaviour(behaviour) for behaviour in reversed(digest.history)], tokenizer),
    )


def _strongest(tags: Sequence[Tag]) -> list[Tag]:
    """The tags by score, highest first; of equal ones in their order."""
    return sorted(tags, key=lambda tag: -tag.score)


def _of_tag(tag: Tag) -> tuple[str, str, int]:
    return f"<|{tag.family}|>", tag.text, _TAG_TOKENS


def _of_behaviour(behaviour: Behaviour) -> tuple[str, str, int]:
    return f"<|{behaviour.type}|>", behaviour.title, TITLE_TOKENS


def _pieces(parts: list[tuple[str, str, int]], tokenizer: TitleTokenizer) -> list[Piece]:
    encoded = [(tokenizer.ids[delimiter], tokenizer.encode(text, limit)) for delimiter, text, limit in parts]
    return [(delimiter, *ids) for delimiter, ids in encoded if ids]


def _drop(evidence: _Evidence, room: int) -> None:
    """Takes pieces off the ends of the sections until the rest fits into so many tokens."""
    reserved = min(room, _HISTORY_TOKENS)
    for_stable = min(STABLE_TOKENS, room - reserved)
    stable = (evidence.short_term, evidence.long_term, evidence.facts)
    _shorten(stable, for_stable)
    # Tokens that facts and tags leave go to the history only where a larger budget would not take them back.
    _shorten((evidence.history,), room - _size(stable) if for_stable == STABLE_TOKENS else reserved)


def _shorten(sections: Sequence[list[Piece]], room: int) -> None:
    """Empties the sections from their ends, the first section first, until they fit."""
    excess = _size(sections) - room
    for pieces in sections:
        while excess > 0 and pieces:
            excess -= len(pieces.pop())


def _size(sections: Sequence[list[Piece]]) -> int:
    return sum(len(piece) for pieces in sections for piece in pieces)
