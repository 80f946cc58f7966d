"""A refresh: a trained SerenGPT goes on with what was wanted since, a few steps each week, so that it knows the season.

The loop is that of supervised fine-tuning. What differs is how often a day is drawn: days of the window share most of the
draws, recent ones first; the rest goes to older days, without which a model forgets what it is not shown (replay). Knows
nothing about where samples come from. Needs the `train` extra.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import msgspec
import torch
from msgspec import Struct
from tokenizers import Tokenizer
from transformers import Qwen3ForCausalLM

from models.entities import Item
from models.profiles.policy import DAY_MS
from models.serengpt.checkpoint import TOKENIZER, Manifest, read_weights_checkpoint
from models.training.convert import save_checkpoint
from models.training.examples import Example, examples
from models.training.refresh_card import RECORD, RefreshRecord, Window
from models.training.samples import Sample
from models.training.sft import Phase, Step, Training

_UNFINISHED = "unfinished"


@dataclass(frozen=True, kw_only=True)
class RefreshPolicy:
    """How a checkpoint is refreshed."""

    steps: int = 60  # of 16 visit days: one core does them in under a minute
    learning_rate: float = 6e-4
    serendipitous_only: bool = True  # teach what became serendipitous alone, or all that was wanted
    half_life_days: float = 7.0  # a day of the window that is so much older is drawn half as often
    replay_ratio: float = 0.3  # of the draws that go to days before the window
    replay_half_life_days: float = 60.0  # among those
    save_steps: int = 20  # between two states from which a stopped run goes on
    seed: int = 7  # of all draws

    def __post_init__(self) -> None:
        for name in ("steps", "learning_rate", "half_life_days", "replay_half_life_days", "save_steps"):
            if getattr(self, name) <= 0:
                message = f"{name}: {getattr(self, name)}, must be above 0"
                raise ValueError(message)
        if not 0.0 <= self.replay_ratio < 1.0:
            message = f"replay_ratio: {self.replay_ratio}, must be in [0, 1)"
            raise ValueError(message)


class Refreshed(Struct, frozen=True, kw_only=True):
    """What a run made."""

    manifest: Manifest
    record: RefreshRecord


def refresh(
    base: Path,
    samples: Sequence[Sample],
    item: Callable[[str], Item | None],
    *,
    window: Window,
    policy: RefreshPolicy,
    folder: Path,
    name: str,
    watch: Callable[[Step], None],
) -> Refreshed:
    """Goes on from a checkpoint and writes the next one.

    A run that was stopped goes on where it stood when it is started again with the same arguments; with others it begins anew.

    Args:
        base: the checkpoint to go on from.
        samples: of a log; visit days that begin at the window's end or later are not looked at.
        item: looks an item up by id.
        window: what the checkpoint has not seen.
        policy: every size and rate, and the seed.
        folder: gets the checkpoint, and the record of how it was made.
        name: of the model.
        watch: is told of every step.

    Raises:
        ValueError: no day of the window has anything to teach.
        CheckpointError: `base` cannot be read.
    """
    checkpoint = read_weights_checkpoint(base)
    seen = [sample for sample in samples if sample.as_of_ms < window.until_ms]
    rows = examples(seen, item, checkpoint.tokenizer, serendipitous_only=policy.serendipitous_only)
    weights = draw_weights(rows, window, policy)
    model = Qwen3ForCausalLM.from_pretrained(base, dtype=torch.float32)
    arguments = f"{checkpoint.model_id}|{window}|{len(rows)}|{policy}"
    save = folder / _UNFINISHED / f"{hashlib.blake2b(arguments.encode(), digest_size=8).hexdigest()}.pt"
    save.parent.mkdir(parents=True, exist_ok=True)
    training = Training(
        model,
        checkpoint.tokenizer,
        _phase(policy),
        rows=rows,
        validation=(),
        seed=policy.seed,
        save=save,
        weights=weights,
    )
    training.run(watch)
    manifest = save_checkpoint(folder, model, Tokenizer.from_file(str(base / TOKENIZER)), name=name)
    in_window = sum(row.as_of_ms >= window.since_ms for row in rows)
    record = RefreshRecord(
        name=name,
        parent=checkpoint.model_id,
        since_ms=window.since_ms,
        until_ms=window.until_ms,
        window_days=in_window,
        older_days=len(rows) - in_window,
        policy=asdict(policy),
    )
    (folder / RECORD).write_bytes(msgspec.json.format(msgspec.json.encode(record)) + b"\n")
    shutil.rmtree(folder / _UNFINISHED)
    return Refreshed(manifest=manifest, record=record)


def draw_weights(rows: Sequence[Example], window: Window, policy: RefreshPolicy) -> list[float]:
    """How often each row is drawn: the window's rows share what replay leaves, each half as often per half-life of age.

    Args:
        rows: of days before the window's end.
        window: ages of its rows count from its end, those of older rows from its beginning.
        policy: shares and half-lives.

    Raises:
        ValueError: no row is of the window.

    Example:
        Two days of the window, a half-life apart, and one before it:

        >>> rows = [Example((), (), day * DAY_MS) for day in (0, 10, 17)]
        >>> policy = RefreshPolicy(half_life_days=7.0, replay_ratio=0.25)
        >>> [round(one, 3) for one in draw_weights(rows, Window(9 * DAY_MS, 18 * DAY_MS), policy)]
        [0.25, 0.25, 0.5]
    """
    recent = [row.as_of_ms >= window.since_ms for row in rows]
    if not any(recent):
        message = f"samples: 0 days of {window} have a title to teach, must be at least 1"
        raise ValueError(message)
    ages = [
        (row.as_of_ms - window.until_ms) / policy.half_life_days
        if new
        else (row.as_of_ms - window.since_ms) / policy.replay_half_life_days
        for row, new in zip(rows, recent, strict=True)
    ]
    drawn = [2.0 ** (age / DAY_MS) for age in ages]
    window = sum(one for one, new in zip(drawn, recent, strict=True) if new)
    older = sum(one for one, new in zip(drawn, recent, strict=True) if not new)
    share = policy.replay_ratio if older else 0.0
    return [one * (1.0 - share) / window if new else one * share / older for one, new in zip(drawn, recent, strict=True)]


def _phase(policy: RefreshPolicy) -> Phase:
    return Phase(
        name="refresh",
        serendipitous_only=policy.serendipitous_only,
        steps=policy.steps,
        learning_rate=policy.learning_rate,
        check_steps=policy.save_steps,
    )
