"""Laws of titles that several products bear, in a table of rankers; expected numbers by hand."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from models.catalogue import Catalogue
from models.entities import Digest, Item, Seen
from models.evaluation.ranking import Case
from models.serengpt.engine import Scored
from models.training.samples import Sample
from models.training.split import TimeSplit
from streams.evaluation.checkpoints import Said, shared_out
from streams.evaluation.questions import Asked, Questions
from streams.samples import LabelledLog


def _questions(*titles: str) -> Questions:
    """Items a, b, c of these titles; a was wanted twice while there was something to learn, and b after that."""
    catalogue = Catalogue(
        Item(item_id=name, title=title, category=("all",)) for name, title in zip("abc", titles, strict=True)
    )
    days = [
        Sample(user_id="u", as_of_ms=at, digest=Digest(), seen=Seen(), serendipitous=(wanted,), others=())
        for at, wanted in ((1, "a"), (2, "a"), (12, "b"))
    ]
    case = Case(user_id="u", as_of_ms=15, digest=Digest(), items=("c", "b", "a"), right=(0,))
    asked = Asked(cases=[case], items=[np.array([2, 1, 0])], past=[np.zeros(0, dtype=np.int64)])
    log = LabelledLog(catalogue=catalogue, samples=days, split=TimeSplit(10, 20), refused=0)
    return Questions(name="made", folder=Path("made"), part="validation", seed=0, log=log, validation=asked, reported=asked)


def test_shared_out_gives_a_product_its_share_of_the_titles_probability() -> None:
    """Of "yogurt" a has (2 + 1) / 4 and b (0 + 1) / 4, by the train part alone; "mug" is all c's."""
    said: list[tuple[Scored, ...]] = [(Scored(-5.0, -7.0, 1), Scored(-3.0, -4.0, 2), Scored(-3.0, -4.0, 2))]
    found = shared_out(Said(said, said), _questions("yogurt", "yogurt", "mug"))
    assert found is not None
    [(mug, rare, often)] = found.reported
    assert (mug.logprob, mug.prior_logprob) == (-5.0, -7.0)
    assert (rare.logprob, rare.prior_logprob) == pytest.approx((-3.0 + math.log(0.25), -4.0 + math.log(0.25)))
    assert (often.logprob, often.prior_logprob) == pytest.approx((-3.0 + math.log(0.75), -4.0 + math.log(0.75)))
    assert (mug.tokens, rare.tokens) == (1, 2)


def test_titles_of_one_product_each_are_not_shared_out() -> None:
    assert shared_out(Said([], []), _questions("yogurt", "cup", "mug")) is None
