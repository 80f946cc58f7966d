"""The whole recipe, from samples to a checkpoint folder: tokenizer, starting vectors, phases, conversion.

Knows nothing about where samples and items come from. Only the train part teaches; the validation part chooses when a phase
ends; samples of the test part are refused. Needs the `train` extra.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import msgspec
import torch
from msgspec import Struct
from transformers import Qwen3ForCausalLM

from models.entities import Item
from models.serengpt.checkpoint import Manifest
from models.serengpt.tokens import TitleTokenizer
from models.training.convert import save_checkpoint
from models.training.embeddings import token_vectors
from models.training.examples import Example, Task, corpus, documents, examples
from models.training.samples import Sample
from models.training.sft import ModelShape, Phase, Step, Training, new_model
from models.training.tokenizer import train_tokenizer


def _phases() -> tuple[Phase, ...]:
    """What one core trains in about twenty minutes.

    Longer and with shorter half-lives (900 steps at 45 days, 300 at 30) the loss on the validation part was lower (1.68), and
    the ranking worse: fewer days to learn from teach what is in season, and less of who wants what.
    """
    return (
        Phase(name="wanted", serendipitous_only=False, steps=700, learning_rate=2.5e-3, half_life_days=90.0),
        Phase(
            name="serendipity",
            serendipitous_only=True,
            steps=150,
            learning_rate=6e-4,
            half_life_days=60.0,
            check_steps=50,
        ),
    )


def _base_phases() -> tuple[Phase, ...]:
    """What one GPU trains in well under an hour, by the arithmetic; nobody has run it."""
    return (
        Phase(
            name="wanted",
            serendipitous_only=False,
            steps=4000,
            learning_rate=6e-4,
            half_life_days=90.0,
            rows=64,
            check_steps=250,
        ),
        Phase(
            name="serendipity",
            serendipitous_only=True,
            steps=800,
            learning_rate=1e-4,
            half_life_days=60.0,
            rows=64,
            check_steps=100,
        ),
    )


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that decides what comes out, besides the samples and the seed."""

    vocabulary: int = 3072  # tokens; nearly every word of a catalogue of 3,700 names is one
    shape: ModelShape = field(default_factory=ModelShape)
    phases: tuple[Phase, ...] = field(default_factory=_phases)
    task: Task = "title"  # what the model writes
    # (user, item) that the phases of serendipitous titles do not teach: alignment's half, and what denoising took out.
    left_out: frozenset[tuple[str, str]] = frozenset()

    def at_most(self, steps: int) -> Recipe:
        """The recipe with no phase longer than `steps`, for a quick look at a log."""
        return replace(self, phases=tuple(replace(phase, steps=min(phase.steps, steps)) for phase in self.phases))


def recipe_of(size: Literal["small", "base"]) -> Recipe:
    """The recipe of a size: `small` is what ships (2 million parameters), `base` is for one GPU (82 million)."""
    if size == "small":
        return Recipe()
    shape = ModelShape(hidden=768, layers=12, feed_forward=2048, heads=12, key_value_heads=4)
    return Recipe(vocabulary=8192, shape=shape, phases=_base_phases())


class PhaseResult(Struct, frozen=True, kw_only=True):
    """How a phase went. `validation_loss`: of the weights that it hands on, in nats per token of a serendipitous title."""

    name: str
    titles: str
    learning_rate: float
    half_life_days: float
    days_per_step: int
    steps: int
    best_step: int
    validation_loss: float | None


class Trained(Struct, frozen=True, kw_only=True):
    """What a run made."""

    manifest: Manifest
    parameters: int
    vocabulary: int
    phases: tuple[PhaseResult, ...]


def train_serengpt(
    train: Sequence[Sample],
    validation: Sequence[Sample],
    item: Callable[[str], Item | None],
    *,
    recipe: Recipe,
    seed: int,
    folder: Path,
    name: str,
    watch: Callable[[Step], None],
) -> Trained:
    """Trains a SerenGPT from nothing and writes its checkpoint.

    A run that was stopped goes on where it stood when it is started again with the same arguments: state lies in `folder`
    below `unfinished/` until the checkpoint is written.

    Args:
        train: samples that teach.
        validation: samples that choose when a phase ends.
        item: looks an item up by id.
        recipe: every size and rate.
        seed: of the first weights and all draws.
        folder: gets the checkpoint.
        name: of the model.
        watch: is told of every step.

    Raises:
        ValueError: there is nothing to learn from.
    """
    if not train:
        message = "train: 0 samples; the log has no visit day in the train part"
        raise ValueError(message)
    written = train_tokenizer(corpus(train, item), vocabulary=recipe.vocabulary)
    tokenizer = TitleTokenizer(written)
    given = {False: train, True: [_without(sample, recipe.left_out) for sample in train]}
    rows = {
        only: examples(samples, item, tokenizer, serendipitous_only=only, task=recipe.task) for only, samples in given.items()
    }
    if not (rows[False] and rows[True]):
        message = f"train: {len(rows[False])} samples have a {recipe.task} to teach, {len(rows[True])} a serendipitous one"
        raise ValueError(message)
    checked = examples(validation, item, tokenizer, serendipitous_only=True, task=recipe.task)
    model = _untrained(rows[False], tokenizer, recipe.shape, seed)
    unfinished = folder / "unfinished"
    unfinished.mkdir(parents=True, exist_ok=True)
    results = []
    for number, phase in enumerate(recipe.phases, 1):
        save = unfinished / f"{number}-{phase.name}.pt"
        taught = rows[phase.serendipitous_only]
        training = Training(model, tokenizer, phase, rows=taught, validation=checked, seed=seed, save=save)
        training.run(watch)
        results.append(_result(phase, training))
    manifest = save_checkpoint(folder, model, written, name=name)
    for state in sorted(unfinished.iterdir()):
        state.unlink()
    unfinished.rmdir()
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return Trained(manifest=manifest, parameters=parameters, vocabulary=tokenizer.size, phases=tuple(results))


def _without(sample: Sample, left_out: frozenset[tuple[str, str]]) -> Sample:
    if not left_out:
        return sample
    kept = tuple(item_id for item_id in sample.serendipitous if (sample.user_id, item_id) not in left_out)
    return msgspec.structs.replace(sample, serendipitous=kept)


def _untrained(rows: Sequence[Example], tokenizer: TitleTokenizer, shape: ModelShape, seed: int) -> Qwen3ForCausalLM:
    vectors, known = token_vectors(documents(rows), vocabulary=tokenizer.size, size=shape.hidden, seed=seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return new_model(shape, tokenizer, vectors=vectors, known=known, seed=seed).to(device)


def _result(phase: Phase, training: Training) -> PhaseResult:
    looked = training.best_step > 0
    return PhaseResult(
        name=phase.name,
        titles="serendipitous" if phase.serendipitous_only else "all wanted",
        learning_rate=phase.learning_rate,
        half_life_days=phase.half_life_days,
        days_per_step=phase.rows,
        steps=training.done,
        best_step=training.best_step if looked else training.done,
        validation_loss=training.best_loss if looked else None,
    )
