"""Laws of constrained sampling, on a model of four titles whose probabilities are worked out by hand."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.entities import Digest
from models.errors import RequestError
from models.serengpt.constrained import Beginning, Logits, distinct, independent, run, walk
from models.serengpt.engine import CatalogueTitles, ImagineRequest
from models.serengpt.prior import Title
from models.serengpt.prompt import TITLE_TOKENS
from models.serengpt.trie import TitleTrie

END, TEMPERATURE = 1, 0.95
# After the root, ids 2, 3 and 4 come at 1/2, 1/4 and 1/4; after 2 the title ends or goes on with 5, one to three; after 3 only
# 6 may follow. So (2,) has 1/8, (2, 5) 3/8, (3, 6) 1/4 and (4,) 1/4.
TRIE = TitleTrie({(2,): 0, (2, 5): 0, (3, 6): 0, (4,): 0}, end=END)
CHANCES = {(2,): 1 / 8, (2, 5): 3 / 8, (3, 6): 1 / 4, (4,): 1 / 4}
STEPS = {(): {2: 1 / 2, 3: 1 / 4, 4: 1 / 4}, (2,): {END: 1 / 4, 5: 3 / 4}}
DRAWS = 4_000  # so that a share is off by 0.03 in one of ten thousand runs; the seeds are fixed


def _logits(beginning: Beginning) -> Logits:
    """Logits that the temperature turns into the chances above."""
    return np.array([TEMPERATURE * math.log(STEPS[beginning.path][token]) for token in beginning.ids.tolist()])


def _read(wanted: Sequence[Sequence[Beginning]]) -> list[list[Logits]]:
    return [[_logits(one) for one in beginnings] for beginnings in wanted]


def _titles(outcome: list[Title] | RequestError) -> list[Title]:
    assert not isinstance(outcome, RequestError)
    return outcome


def test_independent_draws_come_as_often_as_the_model_says() -> None:
    draws = np.random.default_rng(1).random((DRAWS, TITLE_TOKENS))
    [found] = run([independent(TRIE, draws)], _read)
    counts = Counter(_titles(found))
    assert set(counts) == set(CHANCES)
    assert {title: counts[title] / DRAWS for title in CHANCES} == pytest.approx(CHANCES, abs=0.03)


def test_distinct_draws_come_in_the_order_of_drawing_without_replacement() -> None:
    walks = [distinct(TRIE, 2, np.random.default_rng(seed)) for seed in range(DRAWS)]
    counts = Counter(tuple(_titles(found)) for found in run(walks, _read))
    expected = {
        (one, other): CHANCES[one] * CHANCES[other] / (1 - CHANCES[one])
        for one in CHANCES
        for other in CHANCES
        if one != other
    }
    assert {pair: counts[pair] / DRAWS for pair in expected} == pytest.approx(expected, abs=0.025)
    first = {title: sum(counts[pair] for pair in counts if pair[0] == title) / DRAWS for title in CHANCES}
    assert first == pytest.approx(CHANCES, abs=0.025)


def test_ways_on_are_drawn_at_the_temperature_of_free_samples() -> None:
    trie = TitleTrie({(2,): 0, (3,): 0}, end=END)
    walks = [independent(trie, np.full((1, TITLE_TOKENS), draw)) for draw in (0.886, 0.896)]
    # Logits 2 and 0: the first has 1 / (1 + exp(-2 / 0.95)) = 0.8914; at temperature 1 it would have 0.8808.
    found = run(walks, lambda wanted: [[np.array([2.0, 0.0]) for _ in beginnings] for beginnings in wanted])
    assert found == [[(2,)], [(3,)]]


@given(st.integers(1, 9), st.integers(0, 10_000))
def test_distinct_draws_are_different_and_as_many_as_there_are(count: int, seed: int) -> None:
    [found] = run([distinct(TRIE, count, np.random.default_rng(seed))], _read)
    titles = _titles(found)
    assert len(titles) == len(set(titles)) == min(count, 4)
    assert set(titles) <= set(CHANCES)


def test_the_only_title_is_written_without_asking_the_model() -> None:
    trie = TitleTrie({(2, 5, 6): 0}, end=END)

    def never(wanted: Sequence[Sequence[Beginning]]) -> list[list[Logits]]:
        raise AssertionError(wanted)

    walks = [independent(trie, np.zeros((3, TITLE_TOKENS))), distinct(trie, 3, np.random.default_rng(0))]
    assert run(walks, never) == [[(2, 5, 6)] * 3, [(2, 5, 6)]]


def test_repeated_ids_are_penalised_as_in_free_samples() -> None:
    trie = TitleTrie({(2, 2): 0, (2, 3): 0}, end=END)
    asked: list[Beginning] = []

    def read(wanted: Sequence[Sequence[Beginning]]) -> list[list[Logits]]:
        asked.extend(one for beginnings in wanted for one in beginnings)
        return [[np.array([2.1, 2.0]) for _ in beginnings] for beginnings in wanted]

    # 2.1 / 1.05 = 2.0, so that the id which the title already has is as likely as the other.
    [found] = run([independent(trie, np.full((1, TITLE_TOKENS), 0.501))], read)
    [other] = run([independent(trie, np.full((1, TITLE_TOKENS), 0.499))], read)
    assert (found, other) == ([(2, 3)], [(2, 2)])
    assert [one.path for one in asked] == [(2,), (2,)]


@pytest.mark.parametrize("is_distinct", [False, True])
def test_walks_side_by_side_do_not_touch_each_other(is_distinct: bool) -> None:
    requests = [
        ImagineRequest(digest=Digest(), n=n, seed=seed, within=CatalogueTitles.of(()), is_distinct=is_distinct)
        for n, seed in ((1, 5), (4, 5), (3, 8))
    ]
    together = run([walk(request, TRIE) for request in requests], _read)
    assert together == [run([walk(request, TRIE)], _read)[0] for request in requests]


@pytest.mark.parametrize("is_distinct", [False, True])
def test_logits_that_are_no_numbers_fail_their_own_walk_alone(is_distinct: bool) -> None:
    request = ImagineRequest(digest=Digest(), n=3, seed=1, within=CatalogueTitles.of(()), is_distinct=is_distinct)

    def read(wanted: Sequence[Sequence[Beginning]]) -> list[list[Logits]]:
        good, bad = _read(wanted)
        return [good, [np.full_like(one, math.nan) for one in bad]]

    good, bad = run([walk(request, TRIE), walk(request, TRIE)], read)
    assert isinstance(bad, RequestError)
    assert good == run([walk(request, TRIE)], _read)[0]
