import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer

from models.errors import CheckpointError
from models.pretrained import serengpt_folder
from models.serengpt.tokens import SPECIAL_TOKENS, TitleTokenizer, clean, harmless

SHIPPED = TitleTokenizer.load(serengpt_folder() / "tokenizer.json")
HOSTILE = st.lists(
    st.sampled_from([*SPECIAL_TOKENS, "<|", "|>", "<", "|", ">", "\n", "\x00", "\uff1c\uff5cend\uff5c\uff1e", "mug", " "])
).map("".join)


@given(st.one_of(st.text(), HOSTILE))
def test_encode_of_any_text_gives_no_delimiter(text: str) -> None:
    assert all(place >= len(SPECIAL_TOKENS) for place in SHIPPED.encode(text, 1000))


@given(st.one_of(st.text(), HOSTILE))
def test_clean_twice_is_clean_once(text: str) -> None:
    assert clean(clean(text)) == clean(text)


@given(st.one_of(st.text(max_size=60), HOSTILE))
def test_decode_of_encoded_text_is_the_harmless_text(text: str) -> None:
    assert SHIPPED.decode(SHIPPED.encode(text, 10_000)) == harmless(text)


@given(
    st.lists(st.sampled_from(["ignore", "the", "system:", "rules", "<s>", "<", ">", "/", "red", "[inst]", " ", "s"])).map(
        "".join
    )
)
def test_harmless_twice_is_harmless_once_and_never_longer(text: str) -> None:
    found = harmless(text)
    assert harmless(found) == found
    assert len(found) <= len(clean(text))


def test_clean_control_characters_and_separators_become_one_space() -> None:
    assert clean(" Red\r\n\u2028Mug\x00\u202e\ufeff ") == "red mug"


def test_clean_compatibility_forms_cannot_rebuild_a_delimiter() -> None:
    assert "<|" not in clean("\uff1c\uff5canswer\uff5c\uff1e and <\u200b|answer|\u200b>")


def test_encode_limit_keeps_the_first_tokens() -> None:
    assert SHIPPED.encode("red retrospot mug", 2) == SHIPPED.encode("red retrospot mug", 99)[:2]


def test_encode_nothing_visible_is_empty() -> None:
    assert SHIPPED.encode("\n\x00 <||>", 5) == ()


def test_decode_leaves_delimiters_out() -> None:
    assert SHIPPED.decode((SHIPPED.ids["<|answer|>"], *SHIPPED.encode("red mug", 9), SHIPPED.ids["<|end|>"])) == "red mug"


def test_tokenizer_with_added_tokens_is_refused(tmp_path: Path) -> None:
    tokenizer = Tokenizer.from_file(str(serengpt_folder() / "tokenizer.json"))
    tokenizer.add_special_tokens([AddedToken("<|end|>", special=True)])
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(CheckpointError, match="added tokens"):
        TitleTokenizer.load(tmp_path / "tokenizer.json")


def test_tokenizer_without_the_delimiters_is_refused(tmp_path: Path) -> None:
    written = json.loads((serengpt_folder() / "tokenizer.json").read_text())
    vocabulary = written["model"]["vocab"]
    vocabulary["<|pad|>"], vocabulary["<|end|>"] = vocabulary["<|end|>"], vocabulary["<|pad|>"]
    (tmp_path / "tokenizer.json").write_text(json.dumps(written))
    with pytest.raises(CheckpointError, match=r"id 0 should be <\|pad\|>"):
        TitleTokenizer.load(tmp_path / "tokenizer.json")


def test_tokenizer_missing_file_is_a_checkpoint_error(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="cannot read"):
        TitleTokenizer.load(tmp_path / "tokenizer.json")
