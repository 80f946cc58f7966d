"""`seren train`: models from a recorded log. Needs the `train` extra."""

from __future__ import annotations

import os
import platform
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from streams.cli.extras import need_train
from streams.cli.options import json_option, print_json
from streams.cli.train_align import align_command
from streams.cli.train_data import data
from streams.cli.train_denoise import denoise
from streams.cli.train_distil import distil
from streams.cli.train_pairs import pairs
from streams.cli.train_refresh import refresh_command
from streams.cli.train_sasrec import sasrec
from streams.cli.train_season import season
from streams.cli.train_small import small
from streams.cli.train_tower import tower
from streams.cli.train_verdicts import verdicts
from streams.cli.train_words import words_command

if TYPE_CHECKING:
    from rich.console import Console

    from models.training.card import Made, Origin, Ranked
    from models.training.examples import Task
    from models.training.recipe import Recipe, Trained
    from models.training.sft import Step
    from streams.recorded.logs import RecordedLog
    from streams.samples import LabelledLog

_FOLDER = click.Path(file_okay=False, path_type=Path)
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_RECENT_DAYS = 28  # of the training part, for the popularity that the card compares with


@click.group("train")
def train_group() -> None:
    """Train models on a recorded log."""


train_group.add_command(tower)
train_group.add_command(refresh_command)
train_group.add_command(sasrec)
train_group.add_command(season)
train_group.add_command(distil)
train_group.add_command(data)
train_group.add_command(verdicts)
train_group.add_command(words_command)
train_group.add_command(denoise)
train_group.add_command(pairs)
train_group.add_command(align_command)
train_group.add_command(small)


@train_group.command("sft")
@click.option("--log", "folder", type=_FOLDER, help="A log folder; the shipped one if left out.")
@click.option("--out", type=_FOLDER, required=True, help="Folder for the checkpoint; a run that was stopped goes on there.")
@click.option("--name", default="serengpt-small", show_default=True, help="Of the model; part of its id.")
@click.option("--seed", type=int, default=7, show_default=True, help="Of the first weights and all draws.")
@click.option(
    "--threads", type=click.IntRange(min=1), default=1, show_default=True, help="Of torch; part of what is repeated."
)
@click.option("--steps", type=click.IntRange(min=1), help="Most steps of each phase; the recipe's if left out.")
@click.option("--size", type=click.Choice(["small", "base"]), default="small", show_default=True, help="base: for one GPU.")
@click.option("--samples", type=_FILE, help="What `seren train data` wrote: its SFT half alone teaches serendipitous titles.")
@click.option("--task", type=click.Choice(["title", "query"]), default="title", show_default=True, help="What it writes.")
@click.option("--without-profile", is_flag=True, help="Teach with the recent history alone (the ablation).")
@click.option("--untrained", is_flag=True, help="No step: the network as it begins, with the counts' vectors (zero-shot).")
@click.option("--cases", type=click.IntRange(min=0), default=400, show_default=True, help="Ranked on the validation part.")
@json_option
def sft(
    *,
    folder: Path | None,
    out: Path,
    name: str,
    seed: int,
    threads: int,
    steps: int | None,
    size: Literal["small", "base"],
    samples: Path | None,
    task: Task,
    without_profile: bool,
    untrained: bool,
    cases: int,
    as_json: bool,
) -> None:
    """Teach SerenGPT the titles that were wanted next, on the first part of a log, and write a checkpoint to --out."""
    need_train("seren train sft", "torch", "transformers")
    from dataclasses import replace

    import torch
    from msgspec import to_builtins
    from rich.console import Console

    from models.profiles import ProfilePolicy
    from models.training.card import model_card
    from models.training.recipe import recipe_of
    from streams.recorded.logs import RecordedLog, shipped_log
    from streams.samples import read_samples

    torch.set_num_threads(threads)
    console = Console(stderr=True)
    recorded = RecordedLog(folder) if folder else shipped_log("online-retail")
    with console.status("Replaying the log through the profiles"):
        log = read_samples(recorded, policy=ProfilePolicy())
    recipe = replace(recipe_of(size), task=task, left_out=_left_out(samples) if samples else frozenset())
    recipe = recipe.at_most(steps) if steps else recipe
    recipe = replace(recipe, phases=()) if untrained else recipe
    started = time.monotonic()
    trained = _train(log, recipe, console, out=out, name=name, seed=seed, without_profile=without_profile)
    seconds = time.monotonic() - started
    ranked = _rank(log, out, limit=cases, seed=seed) if cases and task == "title" else []
    origin = _origin(log, recorded, seed=seed, seconds=seconds)
    (out / "README.md").write_text(model_card(_made(trained), origin, ranked, cases=cases))
    if as_json:
        print_json({"folder": str(out), "trained": to_builtins(trained), "validation": to_builtins(ranked)})
    else:
        _show(trained, out)


def _left_out(path: Path) -> frozenset[tuple[str, str]]:
    """What of the training part the file does not leave to supervised fine-tuning, or denoising took out."""
    from models.training.preferences import is_wanted
    from streams.alignment.files import read_samples as read_alignment

    return frozenset((one.user_id, one.item_id) for one in read_alignment(path) if one.split != "sft" or not is_wanted(one))


def _train(
    log: LabelledLog, recipe: Recipe, console: Console, *, out: Path, name: str, seed: int, without_profile: bool
) -> Trained:
    from msgspec.structs import replace
    from rich.progress import Progress, TextColumn

    from models.training.preferences import without_profile as history_only
    from models.training.recipe import train_serengpt

    train, validation = log.part("train"), log.part("validation")
    if without_profile:
        train, validation = ([replace(one, digest=history_only(one.digest)) for one in part] for part in (train, validation))
    with Progress(*Progress.get_default_columns(), TextColumn("{task.fields[loss]}"), console=console) as progress:
        tasks = {phase.name: progress.add_task(phase.name, total=phase.steps, loss="") for phase in recipe.phases}
        looked: dict[str, str] = {}

        def watch(step: Step) -> None:
            if step.validation_loss is not None:
                looked[step.phase] = f", validation {step.validation_loss:.3f}"
            progress.update(tasks[step.phase], completed=step.step, loss=f"loss {step.loss:.3f}{looked.get(step.phase, '')}")

        return train_serengpt(
            train,
            validation,
            log.catalogue.get,
            recipe=recipe,
            seed=seed,
            folder=out,
            name=name,
            watch=watch,
        )


def _rank(log: LabelledLog, checkpoint: Path, *, limit: int, seed: int) -> list[Ranked]:
    """SerenGPT's readings beside popularity, the category rule and chance, on the validation part."""
    from models.evaluation import rankers, serengpt
    from models.evaluation.ranking import cases, report
    from models.profiles.policy import DAY_MS
    from models.serengpt.embedded import load_engine
    from models.training.card import Ranked

    asked = cases(log.part("validation"), catalogue=log.catalogue, seed=seed, limit=limit)
    if not asked:
        return []
    batches = serengpt.scored_batches(asked, engine=load_engine(checkpoint), catalogue=log.catalogue)
    scored = [case for batch in batches for case in batch]
    counts = rankers.popularity_counts(log.part("train"))
    season = rankers.popularity_counts(log.part("train"), since_ms=log.split.train_end_ms - _RECENT_DAYS * DAY_MS)
    scores = {f"SerenGPT: {name}": serengpt.read(scored, reading) for name, reading in serengpt.READINGS.items()}
    scores["popularity"] = rankers.by_popularity(asked, counts)
    scores[f"popularity, last {_RECENT_DAYS} days"] = rankers.by_popularity(asked, season)
    scores["category rule"] = rankers.by_category(asked, log.catalogue)
    scores["random"] = rankers.by_chance(asked, seed=seed)
    reports = [report(name, asked, found, seed=seed) for name, found in scores.items()]
    return [Ranked(name=one.name, metrics={name: value.mean for name, value in one.metrics.items()}) for one in reports]


def _made(trained: Trained) -> Made:
    from msgspec import to_builtins

    from models.training.card import Made

    return Made(
        name=trained.manifest.name,
        parameters=trained.parameters,
        vocabulary=trained.vocabulary,
        phases=tuple(to_builtins(phase) for phase in trained.phases),
        sha256=trained.manifest.sha256,
    )


def _origin(log: LabelledLog, recorded: RecordedLog, *, seed: int, seconds: float) -> Origin:
    from models.training.card import Origin

    train, validation = log.part("train"), log.part("validation")
    return Origin(
        data=recorded.about.name,
        licence=recorded.about.licence,
        source=recorded.about.source,
        split=log.split,
        counts={
            "train: visit days": len(train),
            "train: items wanted": sum(len(sample.serendipitous) + len(sample.others) for sample in train),
            "train: of them serendipitous": sum(len(sample.serendipitous) for sample in train),
            "validation: visit days": len(validation),
            "validation: serendipitous items": sum(len(sample.serendipitous) for sample in validation),
        },
        seed=seed,
        command=" ".join(("seren", *sys.argv[1:])),
        hardware=f"{os.cpu_count()} cores ({platform.machine()}), no accelerator",
        seconds=seconds,
    )


def _show(trained: Trained, out: Path) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("phase", "titles", "steps", "best step", "validation loss", title=f"{trained.manifest.name} in {out}")
    for phase in trained.phases:
        loss = "" if phase.validation_loss is None else f"{phase.validation_loss:.3f}"
        table.add_row(phase.name, phase.titles, str(phase.steps), str(phase.best_step), loss)
    Console().print(table)
