"""Laws of the score log's records and addresses: what shares a name, what never does, and what is not believed."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.entities import Behaviour, Digest, Tag
from models.errors import DecodeError, UnknownVersion
from models.pretrained import serengpt_folder
from models.serengpt.address import Asked, Decoding, cue_of, imagine_address, prompt_address, score_address
from models.serengpt.engine import ImagineRequest, Scored, ScoreRequest
from models.serengpt.prompt import prompt_ids
from models.serengpt.tokens import TitleTokenizer
from streams.scores.record import (
    RECORD_BYTES,
    Imagined,
    ScoredTitles,
    decode_record,
    encode_record,
    imagined,
    is_sound,
    scored_titles,
)

ASKED = Asked("small@1", 1)
READING, SAMPLING = Decoding.of()
CUE = cue_of(Digest())


@pytest.fixture(scope="module")
def tokenizer() -> TitleTokenizer:
    return TitleTokenizer.load(serengpt_folder() / "tokenizer.json")


def one_imagined(**changes: Any) -> Imagined:
    return imagined(ASKED, SAMPLING, CUE, **({"n": 2, "seed": 7, "titles": ("red mug", "red mug")} | changes))


def one_scored(*scored: Scored, titles: tuple[str, ...] = ("mug", "tin")) -> ScoredTitles:
    [record] = scored_titles(ASKED, READING, CUE, titles, scored or (Scored(-1.25, -3.5, 2), Scored(-0.1, -7.0, 3)))
    return record


texts = st.text(max_size=8)
tags = st.lists(st.builds(Tag, texts, st.sampled_from(["interest", "brand"]), st.sampled_from([0.25, 0.5])), max_size=3)
digests = st.builds(
    lambda static, long_term, short_term, history: Digest(
        static=tuple(static), long_term=tuple(long_term), short_term=tuple(short_term), history=tuple(history)
    ),
    st.lists(texts, max_size=2),
    tags,
    tags,
    st.lists(st.builds(Behaviour, st.sampled_from(["click", "hide"]), texts, st.just(1), st.just(1)), max_size=3),
)


@settings(max_examples=150, deadline=None)
@given(digest=digests, ts_ms=st.integers(0, 9), offset=st.integers(0, 9), fade=st.sampled_from([1.0, 0.5]))
def test_what_no_prompt_reads_changes_neither_the_cue_nor_the_prompt(
    tokenizer: TitleTokenizer, digest: Digest, ts_ms: int, offset: int, fade: float
) -> None:
    def faded(level: tuple[Tag, ...]) -> tuple[Tag, ...]:
        return tuple(Tag(tag.text, tag.family, tag.score * fade, (offset,)) for tag in level)

    other = Digest(
        static=digest.static,
        long_term=faded(digest.long_term),
        short_term=faded(digest.short_term),
        history=tuple(Behaviour(one.type, one.title, ts_ms, offset, "i", "leaf") for one in digest.history),
    )
    assert cue_of(other) == cue_of(digest)
    assert prompt_ids(other, tokenizer) == prompt_ids(digest, tokenizer)


@settings(max_examples=300, deadline=None)
@given(left=digests, right=digests)
def test_digests_with_different_prompts_have_different_cues(tokenizer: TitleTokenizer, left: Digest, right: Digest) -> None:
    if cue_of(left) == cue_of(right):
        assert prompt_ids(left, tokenizer) == prompt_ids(right, tokenizer)
    if prompt_ids(left, tokenizer) != prompt_ids(right, tokenizer):
        assert cue_of(left) != cue_of(right)


def test_every_part_of_a_question_is_in_its_address() -> None:
    same = {"n": 30, "seed": 1}
    names = {
        imagine_address(ASKED, SAMPLING, CUE, **same),
        imagine_address(Asked("small@2", 1), SAMPLING, CUE, **same),
        imagine_address(Asked("small@1", 2), SAMPLING, CUE, **same),
        imagine_address(ASKED, READING, CUE, **same),
        imagine_address(ASKED, SAMPLING, cue_of(Digest(static=("a",))), **same),
        imagine_address(ASKED, SAMPLING, CUE, n=29, seed=1),
        imagine_address(ASKED, SAMPLING, CUE, n=30, seed=2),
        prompt_address(ASKED, READING, CUE),
        score_address(ASKED, READING, CUE, ()),
        score_address(ASKED, READING, CUE, ("ab", "c")),
        score_address(ASKED, READING, CUE, ("a", "bc")),
        score_address(ASKED, READING, CUE, ("bc", "a")),
    }
    assert len(names) == 12


def test_every_field_of_a_request_is_decided_about() -> None:
    """A new field either shapes the answer, and belongs into the address (`way`), or only says when it comes."""
    only_when = {"priority"}
    assert set(ImagineRequest.__struct_fields__) - only_when == {"digest", "n", "seed", "within", "avoided", "is_distinct"}
    assert set(ScoreRequest.__struct_fields__) - only_when == {"digest", "titles"}


def test_addresses_are_the_same_in_every_release() -> None:
    # Written down on 2026-11-23: a change of these asks the model everything anew.
    digest = Digest(
        static=("country: France",),
        long_term=(Tag("tea", "interest", 0.5),),
        history=(Behaviour("click", "red mug", 1, 1),),
    )
    assert cue_of(digest) == "6d275d14e7601dce5977034f5333bcde"
    assert imagine_address(ASKED, "sampling", cue_of(digest), n=30, seed=7) == "9f53e011fe4d1da6306ff6e215299dac"
    assert score_address(ASKED, "reading", cue_of(digest), ("mug", "tin")) == "6467c673f42c05fc8a6daf0fed54a90c"


@pytest.mark.parametrize("record", [one_imagined(), one_scored()])
def test_record_reads_back_as_it_was_written(record: Any) -> None:
    value = encode_record(record)
    assert decode_record(value, key=record.address.encode()) == record
    assert encode_record(decode_record(value)) == value


def test_log_probabilities_come_back_to_the_last_bit() -> None:
    exact = Scored(-math.pi * 1e-5, -(2 / 3) * 1e2, 5)
    [(_, found)] = decode_record(encode_record(one_scored(exact, titles=("mug",)))).scored()  # type: ignore[union-attr]
    assert found == exact


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"logprobs": (-1.25, 0.5)}, "above 0"),
        ({"priors": (-math.inf, -1.0)}, "Expected `float`"),
        ({"tokens": (2,)}, "one each"),
        ({"tokens": (2, 0)}, "tokens"),
        ({"titles": ("mug", "mug")}, "no title twice"),
        ({"titles": ("mug", "pot")}, "its content has"),
        ({"model_id": "small@2"}, "its content has"),
        ({"prompt_version": 2}, "its content has"),
        ({"decoding": "greedy"}, "its content has"),
        ({"cue": "0" * 32}, "its content has"),
        ({"cue": "../../etc"}, "matching regex"),
        ({"address": "0" * 32}, "its content has"),
        ({"titles": ("x" * 513, "tin")}, "length <= 512"),
    ],
)
def test_record_whose_content_is_not_what_its_address_says_is_refused(change: dict[str, Any], reason: str) -> None:
    harmed = msgspec.json.encode(msgspec.structs.replace(one_scored(), **change))
    with pytest.raises(DecodeError, match=reason):
        decode_record(harmed)


@pytest.mark.parametrize("record", [one_imagined(), one_scored()])
def test_any_damage_to_an_answer_is_seen(record: Any) -> None:
    value = encode_record(record)
    for place in range(value.index(b'"titles"') + 10, len(value)):
        damaged = bytearray(value)
        damaged[place] = damaged[place] ^ 1
        try:
            assert decode_record(bytes(damaged)) == record  # such as another way to write the same number
        except DecodeError:
            continue


def test_record_under_another_key_is_refused() -> None:
    with pytest.raises(DecodeError, match="with key b'0000"):
        decode_record(encode_record(one_imagined()), key=b"0" * 32)


def test_record_of_a_newer_release_is_refused_by_its_version() -> None:
    newer = msgspec.json.encode(msgspec.structs.replace(one_imagined(), version=2))
    with pytest.raises(UnknownVersion, match="version 2 is not 1"):
        decode_record(newer)


@pytest.mark.parametrize("value", [b"", b"[]", b"\xff", b"[" * 5_000, b'{"verb":"obey"}', b"x" * (RECORD_BYTES + 1)])
def test_bytes_that_are_no_record_are_refused(value: bytes) -> None:
    with pytest.raises(DecodeError, match="score record: "):
        decode_record(value)


@given(count=st.integers(1, 600), length=st.integers(1, 512), char=st.sampled_from(["a", "\x00", "\U0001f600"]))
@settings(max_examples=30, deadline=None)
def test_scores_of_any_number_of_titles_fit_into_records_and_none_is_lost(count: int, length: int, char: str) -> None:
    titles = tuple(f"{number}{char * (length - 4)}"[:512] for number in range(count))
    scored = [Scored(-1.0 - number / 3, -2.0 - number / 7, 1 + number) for number in range(count)]
    records = list(scored_titles(ASKED, READING, CUE, titles, scored))
    found = [pair for record in records for pair in decode_record(encode_record(record)).scored()]  # type: ignore[union-attr]
    assert found == list(zip(titles, scored, strict=True))
    assert len({record.place for record in records}) == 1
    assert len({record.address for record in records}) == len(records)


@pytest.mark.parametrize(
    "scored", [Scored(0.1, -1.0, 1), Scored(-1.0, math.nan, 1), Scored(-math.inf, -1.0, 1), Scored(-1.0, -1.0, 0)]
)
def test_numbers_that_are_no_log_probabilities_are_not_sound(scored: Scored) -> None:
    assert not is_sound([Scored(-1.0, -1.0, 1), scored])
    assert is_sound([Scored(-1.0, -1.0, 1), Scored(0.0, 0.0, 1)])
