"""SASRec, a baseline: a small causal transformer over the items that a user wanted says which item comes next.

Kang and McAuley 2018; with a softmax over many negatives instead of one (Petrov and Macdonald 2023), which made it strong.
Input and output share the item table. Knows nothing about titles, profiles or logs. Needs torch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

Rows = NDArray[np.int64]
Piece = tuple[Rows, Rows, NDArray[np.float32]]  # what is read, what is asked after each place, and what that weighs
_DAY_MS = 86_400_000


class Day(NamedTuple):
    """A visit day: as of when, the rows that were wanted, in order, and those of them that were Definition-1 positives."""

    as_of_ms: int
    rows: Rows
    new: Rows


@dataclass(frozen=True, kw_only=True)
class SasrecPlan:
    """Sizes and rates; validation chooses among several."""

    dimensions: int = 64
    layers: int = 2
    heads: int = 2
    dropout: float = 0.2
    length: int = 50  # items of a sequence that are read, the newest
    # After each place: the item that follows, one of the next day, or one that was serendipitous on the next day with any.
    asks: Literal["next item", "next visit", "next new"] = "next item"
    negatives: int | None = 512  # drawn once per step, uniformly from all items; None: the whole catalogue
    half_life_days: float | None = None  # a step that old weighs half in the loss; None: all alike
    batch: int = 128  # sequences per step
    epochs: int = 20  # at most
    patience: int = 3  # epochs without a better validation, after which training ends; one epoch differs from the next by 0.01
    learning_rate: float = 1e-3
    seed: int = 7


# What validation chooses, one thing after the other, each beside the best of what came before: what is learned, then how.
# The first value of each is where the search begins. In all as much work as training SerenGPT (fifteen minutes of one core).
AXES: tuple[tuple[str, tuple[object, ...]], ...] = (
    ("asks", ("next item", "next new", "next visit")),
    ("learning_rate", (1e-3, 3e-4, 2e-3)),
    ("half_life_days", (45.0, 20.0, None)),
    ("dropout", (0.3, 0.1, 0.5)),
    ("length", (50, 20, 100)),
    ("dimensions", (64, 32, 128)),
    ("layers", (1, 2)),
    ("negatives", (512, None)),
)


def search(goodness: Callable[[SasrecPlan], float]) -> Iterator[tuple[SasrecPlan, float, bool]]:
    """Plans along `AXES`, one value changed at a time; a better one is where the next axis goes on.

    Args:
        goodness: trains a plan and says how good it is on the validation part, higher is better.

    Yields:
        Each plan, what was said of it, and whether it is the best so far.
    """
    best = SasrecPlan(**{axis: values[0] for axis, values in AXES})  # type: ignore[arg-type]
    most = goodness(best)
    yield best, most, True
    for axis, values in AXES:
        begun = best
        for value in values[1:]:
            plan = replace(begun, **{axis: value})  # type: ignore[arg-type]
            found = goodness(plan)
            if is_best := found > most:
                best, most = plan, found
            yield plan, found, is_best


class Sasrec(nn.Module):  # type: ignore[misc]
    """The network. Row 0 of its table is padding, so an item's row is one higher here."""

    def __init__(self, items: int, plan: SasrecPlan) -> None:
        super().__init__()
        self.plan = plan
        self.table = nn.Embedding(items + 1, plan.dimensions)
        self.places = nn.Embedding(plan.length, plan.dimensions)
        layer = nn.TransformerEncoderLayer(
            plan.dimensions, plan.heads, 4 * plan.dimensions, plan.dropout, "gelu", batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, plan.layers, enable_nested_tensor=False)
        self.last = nn.LayerNorm(plan.dimensions)
        self.drop = nn.Dropout(plan.dropout)
        for table in (self.table, self.places):
            nn.init.normal_(table.weight, std=0.02)

    def forward(self, sequences: Tensor) -> Tensor:
        """What is expected after each place. Shapes: `(batch, n)`, padded on the right, to `(batch, n, dimensions)`."""
        size = sequences.shape[1]
        inputs = self.drop(self.table(sequences) * math.sqrt(self.plan.dimensions) + self.places.weight[:size])
        # A place sees itself and what is before it, so padding on the right reaches nothing that counts.
        ahead = torch.triu(torch.ones(size, size, dtype=torch.bool), diagonal=1)
        found: Tensor = self.last(self.layers(inputs, mask=ahead))
        return found

    @torch.inference_mode()  # type: ignore[untyped-decorator]
    def scores(self, past: Sequence[Rows], items: Sequence[Rows]) -> list[list[float]]:
        """The logits of each case's items after its user's sequence; all alike where there is none."""
        self.eval()
        found = []
        for history, rows in zip(past, items, strict=True):
            if not len(history):
                found.append([0.0] * len(rows))
                continue
            user = self(torch.from_numpy(history[-self.plan.length :] + 1)[None])[0, -1]
            found.append((self.table.weight[torch.from_numpy(rows + 1)] @ user).tolist())
        return found


def train(
    days: Sequence[Sequence[Day]],
    *,
    items: int,
    plan: SasrecPlan,
    validate: Callable[[Sasrec], float],
    report: Callable[[int, float, float], None],
) -> Sasrec:
    """The network of the epoch that validation liked best.

    Args:
        days: each user's visit days of the train part, in order of time.
        items: rows of the catalogue.
        plan: sizes and rates.
        validate: how good a network is on the validation part, higher is better; asked after each epoch.
        report: told the epoch, its mean loss and what validation said.

    Raises:
        ValueError: nobody wanted something on two days.
    """
    torch.manual_seed(plan.seed)
    draw = np.random.default_rng(plan.seed)
    known = [[day for day in one if len(day.rows)] for one in days]
    known = [one for one in known if len(one) > 1 and (plan.asks != "next new" or any(len(day.new) for day in one[1:]))]
    if not known:
        message = "days: 0 users wanted something (new, where that is asked for) on two days, must be at least 1"
        raise ValueError(message)
    model = Sasrec(items, plan)
    optimiser = torch.optim.Adam(model.parameters(), lr=plan.learning_rate)
    best, best_epoch, kept = -math.inf, 0, model.state_dict()
    for epoch in range(plan.epochs):
        loss = _epoch(model, optimiser, known, items, draw)
        value = validate(model)
        report(epoch, loss, value)
        if value > best:
            best, best_epoch, kept = value, epoch, {name: one.clone() for name, one in model.state_dict().items()}
        elif epoch - best_epoch >= plan.patience:
            break
    model.load_state_dict(kept)
    return model


def _sequence(days: Sequence[Day], plan: SasrecPlan, now_ms: int, draw: np.random.Generator) -> Piece:
    """All of a user's days but the end, which is only asked for."""
    if plan.asks == "next new":
        days = days[: 1 + max(place for place, day in enumerate(days) if len(day.new))]
    rows = np.concatenate([day.rows for day in days])
    when = np.concatenate([np.full(len(day.rows), day.as_of_ms) for day in days])
    asked = rows[1:]
    if plan.asks != "next item":
        asked = np.concatenate([draw.choice(later, len(day.rows)) for day, later in _later(days, plan)])
    size = len(asked)
    ages = (now_ms - when[:size]) / _DAY_MS / plan.half_life_days if plan.half_life_days else np.zeros(size)
    return rows[:size], asked, np.exp2(-ages).astype(np.float32)


def _later(days: Sequence[Day], plan: SasrecPlan) -> list[tuple[Day, Rows]]:
    """Each day but the last, and what is drawn from after it; the last day must have some of it."""
    found, later = [], days[-1].new if plan.asks == "next new" else days[-1].rows
    for day in reversed(days[:-1]):
        found.append((day, later))
        if plan.asks == "next visit":
            later = day.rows
        elif len(day.new):
            later = day.new
    return found[::-1]


def _epoch(
    model: Sasrec, optimiser: torch.optim.Optimizer, known: Sequence[Sequence[Day]], items: int, draw: np.random.Generator
) -> float:
    """One pass over every user's sequence, cut at places that differ from pass to pass; the mean loss."""
    model.train()
    length, now_ms, pieces = model.plan.length, max(days[-1].as_of_ms for days in known), []
    for days in known:
        whole = _sequence(days, model.plan, now_ms, draw)
        first = -int(draw.integers(0, length)) if len(whole[0]) > length else 0
        cuts = [slice(max(0, cut), cut + length) for cut in range(first, len(whole[0]), length)]
        pieces += [(whole[0][cut], whole[1][cut], whole[2][cut]) for cut in cuts if cut.stop > 0]
    order, losses = draw.permutation(len(pieces)), []
    for start in range(0, len(order), model.plan.batch):
        loss = _loss(model, [pieces[place] for place in order[start : start + model.plan.batch]], items, draw)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    return sum(losses) / len(losses)


def _loss(model: Sasrec, batch: Sequence[Piece], items: int, draw: np.random.Generator) -> Tensor:
    read = nn.utils.rnn.pad_sequence([torch.from_numpy(rows + 1) for rows, _, _ in batch], batch_first=True)
    asked = torch.from_numpy(np.concatenate([asked + 1 for _, asked, _ in batch]))
    weights = torch.from_numpy(np.concatenate([weight for _, _, weight in batch]))
    found = model(read)[read != 0]
    if model.plan.negatives is None:
        losses = functional.cross_entropy(found @ model.table.weight.T, asked, reduction="none")
    else:
        drawn = torch.from_numpy(draw.integers(1, items + 1, model.plan.negatives))
        right = (found * model.table(asked)).sum(dim=1, keepdim=True)
        wrong = (found @ model.table(drawn).T).masked_fill(asked[:, None] == drawn[None, :], -1e9)
        losses = functional.cross_entropy(
            torch.cat([right, wrong], dim=1), torch.zeros(len(asked), dtype=torch.int64), reduction="none"
        )
    return (losses * weights).sum() / weights.sum()
