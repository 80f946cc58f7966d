"""Laws of the table of word meanings, on a dictionary of a few senses in WordNet's form; they need torch."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from models.errors import LogError
from models.judging.meaning import alikeness

# torch says once that products of sparse tables are in beta.
pytestmark = [pytest.mark.train, pytest.mark.filterwarnings("ignore:Sparse CSR tensor support:UserWarning")]

LICENCE = "  1 This software and database is being provided to you, the LICENSEE, by  \n"
SENSES = (
    "00000001 13 n 01 bread 0 001 @ 00000003 n 0000 | food made from flour dough in an oven",
    "00000002 13 n 02 cake 0 rye_cake 0 001 @ 00000003 n 0000 | sweet food from flour dough baked in an oven",
    "00000003 13 n 01 food 0 000 | what is eaten: bread cake flour dough oven",
    "00000004 06 n 01 trumpet 0 001 @ 00000006 n 0000 | brass horn for jazz music played in a band",
    "00000005 06 n 01 horn 0 001 @ 00000006 n 0000 | brass trumpet for jazz music played in a band",
    "00000006 06 n 01 music 0 000 | sounds of a band: jazz brass trumpet horn played",
)


@pytest.fixture
def module() -> Any:
    return import_module("models.training.words")


@pytest.fixture
def dictionary(tmp_path: Path) -> Path:
    (tmp_path / "data.noun").write_text(LICENCE + "\n".join(SENSES) + "\n")
    for part in ("verb", "adj", "adv"):
        (tmp_path / f"data.{part}").write_text(LICENCE)
    return tmp_path


def test_words_that_explain_each_other_lie_together_and_again_in_the_same_place(module: Any, dictionary: Path) -> None:
    plan = module.WordPlan(least_senses=2, dimensions=2)
    found, again = module.word_vectors(dictionary, plan), module.word_vectors(dictionary, plan)
    bread, cake, horn = (found.vector(word, ()) for word in ("bread", "cake", "horn"))
    assert alikeness(bread, cake) > 0.8
    assert alikeness(bread, horn) < 0.2
    assert (again.vector("bread", ()) == bread).all()


def test_file_that_is_none_of_wordnets_is_refused_by_name(module: Any, dictionary: Path) -> None:
    (dictionary / "data.verb").write_text("nonsense\n")
    with pytest.raises(LogError, match=r"data\.verb"):
        module.word_vectors(dictionary, module.WordPlan())
