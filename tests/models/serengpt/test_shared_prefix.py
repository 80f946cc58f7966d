"""Laws of scoring titles through a cache of blocks: no gap is left, whatever was read before, and no number comes from one."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import EngineError
from models.serengpt.shared_prefix import Found, Reading, TitleTree

END = 1


def _logprob(ids: tuple[int, ...]) -> float:
    """Of the last token after the others, by a model that is made up: any function of all of them will do."""
    return -1.0 - (hash(ids) % 1000) / 100


class BlockReader:
    """Reads as a server with a prefix cache does: full blocks that it has read are skipped, but one token is always read."""

    def __init__(self, prompt: tuple[int, ...], block: int) -> None:
        self.prompt, self.block = prompt, block
        self.kept: set[tuple[int, ...]] = set()
        self.tokens_read = 0

    def read(self, reading: Reading) -> Found:
        ids = (*self.prompt, *reading.ids)
        cached = 0
        while cached + self.block <= len(ids) - 1 and ids[: cached + self.block] in self.kept:
            cached += self.block
        self.kept.update(ids[:end] for end in range(self.block, len(ids) + 1, self.block))
        self.tokens_read += len(ids) - cached
        places = range(len(self.prompt), len(ids))
        logprobs = [_logprob(ids[: place + 1]) if place > cached else math.nan for place in places]
        return Found(cached, logprobs, {token: _logprob((*ids, token)) for token in reading.nexts})


def _scored(reader: BlockReader, titles: list[tuple[int, ...]]) -> list[float]:
    tree = TitleTree(prompt=len(reader.prompt), block=reader.block, titles=titles)
    for reading in tree.readings():
        tree.note(reading, reader.read(reading))
    for reading in tree.gaps():
        tree.note(reading, reader.read(reading))
    return [tree.logprob(title) for title in titles]


titles_ = st.lists(st.lists(st.integers(2, 4), min_size=1, max_size=16).map(lambda ids: (*ids, END)), min_size=1, max_size=12)


@given(prompt=st.integers(1, 40), block=st.sampled_from([1, 2, 4, 16, 32]), titles=titles_, before=titles_)
def test_every_title_has_the_sum_of_its_tokens_whatever_was_read_before(
    prompt: int, block: int, titles: list[tuple[int, ...]], before: list[tuple[int, ...]]
) -> None:
    reader = BlockReader(tuple(range(100, 100 + prompt)), block)
    for asked in (before, titles, titles):
        expected = [sum(_logprob((*reader.prompt, *title[: place + 1])) for place in range(len(title))) for title in asked]
        assert _scored(reader, asked) == pytest.approx(expected)


def test_a_prompt_is_read_once_and_each_title_from_the_last_full_block_on() -> None:
    # 20 tokens of prompt in blocks of 16: the first title reads all of it, the others its last four tokens, and themselves.
    reader = BlockReader(tuple(range(100, 120)), 16)
    _scored(reader, [(2, 3, END), (3, 2, END), (4, 4, END)])
    assert reader.tokens_read == (20 + 3) + 2 * (4 + 3)


def test_titles_that_begin_alike_within_a_block_that_ends_inside_them_fill_each_others_gaps() -> None:
    # The block ends two tokens into the titles: the second title is skipped up to there, and its third token is a gap.
    tree = TitleTree(prompt=14, block=16, titles=[(2, 3, 4, END), (2, 3, 2, END)])
    reader = BlockReader(tuple(range(100, 114)), 16)
    first, second = tree.readings()
    tree.note(first, reader.read(first))
    found = reader.read(second)
    assert found.cached == 16
    tree.note(second, found)
    assert tree.gaps() == [Reading((2, 3), (4,))]


def test_prompt_that_fills_its_blocks_is_asked_for_the_first_tokens() -> None:
    tree = TitleTree(prompt=16, block=16, titles=[(3, END), (2, END), (2, 3, END)])
    assert tree.readings()[0] == Reading((), (2, 3))


def test_no_titles_need_no_reading() -> None:
    tree = TitleTree(prompt=16, block=16, titles=[])
    assert tree.readings() == tree.gaps() == []


def test_reader_whose_blocks_are_longer_than_it_says_is_an_error() -> None:
    tree = TitleTree(prompt=3, block=1, titles=[(2, END)])
    tree.note(tree.readings()[0], Found(4, [math.nan, math.nan], {}))
    with pytest.raises(EngineError, match=r"token 1 of a title: not read; cached blocks are not of 1"):
        tree.logprob((2, END))
