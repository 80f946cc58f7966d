"""Trains the vector channel's tower on what users wanted next; needs torch, once, and never at serving time.

Three tasks share one table of hashed text features (papers.md 2.5, with one tower instead of three):

- L_col: the mean of a user's recent items, newer ones weighing more, should lie near what the user wanted next;
- L_tag: an item's bare title, with words left out, should lie near the item (title, category and tags);
- L_cate: the same title should lie near the other items of its category.

Each is a softmax over the whole catalogue, which sampled negatives with a correction only approximate; a few thousand items
allow it. Knows nothing about logs or files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from models.entities import Item
from models.profiles.policy import DAY_MS
from models.retrieval.retriever import UNWANTED
from models.retrieval.text import features, item_text, words
from models.retrieval.vectors import Tower
from models.training.samples import Sample

INT8 = 127


@dataclass(frozen=True, kw_only=True)
class TowerPlan:
    """What is trained, and for how long."""

    buckets: int = 2**15  # feature rows; the shipped catalogue has 14,000 distinct features, so few collide
    dimensions: int = 64  # 2 MiB of table, under 3 MB shipped; 128 gained nothing that validation could see
    temperature: float = 0.07  # cosine units per unit of logit
    history_decay: float = 0.9  # as in RetrievalPolicy: what is trained is what is asked
    tag_share: float = 0.5  # papers.md 2.5's alpha: L_col + alpha L_tag + (1 - alpha) L_cate
    word_dropout: float = 0.3  # of a title's words in L_tag and L_cate: an imagined title is never quite the item's
    serendipitous_share: float = 0.5  # of the positives where a day has both kinds (papers.md 1.6: a higher share of them)
    half_life_days: float = 30.0  # a day that old is drawn half as often as the newest: what is wanted changes with the season
    batch: int = 256  # visit days per step
    steps: int = 400
    learning_rate: float = 3e-3
    seed: int = 7


class Example(NamedTuple):
    """One visit day as rows of the catalogue: the history before it, oldest first, and what was wanted on it."""

    as_of_ms: int
    history: NDArray[np.int64]
    serendipitous: NDArray[np.int64]
    others: NDArray[np.int64]


def examples(samples: Iterable[Sample], row: Callable[[str], int | None]) -> list[Example]:
    """The samples that have both a history and something wanted, as rows.

    Args:
        samples: of the training part only.
        row: an item's row; None where the catalogue lacks it.
    """

    def rows(item_ids: Iterable[str | None]) -> NDArray[np.int64]:
        found = (row(item_id) for item_id in item_ids if item_id is not None)
        return np.array([one for one in found if one is not None], dtype=np.int64)

    every = (
        Example(
            as_of_ms=sample.as_of_ms,
            history=rows(one.item_id for one in sample.digest.history if one.type not in UNWANTED),
            serendipitous=rows(sample.serendipitous),
            others=rows(sample.others),
        )
        for sample in samples
    )
    return [one for one in every if len(one.history) and len(one.serendipitous) + len(one.others)]


def train(
    items: Sequence[Item], given: Sequence[Example], *, plan: TowerPlan, name: str, report: Callable[[int, float], None]
) -> Tower:
    """A trained tower.

    Args:
        items: the catalogue, by the examples' rows.
        given: what to learn from.
        plan: sizes and weights.
        name: goes into the tower.
        report: told the step and its loss, now and then.

    Raises:
        ValueError: there is nothing to learn from.

    Cost: three minutes on two cores for 3,700 items.
    """
    if not given:
        message = "given: 0 examples, must be at least 1"
        raise ValueError(message)
    draw = np.random.default_rng(plan.seed)
    batches = _Batches(items, given, plan, draw)
    start = draw.normal(scale=0.1, size=(len(batches.used), plan.dimensions))
    table = torch.from_numpy(start.astype(np.float32)).requires_grad_()
    optimiser = torch.optim.Adam([table], lr=plan.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, plan.steps)
    for step in range(plan.steps):
        loss = _loss(table, batches, plan)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        if step % 50 == 0 or step == plan.steps - 1:
            report(step, float(loss.detach()))
    whole = np.zeros((plan.buckets, plan.dimensions), dtype=np.int8)
    whole[batches.used] = _whole(table.detach().numpy())
    return Tower(whole, name=name)


class _Bags:
    """Texts as a sparse matrix of feature counts, so that all sums are one product, forwards and backwards.

    Features that no item has are left out: nothing can be learnt for them.
    """

    def __init__(self, texts: Sequence[str], used: NDArray[np.int64], buckets: int) -> None:
        rows: list[int] = []
        columns: list[int] = []
        for row, text in enumerate(texts):
            found = np.array(features(text, buckets=buckets), dtype=np.int64)
            places = np.minimum(np.searchsorted(used, found), len(used) - 1)
            known = places[used[places] == found]
            rows.extend([row] * len(known))
            columns.extend(known.tolist())
        places = torch.tensor([rows, columns], dtype=torch.int64)
        shape = (len(texts), len(used))
        # Rows and columns are in bounds by construction; the check that is off costs as much as the product.
        self._counts = torch.sparse_coo_tensor(places, torch.ones(len(rows)), shape, check_invariants=False).coalesce()

    def __call__(self, table: Tensor) -> Tensor:
        """The unit vectors of the texts."""
        return functional.normalize(torch.sparse.mm(self._counts, table), dim=1)


class _Batches:
    """Draws what a step needs."""

    def __init__(self, items: Sequence[Item], given: Sequence[Example], plan: TowerPlan, draw: np.random.Generator) -> None:
        self._plan = plan
        self._draw = draw
        self._given = given
        ages_days = (max(one.as_of_ms for one in given) - np.array([one.as_of_ms for one in given])) / DAY_MS
        chances = np.exp2(-ages_days / plan.half_life_days)
        self._chances = np.cumsum(chances / chances.sum())
        self._titles = [words(item.title) for item in items]
        texts = [item_text(item) for item in items]
        self.used = np.unique([one for text in texts for one in features(text, buckets=plan.buckets)])
        self.items = _Bags(texts, self.used, plan.buckets)
        names = {leaf: number for number, leaf in enumerate(sorted({item.leaf for item in items}))}
        self.categories = torch.tensor([names[item.leaf] for item in items])
        self._members = {number: np.flatnonzero(self.categories.numpy() == number) for number in names.values()}

    def days(self) -> tuple[Tensor, Tensor]:
        """User weights over the catalogue, and the row that each user wanted.

        Shapes: `(batch, items)` float32 and `(batch,)`.
        """
        picked = np.searchsorted(self._chances[:-1], self._draw.random(self._plan.batch), side="right")
        weights = np.zeros((self._plan.batch, len(self._titles)), dtype=np.float32)
        wanted = np.zeros(self._plan.batch, dtype=np.int64)
        for place, number in enumerate(picked):
            example = self._given[number]
            ages = np.arange(len(example.history) - 1, -1, -1)
            np.add.at(weights[place], example.history, (self._plan.history_decay**ages).astype(np.float32))
            wanted[place] = self._draw.choice(self._kind(example))
        return torch.from_numpy(weights), torch.from_numpy(wanted)

    def titles(self, rows: Tensor) -> _Bags:
        """The titles of items, with words left out; at least one word stays."""
        texts = []
        for row in rows.tolist():
            title = self._titles[row]
            kept = [word for word in title if self._draw.random() >= self._plan.word_dropout]
            texts.append(" ".join(kept or title[:1]))
        return _Bags(texts, self.used, self._plan.buckets)

    def companions(self, rows: Tensor) -> Tensor:
        """For each item one of its category, itself among them, drawn with equal chances."""
        kinds = self.categories[rows].tolist()
        return torch.tensor([int(self._draw.choice(self._members[kind])) for kind in kinds])

    def _kind(self, example: Example) -> NDArray[np.int64]:
        if not len(example.others) or not len(example.serendipitous):
            return example.others if len(example.others) else example.serendipitous
        return example.serendipitous if self._draw.random() < self._plan.serendipitous_share else example.others


def _loss(table: Tensor, batches: _Batches, plan: TowerPlan) -> Tensor:
    weights, wanted = batches.days()
    items = batches.items(table)
    users = functional.normalize(weights @ items, dim=1)
    logits = batches.titles(wanted)(table) @ items.T / plan.temperature
    loss_col = functional.cross_entropy(users @ items.T / plan.temperature, wanted)
    loss_tag = functional.cross_entropy(logits, wanted)
    loss_cate = _category_loss(logits, wanted, batches)
    return loss_col + plan.tag_share * loss_tag + (1.0 - plan.tag_share) * loss_cate


def _category_loss(logits: Tensor, wanted: Tensor, batches: _Batches) -> Tensor:
    """-log(e^positive / (e^positive + sum over other categories)), the positive one of the wanted item's category.

    papers.md 2.5 sums over all of the category; a drawn one has the mean of that for its expectation, and no size of category
    counts for more than another.
    """
    same = batches.categories[wanted][:, None] == batches.categories[None, :]
    negatives = torch.logsumexp(logits.masked_fill(same, -1e9), dim=1)
    positives = logits.gather(1, batches.companions(wanted)[:, None])[:, 0]
    return functional.softplus(negatives - positives).mean()


def _whole(weights: NDArray[np.float32]) -> NDArray[np.int8]:
    """The table in 8 bits.

    The scale is the largest value that all but one in ten thousand stay below: one far value would coarsen the rest.
    """
    top = float(np.quantile(np.abs(weights), 0.9999))
    whole: NDArray[np.int8] = np.clip(np.rint(weights * (INT8 / top)), -INT8, INT8).astype(np.int8)
    return whole
