"""Laws of the score log: hits never reach the model, what is kept is bounded, and nothing that is wrong is kept."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.entities import Behaviour, Digest
from models.errors import BrokerUnavailable, EngineDead, EngineError, LogError, RequestError, SerenError
from models.serengpt.address import Asked, Decoding, cue_of
from models.serengpt.engine import CatalogueTitles, ImagineRequest, Scored, ScoreRequest
from streams import topics
from streams.production import Outgoing
from streams.scores.engine import LoggedEngine
from streams.scores.file import FileRead, ScoreFile
from streams.scores.log import ScoreLog
from streams.scores.record import decode_record, imagined
from streams.scores.writer import PAUSE_S, ScoreWriter

PLENTY = 1 << 24


def worth(digest: Digest, title: str) -> Scored:
    """What the model below says: a pure function of both."""
    return Scored(-1.0 - len(title) / 7 - len(digest.history), -2.0 - len(title) / 3, 1 + len(title))


class CountedModel:
    """A small deterministic model that remembers what it was asked, and fails as told."""

    def __init__(self, model_id: str = "small@1", prompt_version: int = 1) -> None:
        self.model_id = model_id
        self.prompt_version = prompt_version
        self.calls: list[list[Any]] = []
        self.refuses: set[str] = set()
        self.becomes = ""

    def imagine(self, requests: Sequence[ImagineRequest]) -> list[tuple[str, ...] | SerenError]:
        self.calls.append([(one.seed, one.n) for one in requests])
        self.model_id = self.becomes or self.model_id
        answers: list[tuple[str, ...] | SerenError] = []
        for one in requests:
            titles = tuple(f"{self.model_id} {one.seed} {place}" for place in range(one.n))
            answers.append(RequestError("no") if str(one.seed) in self.refuses else titles)
        return answers

    def score(self, requests: Sequence[ScoreRequest]) -> list[tuple[Scored, ...] | SerenError]:
        self.calls.append([one.titles for one in requests])
        self.model_id = self.becomes or self.model_id
        return [
            RequestError("no") if self.refuses & set(one.titles) else tuple(worth(one.digest, title) for title in one.titles)
            for one in requests
        ]


def logged(model: CountedModel, log: ScoreLog | None = None) -> LoggedEngine:
    return LoggedEngine(model, log or ScoreLog(cache_bytes=PLENTY, pending_bytes=PLENTY), decoding=Decoding.of())


def asks(*titles: str, deeds: int = 0) -> ScoreRequest:
    return ScoreRequest(digest=Digest(history=(Behaviour("click", "mug", 1, 1),) * deeds), titles=titles)


def dreams(*seeds: int, n: int = 2) -> list[ImagineRequest]:
    return [ImagineRequest(digest=Digest(), n=n, seed=seed) for seed in seeds]


def test_the_same_question_is_asked_once() -> None:
    model = CountedModel()
    engine = logged(model)
    first = engine.imagine(dreams(1, 2)), engine.score([asks("a", "b"), asks("a", deeds=1)])
    calls = len(model.calls)
    assert (engine.imagine(dreams(1, 2)), engine.score([asks("a", "b"), asks("a", deeds=1)])) == first
    assert len(model.calls) == calls == 2


def test_only_the_titles_that_are_not_known_are_asked_and_the_order_of_the_request_is_kept() -> None:
    model = CountedModel()
    engine = logged(model)
    engine.score([asks("a", "b")])
    [answer] = engine.score([asks("c", "b", "c", "a")])
    assert model.calls[1:] == [[("c",)]]
    assert answer == tuple(worth(Digest(), title) for title in ("c", "b", "c", "a"))


def test_misses_of_a_batch_are_asked_in_one_call_and_hits_not_at_all() -> None:
    model = CountedModel()
    engine = logged(model)
    engine.imagine(dreams(2))
    answers = engine.imagine(dreams(1, 2, 3))
    assert model.calls[1:] == [[(1, 2), (3, 2)]]
    assert answers == [(f"small@1 {seed} 0", f"small@1 {seed} 1") for seed in (1, 2, 3)]


@given(
    batches=st.lists(
        st.lists(st.tuples(st.integers(0, 3), st.lists(st.sampled_from("abcdef"), max_size=6)), max_size=4), max_size=6
    ),
    cache_bytes=st.sampled_from([0, 1_500, PLENTY]),
)
def test_answers_are_the_model_s_own_whatever_is_known(batches: list[list[tuple[int, list[str]]]], cache_bytes: int) -> None:
    model = CountedModel()
    engine = logged(model, ScoreLog(cache_bytes=cache_bytes))
    for batch in batches:
        requests = [asks(*titles, deeds=deeds) for deeds, titles in batch]
        expected = [tuple(worth(one.digest, title) for title in one.titles) for one in requests]
        assert engine.score(requests) == expected


def test_an_error_is_passed_on_and_asked_again_and_costs_its_mates_nothing() -> None:
    model = CountedModel()
    model.refuses = {"b", "2"}
    log = ScoreLog(cache_bytes=PLENTY, pending_bytes=PLENTY)
    engine = logged(model, log)
    good, bad = engine.score([asks("a"), asks("a", "b", deeds=1)])
    assert good == (worth(Digest(), "a"),)
    assert isinstance(bad, RequestError)
    assert [type(one) for one in engine.imagine(dreams(1, 2))] == [tuple, RequestError]
    assert len(log.take()) == 2
    model.refuses = set()
    assert engine.imagine(dreams(2)) == [("small@1 2 0", "small@1 2 1")]


@pytest.mark.parametrize(("model_id", "version"), [("small@2", 1), ("small@1", 2)])
def test_another_model_or_prompt_misses_by_construction(model_id: str, version: int) -> None:
    log = ScoreLog(cache_bytes=PLENTY)
    engine = logged(CountedModel(), log)
    engine.imagine(dreams(1))
    engine.score([asks("a")])
    other = CountedModel(model_id, version)
    logged(other, log).imagine(dreams(1))
    logged(other, log).score([asks("a")])
    assert len(other.calls) == 2


def test_another_way_to_decode_misses_by_construction() -> None:
    log = ScoreLog(cache_bytes=PLENTY)
    logged(CountedModel(), log).score([asks("a")])
    other = CountedModel()
    LoggedEngine(other, log, decoding=Decoding.of(prompt_tokens=100)).score([asks("a")])
    assert len(other.calls) == 1


def test_another_way_to_imagine_misses_by_construction() -> None:
    one, other = (CatalogueTitles.of([(title, 7)]) for title in ("red mug", "bag"))
    [free] = dreams(1)
    ways = [
        free,
        *(msgspec.structs.replace(free, within=within) for within in (one, other)),
        msgspec.structs.replace(free, within=one, is_distinct=True),
        msgspec.structs.replace(free, within=one, avoided=(7,)),
        msgspec.structs.replace(free, within=one, avoided=(8,)),
    ]
    model = CountedModel()
    engine = logged(model)
    engine.imagine(ways)
    engine.imagine([*ways, msgspec.structs.replace(free, within=one, avoided=(8, 7)), free])
    engine.imagine([msgspec.structs.replace(free, within=one, avoided=(7, 8, 7))])
    assert [len(call) for call in model.calls] == [len(ways), 1]


def test_a_model_that_is_changed_during_a_call_answers_whole_and_nothing_is_kept() -> None:
    model = CountedModel()
    log = ScoreLog(cache_bytes=PLENTY, pending_bytes=PLENTY)
    engine = logged(model, log)
    engine.imagine(dreams(1))
    log.take()
    model.becomes = "small@2"
    assert engine.imagine(dreams(1, 2)) == [(f"small@2 {seed} 0", f"small@2 {seed} 1") for seed in (1, 2)]
    assert log.take() == []


def test_an_engine_that_forgets_an_answer_or_dies_is_no_hit() -> None:
    class Short(CountedModel):
        def score(self, requests: Sequence[ScoreRequest]) -> list[tuple[Scored, ...] | SerenError]:
            return [(), *[()] * (len(requests) - 2)]

        def imagine(self, requests: Sequence[ImagineRequest]) -> list[tuple[str, ...] | SerenError]:
            raise EngineDead("gone")

    engine = logged(Short())
    with pytest.raises(EngineError, match="1 replies to 2 requests"):
        engine.score([asks("a"), asks("b")])
    with pytest.raises(EngineDead):
        engine.imagine(dreams(1))
    [answer] = engine.score([asks("a")])
    assert "0 scores of 1 titles" in str(answer)


def test_scores_that_are_no_numbers_are_passed_on_and_never_kept() -> None:
    class Broken(CountedModel):
        def score(self, requests: Sequence[ScoreRequest]) -> list[tuple[Scored, ...] | SerenError]:
            super().score(requests)
            return [tuple(Scored(math.nan, -1.0, 1) for _ in one.titles) for one in requests]

    model, log = Broken(), ScoreLog(cache_bytes=PLENTY, pending_bytes=PLENTY)
    engine = logged(model, log)
    for _ in range(2):
        [answer] = engine.score([asks("a")])
        assert not isinstance(answer, SerenError)
        assert math.isnan(answer[0].logprob)
    assert (len(model.calls), log.record_count, log.take(), log.counts["unsound"]) == (2, 0, [], 2)


def test_hits_and_misses_are_counted_scores_by_title() -> None:
    log = ScoreLog(cache_bytes=PLENTY)
    engine = logged(CountedModel(), log)
    engine.imagine(dreams(1, 2))
    engine.imagine(dreams(2, 3))
    engine.score([asks("a", "b")])
    engine.score([asks("a", "b", "c")])
    assert dict(log.counts) == {"imagine_hits": 1, "imagine_misses": 3, "score_hits": 2, "score_misses": 3}


# ---------------------------------------------------------------------- memory


def titles_of(seed: int) -> Any:
    return imagined(Asked("m", 1), "d", cue_of(Digest()), n=1, seed=seed, titles=("x" * 100,))


@given(seeds=st.lists(st.integers(0, 30), max_size=60), cache_bytes=st.integers(0, 6_000))
def test_memory_never_holds_more_than_its_bound(seeds: list[int], cache_bytes: int) -> None:
    log = ScoreLog(cache_bytes=cache_bytes)
    for seed in seeds:
        log.add(titles_of(seed))
        assert log.entry_bytes <= cache_bytes
        assert (log.entry_bytes == 0) == (log.record_count == 0)


def test_what_was_used_last_stays_longest() -> None:
    one = ScoreLog(cache_bytes=PLENTY)
    one.add(titles_of(1))
    log = ScoreLog(cache_bytes=3 * one.entry_bytes)
    for seed in (1, 2, 3):
        log.add(titles_of(seed))
    assert log.imagined(titles_of(1).address) is not None
    log.add(titles_of(4))
    assert [log.imagined(titles_of(seed).address) is not None for seed in (1, 2, 3, 4)] == [True, False, True, True]
    assert log.counts["evicted"] == 1


def test_answers_wait_in_their_order_each_once_and_the_oldest_go_when_there_are_too_many() -> None:
    log = ScoreLog(cache_bytes=PLENTY, pending_bytes=PLENTY)
    for seed in (1, 2, 1, 3):
        log.add(titles_of(seed))
    sent = log.take()
    assert [decode_record(one.value or b"", key=one.key).seed for one in sent] == [1, 2, 3]  # type: ignore[union-attr]
    assert log.take() == []
    size = len(sent[0].value or b"")
    short = ScoreLog(cache_bytes=PLENTY, pending_bytes=2 * size)
    for seed in (1, 2, 3):
        short.add(titles_of(seed))
    assert [one.key for one in short.take()] == [titles_of(seed).address.encode() for seed in (2, 3)]
    assert short.counts["unsent"] == 1


# ---------------------------------------------------------------------- the file


def test_a_second_run_reads_what_the_first_one_wrote_and_calls_no_model(tmp_path: Path) -> None:
    file = ScoreFile(tmp_path / "scores.jsonl")
    first = ScoreLog(cache_bytes=PLENTY, pending_bytes=PLENTY)
    assert file.read_into(first) == FileRead(0, 0, "")
    engine = logged(CountedModel(), first)
    answers = engine.imagine(dreams(1, 2)), engine.score([asks("a", "b")])
    assert file.append(first.take()) == 3
    assert file.append([]) == 0
    again, model = ScoreLog(cache_bytes=PLENTY, pending_bytes=PLENTY), CountedModel()
    assert file.read_into(again) == FileRead(3, 0, "")
    engine = logged(model, again)
    assert (engine.imagine(dreams(1, 2)), engine.score([asks("a", "b")])) == answers
    assert (model.calls, again.take()) == ([], [])


def test_a_line_that_was_cut_off_is_refused_by_its_number_and_spoils_no_other(tmp_path: Path) -> None:
    path = tmp_path / "scores.jsonl"
    file, log = ScoreFile(path), ScoreLog(cache_bytes=PLENTY, pending_bytes=PLENTY)
    for seed in (1, 2):
        log.add(titles_of(seed))
    file.append(log.take())
    path.write_bytes(path.read_bytes()[:-9])
    log.add(titles_of(3))
    file.append(log.take())
    again = ScoreLog(cache_bytes=PLENTY)
    read = file.read_into(again)
    assert (read.records, read.refused) == (2, 1)
    assert read.first_refusal.startswith("line 2: score record: ")
    assert again.imagined(titles_of(3).address) == titles_of(3).titles


def test_a_folded_file_is_not_written_and_a_missing_one_is_an_error(tmp_path: Path) -> None:
    file = ScoreFile(tmp_path / "scores.jsonl.zst")
    with pytest.raises(LogError, match="read only; 1 new answers"):
        file.append([Outgoing(b"k", b"v")])
    with pytest.raises(LogError):
        file.read_into(ScoreLog(cache_bytes=PLENTY))


# ---------------------------------------------------------------------- the topic


class HandClock:
    """Moves when told."""

    now_s = 0.0

    def time(self) -> float:
        return self.now_s

    def monotonic(self) -> float:
        return self.now_s


async def test_new_answers_are_sent_once_and_a_broker_that_is_away_is_left_alone_for_a_while() -> None:
    sent: list[Outgoing] = []
    away = [BrokerUnavailable("away")]
    tries = 0

    async def produce(topic: str, records: Sequence[Outgoing]) -> None:
        nonlocal tries
        assert topic == topics.SCORES
        tries += 1
        if away:
            raise away.pop()
        sent.extend(records)

    log, clock = ScoreLog(cache_bytes=PLENTY, pending_bytes=PLENTY), HandClock()
    writer = ScoreWriter(log, produce, record_s=1.0, clock=clock)
    log.add(titles_of(1))
    await writer.write()
    log.add(titles_of(2))
    await writer.write()
    assert (tries, sent, log.counts["unsent"]) == (1, [], 1)
    clock.now_s = PAUSE_S
    await writer.write()
    await writer.write()
    assert [one.key for one in sent] == [titles_of(2).address.encode()]
    assert (tries, log.counts["sent"]) == (2, 1)


async def test_a_broker_that_does_not_answer_holds_slates_up_for_a_bounded_time() -> None:
    async def produce(_topic: str, _records: Sequence[Outgoing]) -> None:
        await asyncio.Event().wait()

    log = ScoreLog(cache_bytes=PLENTY, pending_bytes=PLENTY)
    log.add(titles_of(1))
    await ScoreWriter(log, produce, record_s=0.01, clock=HandClock()).write()
    assert log.counts["unsent"] == 1
