"""`seren evaluate`: how good the parts are on the part of a recorded log that nothing was trained on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from streams.cli.evaluate_compression import compression
from streams.cli.options import json_option, print_json

if TYPE_CHECKING:
    from rich.console import Console

    from models.catalogue import Catalogue
    from models.evaluation.ranking import Case, Report
    from models.serengpt.engine import Engine, Scored
    from streams.samples import LabelledLog

_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
_RECENT_DAYS = 28  # of the training part, for the popularity of the season
_SHOWN = ("HR@1", "HR@10", "NDCG@10")
_CELL = 17  # characters of a mean and its bounds


@click.group("evaluate")
def evaluate_group() -> None:
    """Measure the parts on a recorded log."""


evaluate_group.add_command(compression)


@evaluate_group.command("ranking")
@click.option("--log", "folder", type=_FOLDER, help="A log folder; the shipped Online Retail log if left out.")
@click.option("--model", type=_FOLDER, help="A SerenGPT checkpoint; the shipped one if left out.")
@click.option("--tower", "tower", type=_FOLDER, help="A tower's folder; the shipped one if left out.")
@click.option("--part", type=click.Choice(["test", "validation"]), default="test", show_default=True)
@click.option("--limit", type=click.IntRange(min=1), help="Cases drawn evenly from all; all if left out.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of cases, ties and intervals.")
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True, help="Threads of the engine.")
@click.option("--without-serengpt", is_flag=True, help="Only the rankers that need no language model.")
@json_option
def ranking(
    *,
    folder: Path | None,
    model: Path | None,
    tower: Path | None,
    part: str,
    limit: int | None,
    seed: int,
    threads: int,
    without_serengpt: bool,
    as_json: bool,
) -> None:
    """Rank one item that became serendipitous among 99 that were as new to the user.

    SerenGPT's reading (raw log-probability, or with a share of the prior taken off) is chosen on the validation part; tower,
    popularity and the category rule need no choice. Intervals are 95 %, resampling users.
    """
    from rich.console import Console

    from models.evaluation.ranking import cases
    from models.pretrained import serengpt_folder, tower_folder
    from models.profiles import ProfilePolicy
    from models.serengpt.embedded import load_engine
    from streams.logs import RecordedLog, shipped_log
    from streams.samples import read_samples

    console = Console(stderr=True)
    engine = None if without_serengpt else load_engine(model or serengpt_folder(), threads=threads)
    with console.status("Replaying the log through the profiles"):
        log = read_samples(RecordedLog(folder) if folder else shipped_log("online-retail"), policy=ProfilePolicy())
    asked = cases(log.part("validation" if part == "validation" else "test"), catalogue=log.catalogue, seed=seed, limit=limit)
    if not asked:
        message = f"the {part} part holds no serendipitous item, so there is nothing to rank"
        raise click.ClickException(message)
    reports = _baselines(log, asked, tower or tower_folder(), seed)
    chosen = None
    if engine is not None:
        chosen, found = _serengpt(log, asked, engine, seed=seed, limit=limit, console=console)
        reports = [*found, *reports]
    outcome = _outcome(reports, asked, part=part, seed=seed, chosen=chosen, model_id=engine.model_id if engine else None)
    if as_json:
        print_json(outcome)
    else:
        _show(outcome)


def _baselines(log: LabelledLog, asked: Sequence[Case], tower: Path, seed: int) -> list[Report]:
    from models.evaluation import rankers
    from models.evaluation.ranking import report
    from models.profiles.policy import DAY_MS
    from models.retrieval import RetrievalPolicy, Retriever

    train = log.part("train")
    recent = rankers.popularity_counts(train, since_ms=log.split.train_end_ms - _RECENT_DAYS * DAY_MS)
    retriever = Retriever.build(log.catalogue, tower)
    scores = {
        "trained tower": rankers.by_tower(asked, retriever, decay=RetrievalPolicy().history_decay),
        "popularity": rankers.by_popularity(asked, rankers.popularity_counts(train)),
        f"popularity, last {_RECENT_DAYS} days": rankers.by_popularity(asked, recent),
        "category rule": rankers.by_category(asked, log.catalogue),
        "random": rankers.by_chance(asked, seed=seed),
    }
    return [report(name, asked, found, seed=seed) for name, found in scores.items()]


def _serengpt(
    log: LabelledLog, asked: Sequence[Case], engine: Engine, *, seed: int, limit: int | None, console: Console
) -> tuple[str, list[Report]]:
    """The chosen reading's name, and the reports of it, of the raw log-probability and of what a slate uses."""
    from models.evaluation import serengpt
    from models.evaluation.ranking import cases, report

    before = cases(log.part("validation"), catalogue=log.catalogue, seed=seed, limit=limit)
    chosen = serengpt.RAW
    if before:
        scored = _score(before, engine, log.catalogue, console, "Choosing on the validation part")
        chosen = serengpt.choose(before, scored, seed=seed)
    scored = _score(asked, engine, log.catalogue, console, "Scoring")
    names = dict.fromkeys((chosen, serengpt.RAW, serengpt.ALIGNED))
    reports = [report(f"SerenGPT: {name}", asked, serengpt.read(scored, serengpt.READINGS[name]), seed=seed) for name in names]
    return chosen, reports


def _score(
    given: Sequence[Case], engine: Engine, catalogue: Catalogue, console: Console, what: str
) -> list[tuple[Scored, ...]]:
    from rich.progress import Progress

    from models.evaluation.serengpt import scored_batches

    scored: list[tuple[Scored, ...]] = []
    with Progress(console=console) as progress:
        task = progress.add_task(what, total=len(given))
        for batch in scored_batches(given, engine=engine, catalogue=catalogue):
            scored.extend(batch)
            progress.update(task, completed=len(scored))
    return scored


def _outcome(
    reports: Sequence[Report], asked: Sequence[Case], *, part: str, seed: int, chosen: str | None, model_id: str | None
) -> dict[str, Any]:
    return {
        "part": part,
        "cases": len(asked),
        "users": len({case.user_id for case in asked}),
        "candidates": len(asked[0].items),
        "seed": seed,
        "model_id": model_id,
        "chosen_on_validation": chosen,
        "rankers": [
            {
                "name": report.name,
                "metrics": {
                    metric: {name: round(value, 4) for name, value in interval._asdict().items()}
                    for metric, interval in report.metrics.items()
                },
            }
            for report in reports
        ],
    }


def _show(outcome: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Column, Table

    title = f"One serendipitous item among {outcome['candidates']}, all of them new to the user"
    table = Table("ranker", *(Column(name, no_wrap=True, min_width=_CELL) for name in _SHOWN), title=title)
    for ranker in outcome["rankers"]:
        cells = [ranker["metrics"][metric] for metric in _SHOWN]
        table.add_row(ranker["name"], *map(_cell, cells))
    console = Console()
    console.print(table)
    console.print(f"{outcome['cases']:,} cases of {outcome['users']:,} users, {outcome['part']} part, seed {outcome['seed']}")
    if outcome["chosen_on_validation"]:
        console.print(f"Reading chosen on the validation part: {outcome['chosen_on_validation']}")


def _cell(interval: dict[str, float]) -> str:
    """A mean and its bounds in 17 characters, so that the table fits a narrow terminal."""
    low, high = (f"{interval[name]:.3f}".removeprefix("0") for name in ("low", "high"))
    return f"{interval['mean']:.3f} [{low} {high}]"
