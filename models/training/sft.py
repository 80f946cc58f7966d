"""Supervised fine-tuning of SerenGPT on a recorded log: from a digest to the titles that were wanted next.

One row holds one visit day: the prompt once, then every title of the day, each seeing the prompt and itself only (a block mask
with restarted positions). That is the same loss as one row per title, at about a tenth of the work.

Phases follow each other, because Definition-1 samples alone are too few to teach a model from scratch what goes with what:
first all wanted items, then the serendipitous ones alone. In each, a share of the prompts is blanked to the reference prompt:
the model then also learns a title's probability when nothing is known of the user, which is what `prior_logprob` asks of it
and what a model that never saw a blank prompt could not answer (as in classifier-free guidance, Ho and Salimans 2022).

Knows nothing about files of events, or about the network beyond what transformers offers. Needs the `train` extra.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import Qwen3Config, Qwen3ForCausalLM

from models.profiles.policy import DAY_MS
from models.serengpt.prompt import reference_ids
from models.serengpt.tokens import ANSWER, END, PAD, STATIC, TitleTokenizer
from models.training.examples import Example

_IGNORED = -100
_VALIDATION_ROWS = 16
_VALIDATION_TITLES = 12  # per visit day; a day with fifty would outweigh the others


@dataclass(frozen=True, kw_only=True)
class ModelShape:
    """The network. About 2.2 million parameters: what one core samples 30 titles from in well under 100 ms."""

    hidden: int = 192
    layers: int = 4
    feed_forward: int = 512
    heads: int = 3
    key_value_heads: int = 1
    head_size: int = 64
    positions: int = 512  # longest row of an engine: the prompt's budget and one title, with room to spare


@dataclass(frozen=True, kw_only=True)
class Phase:
    """One phase of training."""

    name: str
    serendipitous_only: bool
    steps: int
    learning_rate: float
    half_life_days: float = 90.0  # a visit day so much older is drawn half as often: fashions and seasons pass
    rows: int = 16  # visit days per step
    titles: int = 16  # drawn anew per visit day and step; bounds a row's length
    warm_up: float = 0.05  # share of the steps
    weight_decay: float = 0.05
    blank_share: float = 0.15  # of the prompts
    prompt_weight: float = 0.2  # of the prompt's own tokens in the loss: its history is text of the same kind
    clip: float = 1.0  # largest norm of a step's gradient
    check_steps: int = 100  # between two looks at the validation loss
    patience: int = 4  # looks without a better one before the phase ends; its best weights go on


class Batch(NamedTuple):
    """Rows of equal length. `mask[b, 0, i, j]`: position i sees position j. `labels`: the next id, or ignored."""

    ids: Tensor
    positions: Tensor
    mask: Tensor
    labels: Tensor
    weights: Tensor


class Step(NamedTuple):
    """What a step tells whoever watches. `validation_loss` only where it was looked at: nats per token of a title."""

    phase: str
    step: int
    loss: float
    validation_loss: float | None


def new_model(
    shape: ModelShape, tokenizer: TitleTokenizer, *, vectors: NDArray[np.float32], known: NDArray[np.bool_], seed: int
) -> Qwen3ForCausalLM:
    """A Qwen3 with random weights, except for the tokens that have a vector to start from."""
    torch.manual_seed(seed)
    config = Qwen3Config(
        vocab_size=tokenizer.size,
        hidden_size=shape.hidden,
        intermediate_size=shape.feed_forward,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.key_value_heads,
        head_dim=shape.head_size,
        max_position_embeddings=shape.positions,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.ids[PAD],
        bos_token_id=tokenizer.ids[STATIC],
        eos_token_id=tokenizer.ids[END],
    )
    model = Qwen3ForCausalLM(config)
    with torch.no_grad():
        model.model.embed_tokens.weight[torch.from_numpy(known)] = torch.from_numpy(vectors[known])
    return model


def pack(rows: Sequence[Example], tokenizer: TitleTokenizer, *, prompt_weight: float) -> Batch:
    """Rows side by side, padded to the longest: a prompt, then for each title the answer cue, the title and its end."""
    answer, end, pad = (tokenizer.ids[token] for token in (ANSWER, END, PAD))
    shape = (len(rows), max(len(row.prompt) + sum(len(title) + 1 for title in row.titles) for row in rows))
    ids = np.full(shape, pad)
    positions, block = np.zeros(shape, dtype=np.int64), np.full(shape, -1)
    labels, weights = np.full(shape, _IGNORED), np.zeros(shape, dtype=np.float32)
    for r, row in enumerate(rows):
        size = start = len(row.prompt)
        ids[r, :size], positions[r, :size], block[r, :size] = row.prompt, np.arange(size), 0
        labels[r, : size - 1], weights[r, : size - 1] = row.prompt[1:], prompt_weight
        for number, title in enumerate(row.titles, 1):
            place = slice(start, start + len(title) + 1)
            ids[r, place], labels[r, place], weights[r, place] = (answer, *title), (*title, end), 1.0
            positions[r, place], block[r, place] = np.arange(size, size + len(title) + 1), number
            start = place.stop
    blocks = torch.from_numpy(block)
    causal = torch.ones((shape[1], shape[1]), dtype=torch.bool).tril()
    mask = causal & ((blocks[:, None, :] == 0) | (blocks[:, None, :] == blocks[:, :, None]))
    return Batch(
        ids=torch.from_numpy(ids),
        positions=torch.from_numpy(positions),
        mask=mask[:, None],
        labels=torch.from_numpy(labels),
        weights=torch.from_numpy(weights),
    )


def token_losses(model: Qwen3ForCausalLM, batch: Batch) -> tuple[Tensor, Tensor]:
    """Cross-entropy of every position that weighs, in the order of rows and places, and the weights; bf16 on a GPU."""
    batch = Batch(*(part.to(model.device) for part in batch))
    asked = (batch.labels != _IGNORED) & (batch.weights > 0)
    with torch.autocast(model.device.type, dtype=torch.bfloat16, enabled=model.device.type == "cuda"):
        hidden = model.model(
            input_ids=batch.ids, position_ids=batch.positions, attention_mask=batch.mask, use_cache=False
        ).last_hidden_state
        logits = model.lm_head(hidden[asked]).float()
    return torch.nn.functional.cross_entropy(logits, batch.labels[asked], reduction="none"), batch.weights[asked]


def validation_loss(model: Qwen3ForCausalLM, rows: Sequence[Example], tokenizer: TitleTokenizer) -> float:
    """Nats per token of the titles of `rows`."""
    model.eval()
    kept = sorted((row._replace(titles=row.titles[:_VALIDATION_TITLES]) for row in rows), key=_length)
    with torch.inference_mode():
        losses = [
            token_losses(model, pack(kept[start : start + _VALIDATION_ROWS], tokenizer, prompt_weight=0.0))[0]
            for start in range(0, len(kept), _VALIDATION_ROWS)
        ]
        return float(torch.cat(losses).mean())


class Training:
    """One phase under way; `run` goes on from the last saved step, and ends in the same weights as if it never stopped.

    Args:
        model: is trained in place.
        rows: to draw from.
        validation: rows of the validation part; empty: no looks, and the phase runs all its steps.
        save: where state is kept, as often as there are looks; None keeps none.
        weights: how often each row is drawn; by its age, as the phase says, if left out.
    """

    def __init__(
        self,
        model: Qwen3ForCausalLM,
        tokenizer: TitleTokenizer,
        phase: Phase,
        *,
        rows: Sequence[Example],
        validation: Sequence[Example],
        seed: int,
        save: Path | None,
        weights: Sequence[float] | None = None,
    ) -> None:
        self.model = model
        self._tokenizer = tokenizer
        self._phase = phase
        self._rows = rows
        self._validation = validation
        self._seed = seed
        self._save = save
        self._weights = recency_weights(rows, half_life_days=phase.half_life_days) if weights is None else weights
        self._blank = tuple(reference_ids(tokenizer)[:-1])
        self._optimiser = torch.optim.AdamW(model.parameters(), betas=(0.9, 0.98), weight_decay=phase.weight_decay)
        self.done = 0
        self.best_step, self.best_loss, self._best = 0, math.inf, self._copy()

    def run(self, watch: Callable[[Step], None]) -> None:
        """Trains to the phase's end; the model then holds the best weights that the validation loss knew."""
        self._resume()
        phase = self._phase
        while self.done < phase.steps and not self._worn_out():
            loss = self._step(self.done)
            self.done += 1
            looked = None
            if self.done % phase.check_steps == 0 or self.done == phase.steps:
                looked = self._look()
                self._keep()
            watch(Step(phase.name, self.done, loss, looked))
        if self._validation:
            self.model.load_state_dict(self._best)

    def _look(self) -> float | None:
        if not self._validation:
            return None
        looked = validation_loss(self.model, self._validation, self._tokenizer)
        if looked < self.best_loss:
            self.best_step, self.best_loss, self._best = self.done, looked, self._copy()
        return looked

    def _step(self, step: int) -> float:
        """One step; its draws depend on the seed, the phase and the step alone, so resuming needs no generator's state."""
        phase = self._phase
        draw = random.Random(f"{self._seed}|{phase.name}|{step}")  # noqa: S311 - training draws, not secrets
        drawn = draw.choices(self._rows, weights=self._weights, k=phase.rows)
        rows = [
            Example(
                self._blank if draw.random() < phase.blank_share else row.prompt,
                tuple(draw.sample(row.titles, min(phase.titles, len(row.titles)))),
                row.as_of_ms,
            )
            for row in drawn
        ]
        self.model.train()
        for group in self._optimiser.param_groups:
            group["lr"] = phase.learning_rate * pace(step, steps=phase.steps, warm_up=phase.warm_up)
        losses, weights = token_losses(self.model, pack(rows, self._tokenizer, prompt_weight=phase.prompt_weight))
        loss = (losses * weights).sum() / weights.sum()
        self._optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), phase.clip)
        self._optimiser.step()
        return float(loss.detach())

    def _worn_out(self) -> bool:
        return self.done - self.best_step >= self._phase.patience * self._phase.check_steps and bool(self._validation)

    def _copy(self) -> dict[str, Tensor]:
        return {name: value.detach().clone() for name, value in self.model.state_dict().items()}

    def _keep(self) -> None:
        if self._save is None:
            return
        state = {
            "done": self.done,
            "model": self.model.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "best": (self.best_step, self.best_loss, self._best),
        }
        partial = self._save.with_suffix(".part")
        torch.save(state, partial)
        partial.replace(self._save)

    def _resume(self) -> None:
        if self._save is None or not self._save.exists():
            return
        state: dict[str, Any] = torch.load(self._save, weights_only=True)
        self.done = state["done"]
        self.model.load_state_dict(state["model"])
        self._optimiser.load_state_dict(state["optimiser"])
        self.best_step, self.best_loss, self._best = state["best"]


def recency_weights(rows: Sequence[Example], *, half_life_days: float) -> list[float]:
    """How often each row is drawn, against the newest."""
    newest = max((row.as_of_ms for row in rows), default=0)
    return [2.0 ** ((row.as_of_ms - newest) / (half_life_days * DAY_MS)) for row in rows]


def pace(step: int, *, steps: int, warm_up: float) -> float:
    """The share of the learning rate at a step: a linear rise, then half a cosine down to a twentieth.

    Example:
        >>> [round(pace(step, steps=100, warm_up=0.1), 3) for step in (0, 9, 99)]
        [0.1, 0.981, 0.05]
    """
    rise = min(1.0, (step + 1) / max(steps * warm_up, 1.0))
    return rise * (0.05 + 0.475 * (1 + math.cos(math.pi * step / steps)))


def _length(row: Example) -> int:
    return len(row.prompt) + sum(len(title) + 1 for title in row.titles)
