"""Laws of what is made of samples before any network sees them: split, corpus, tokenizer, rows, vectors, card."""

from datetime import UTC, datetime

import numpy as np

from models.entities import Behaviour, Digest, Item, Seen
from models.serengpt.prompt import title_ids
from models.serengpt.tokens import SPECIAL_TOKENS, TitleTokenizer
from models.training.card import Made, Origin, Ranked, model_card
from models.training.embeddings import token_vectors
from models.training.examples import corpus, documents, examples
from models.training.samples import Sample
from models.training.split import ONLINE_RETAIL, TimeSplit
from models.training.tokenizer import train_tokenizer

ITEMS = {
    "1": Item(item_id="1", title="Red Mug", category=("kitchen", "mug"), brand="Acme", tags=("attribute:red", "plain")),
    "2": Item(item_id="2", title="wall clock", category=("decoration", "clock")),
}
SAMPLE = Sample(
    user_id="u",
    as_of_ms=5,
    digest=Digest(static=("country: france",), history=(Behaviour("purchase", "wall clock", 1, 1),)),
    seen=Seen(),
    serendipitous=("1",),
    others=("2", "gone"),
)


def test_split_of_the_shipped_log_cuts_at_midnight() -> None:
    ends = [datetime.fromtimestamp(end / 1000, UTC).isoformat() for end in ONLINE_RETAIL]
    assert ends == ["2011-10-15T00:00:00+00:00", "2011-11-01T00:00:00+00:00"]


def test_corpus_holds_facts_titles_leaves_tags_and_brands() -> None:
    assert list(corpus([SAMPLE], ITEMS.get)) == [
        "country: france",
        "Red Mug",
        "mug",
        "red",
        "plain",
        "Acme",
        "wall clock",
        "clock",
    ]


def test_tokenizer_of_the_same_texts_is_the_same() -> None:
    texts = ["red mug", "red clock", "wall clock"] * 2
    assert train_tokenizer(texts, vocabulary=300).to_str() == train_tokenizer(texts, vocabulary=300).to_str()


def test_tokenizer_keeps_to_its_vocabulary_and_begins_with_the_delimiters() -> None:
    tokenizer = TitleTokenizer(train_tokenizer(["red mug"] * 4, vocabulary=280))
    assert tokenizer.size == 280
    assert tokenizer.tokens[: len(SPECIAL_TOKENS)] == SPECIAL_TOKENS


def test_examples_ask_for_serendipitous_items_or_for_all() -> None:
    tokenizer = TitleTokenizer(train_tokenizer(corpus([SAMPLE] * 3, ITEMS.get), vocabulary=400))
    red_mug, wall_clock = (tokenizer.encode(title, 9) for title in ("red mug", "wall clock"))
    (only,) = examples([SAMPLE], ITEMS.get, tokenizer, serendipitous_only=True)
    (every,) = examples([SAMPLE], ITEMS.get, tokenizer, serendipitous_only=False)
    assert only.titles == (red_mug,)
    assert every.titles == (red_mug, wall_clock)
    assert tokenizer.ids["<|answer|>"] not in only.prompt
    assert next(documents([only])) == frozenset((*only.prompt, *red_mug))


def test_examples_of_queries_ask_for_those_that_led_or_for_all() -> None:
    sample = Sample(
        user_id="u",
        as_of_ms=1,
        digest=Digest(),
        seen=Seen(),
        serendipitous=("1",),
        others=(),
        searches=("red mug", "clock"),
        led=("clock",),
    )
    tokenizer = TitleTokenizer(train_tokenizer(corpus([sample], lambda _item_id: None), vocabulary=600))
    asked = {
        only: examples([sample], lambda _item_id: None, tokenizer, serendipitous_only=only, task="query")[0].titles
        for only in (True, False)
    }
    assert asked[True] == (title_ids("clock", tokenizer),)
    assert asked[False] == (title_ids("red mug", tokenizer), title_ids("clock", tokenizer))


def test_examples_of_a_sample_with_nothing_to_ask_for_give_no_row() -> None:
    tokenizer = TitleTokenizer(train_tokenizer(["red mug"], vocabulary=280))
    nothing = Sample(user_id="u", as_of_ms=5, digest=Digest(), seen=Seen(), serendipitous=(), others=("2",))
    assert examples([nothing], ITEMS.get, tokenizer, serendipitous_only=True) == []


def test_token_vectors_of_tokens_that_meet_are_near_and_of_others_are_not() -> None:
    # Tokens 0 and 1 always meet, as do 2 and 3; token 4 is never seen.
    vectors, known = token_vectors([{0, 1}] * 10 + [{2, 3}] * 10, vocabulary=5, size=4, seed=0)
    unit = vectors[:4] / np.linalg.norm(vectors[:4], axis=1, keepdims=True)
    likeness = unit @ unit.T
    assert known.tolist() == [True, True, True, True, False]
    np.testing.assert_allclose([likeness[0, 1], likeness[2, 3]], 1.0, atol=1e-5)
    np.testing.assert_allclose(likeness[:2, 2:], 0.0, atol=1e-5)


def test_token_vectors_pairs_that_met_by_chance_count_for_nothing() -> None:
    _, known = token_vectors([{0, 1}] * 2, vocabulary=2, size=2, seed=0)
    assert not known.any()


def test_card_names_data_split_seed_command_and_metrics() -> None:
    made = Made(
        name="tiny",
        parameters=2_164_928,
        vocabulary=3072,
        phases=({"name": "wanted", "steps": 7},),
        sha256={"ct2/model.bin": "ab12"},
    )
    origin = Origin(
        data="A shop",
        licence="CC0-1.0",
        source="till",
        split=TimeSplit(1_318_636_800_000, 1_320_105_600_000),
        counts={"train: visit days": 12_675},
        seed=7,
        command="seren train sft --seed 7 --out model",
        hardware="2 cores",
        seconds=90.0,
    )
    card = model_card(made, origin, [Ranked(name="SerenGPT", metrics={"HR@1": 0.25})], cases=394)
    for part in (
        "2,164,928 parameters",
        "train before 2011-10-15, validation before 2011-11-01",
        "| train: visit days | 12,675 |",
        "Seed 7, 2 minutes on 2 cores",
        "    seren train sft --seed 7 --out model",
        "| name | steps |\n| --- | --- |\n| wanted | 7 |",
        "394 cases",
        "| ranker | HR@1 |\n| --- | --- |\n| SerenGPT | 0.250 |",
        "| ct2/model.bin | `ab12` |",
    ):
        assert part in card
