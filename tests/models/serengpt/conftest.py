from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest

from models.entities import Behaviour, Digest, Tag
from models.pretrained import serengpt_folder
from models.serengpt.embedded import EmbeddedEngine, load_engine
from models.serengpt.tokens import TitleTokenizer
from models.training.tokenizer import train_tokenizer

CORPUS = ("red retrospot mug", "vintage alarm clock", "hanging heart t-light holder", "country: france", "baking", "christmas")


@pytest.fixture(scope="session")
def small_tokenizer() -> TitleTokenizer:
    """Every word of the corpus is one token."""
    return TitleTokenizer(train_tokenizer(CORPUS * 3, vocabulary=600))


@pytest.fixture(scope="session")
def engine() -> Iterator[EmbeddedEngine]:
    """The shipped checkpoint."""
    loaded = load_engine(serengpt_folder(), threads=2)
    yield loaded
    loaded.close()


@pytest.fixture(scope="session")
def vllm_engine() -> Iterator[Any]:
    """The shipped checkpoint behind vLLM; starting a server takes half a minute, so all tests share one."""
    loaded = import_module("models.serengpt.vllm_engine").load_engine(serengpt_folder())
    yield loaded
    loaded.close()


@pytest.fixture
def baker() -> Digest:
    return Digest(
        static=("country: France",),
        long_term=(Tag("baking", "interest", 0.8),),
        short_term=(Tag("retrospot", "attribute", 0.6), Tag("baking", "interest", 0.5), Tag("christmas", "scenario", 0.2)),
        history=(
            Behaviour("purchase", "Vintage Alarm Clock", 1, 10),
            Behaviour("search", "red mug", 2, 11),
            Behaviour("cancel", "hanging heart t-light holder", 3, 12),
        ),
    )
