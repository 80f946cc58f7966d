"""The whole recipe, from samples to a checkpoint folder: tokenizer, starting vectors, phases, conversion.

Knows nothing about where samples and items come from. Only the train part teaches; the validation part chooses when a phase
ends; samples of the test part are refused. Needs the `train` extra.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from msgspec import Struct

from models.entities import Item
from models.serengpt.checkpoint import Manifest
from models.serengpt.tokens import TitleTokenizer
from models.training.convert import save_checkpoint
from models.training.embeddings import token_vectors
from models.training.examples import corpus, documents, examples
from models.training.samples import Sample
from models.training.sft import ModelShape, Phase, Step, Training, new_model
from models.training.split import TimeSplit
from models.training.tokenizer import train_tokenizer


def _phases() -> tuple[Phase, ...]:
    """What one core trains in about a quarter of an hour."""
    return (
        Phase(name="wanted", serendipitous_only=False, steps=700, learning_rate=2.5e-3),
        Phase(
            name="serendipity",
            serendipitous_only=True,
            steps=150,
            learning_rate=6e-4,
            half_life_days=60.0,
            check_steps=50,
        ),
    )


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that decides what comes out, besides the samples and the seed."""

    vocabulary: int = 3072  # tokens; nearly every word of a catalogue of 3,700 names is one
    shape: ModelShape = field(default_factory=ModelShape)
    phases: tuple[Phase, ...] = field(default_factory=_phases)


class PhaseResult(Struct, frozen=True, kw_only=True):
    """How a phase went. `validation_loss`: of the weights that it hands on, in nats per token of a serendipitous title."""

    name: str
    steps: int
    best_step: int
    validation_loss: float | None


class Trained(Struct, frozen=True, kw_only=True):
    """What a run made."""

    manifest: Manifest
    parameters: int
    train_days: int
    train_serendipitous: int
    train_wanted: int
    validation_days: int
    validation_serendipitous: int
    phases: tuple[PhaseResult, ...]


def split_samples(samples: Sequence[Sample], split: TimeSplit) -> tuple[list[Sample], list[Sample]]:
    """The train part and the validation part; the test part is left out."""
    train = [sample for sample in samples if split.part(sample.as_of_ms) == "train"]
    validation = [sample for sample in samples if split.part(sample.as_of_ms) == "validation"]
    return train, validation


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
    rows = {only: examples(train, item, tokenizer, serendipitous_only=only) for only in (False, True)}
    checked = examples(validation, item, tokenizer, serendipitous_only=True)
    vectors, known = token_vectors(documents(rows[False]), vocabulary=tokenizer.size, size=recipe.shape.hidden, seed=seed)
    model = new_model(recipe.shape, tokenizer, vectors=vectors, known=known, seed=seed)
    unfinished = folder / "unfinished"
    unfinished.mkdir(parents=True, exist_ok=True)
    results = []
    for number, phase in enumerate(recipe.phases, 1):
        training = Training(
            model,
            tokenizer,
            phase,
            rows=rows[phase.serendipitous_only],
            validation=checked,
            seed=seed,
            save=unfinished / f"{number}-{phase.name}.pt",
        )
        training.run(watch)
        results.append(_result(phase, training))
    manifest = save_checkpoint(folder, model, written, name=name)
    for state in sorted(unfinished.iterdir()):
        state.unlink()
    unfinished.rmdir()
    return Trained(
        manifest=manifest,
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        train_days=len(train),
        train_serendipitous=sum(len(sample.serendipitous) for sample in train),
        train_wanted=sum(len(sample.serendipitous) + len(sample.others) for sample in train),
        validation_days=len(validation),
        validation_serendipitous=sum(len(sample.serendipitous) for sample in validation),
        phases=tuple(results),
    )


def _result(phase: Phase, training: Training) -> PhaseResult:
    looked = training.best_step > 0
    return PhaseResult(
        name=phase.name,
        steps=training.done,
        best_step=training.best_step if looked else training.done,
        validation_loss=training.best_loss if looked else None,
    )
