"""`seren evaluate imagine`: what the ways to imagine titles are worth, on the part of a log that nothing was trained on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from streams.cli.options import json_option, print_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from models.evaluation.imagined import Report, Trial
    from models.evaluation.ranking import Case
    from models.imagining import ImaginePolicy
    from models.retrieval import Retriever
    from models.serengpt.engine import Engine
    from streams.samples import LabelledLog

_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
_SHOWN = ("HR@10", "HR@50", "NDCG@50", "HR retrieved")
_SHOWN_MEANS = ("different titles", "titles that exist", "categories retrieved", "new among retrieved", "ms")
_CELL = 17  # characters of a mean and its bounds


@click.command("imagine")
@click.option("--log", "folder", type=_FOLDER, help="A log folder; the shipped Online Retail log if left out.")
@click.option("--model", default="", help="A SerenGPT checkpoint; the shipped one if left out.")
@click.option("--engine", type=click.Choice(["ctranslate2", "torch"]), default="ctranslate2", show_default=True)
@click.option("--part", type=click.Choice(["test", "validation"]), default="test", show_default=True)
@click.option("--limit", type=click.IntRange(min=1), default=300, show_default=True, help="Cases, drawn evenly from all.")
@click.option("--way", "ways", multiple=True, help="A way to compare with the free one; all if left out. May be repeated.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of cases and intervals.")
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True, help="Threads of the engine.")
@json_option
def imagine(
    *,
    folder: Path | None,
    model: str,
    engine: str,
    part: str,
    limit: int,
    ways: tuple[str, ...],
    seed: int,
    threads: int,
    as_json: bool,
) -> None:
    """Serve the same visits with titles imagined in different ways, and look for what was wanted in the slates.

    Free samples are the paper's way. The others: the best of more samples by the aligned score; constrained decoding to titles
    of the catalogue; the same without replacement, and in categories that are new to the user only. Times are CPU time of the
    whole answer, which a busy machine stretches less than the clock on the wall.
    """
    from models.evaluation.imagined import WAYS, best, report
    from models.evaluation.ranking import cases
    from models.pretrained import tower_folder
    from models.profiles import ProfilePolicy
    from models.retrieval import Retriever
    from streams.engines.named import load_engine
    from streams.recorded.logs import RecordedLog, shipped_log
    from streams.samples import read_samples

    unknown = [way for way in ways if way not in WAYS]
    if unknown:
        message = f"--way: {unknown[0]!r} must be one of {', '.join(map(repr, WAYS))}"
        raise click.ClickException(message)
    log = read_samples(RecordedLog(folder) if folder else shipped_log("online-retail"), policy=ProfilePolicy())
    visits = log.part("validation" if part == "validation" else "test")
    asked = cases(visits, catalogue=log.catalogue, seed=seed, limit=limit)
    if not asked:
        message = f"the {part} part holds no serendipitous item, so there is nothing to look for"
        raise click.ClickException(message)
    loaded = load_engine(engine, model, threads=threads)
    chosen = {name: policy for name, policy in WAYS.items() if not ways or name in ways or name == next(iter(WAYS))}
    try:
        trials = _tried(asked, chosen, log, loaded, Retriever.build(log.catalogue, tower_folder()))
    finally:
        loaded.close()
    reports = report(trials, seed=seed)
    outcome = {
        "part": part,
        "cases": len(asked),
        "users": len({case.user_id for case in asked}),
        "seed": seed,
        "model_id": loaded.model_id,
        "runtime": loaded.runtime,
        "best": best(reports),
        "ways": [_row(one) for one in reports],
    }
    if as_json:
        print_json(outcome)
    else:
        _show(outcome)


def _tried(
    asked: Sequence[Case], ways: dict[str, ImaginePolicy], log: LabelledLog, engine: Engine, retriever: Retriever
) -> dict[str, list[Trial]]:
    """Every way on every visit; the ways take turns, so that a busy machine is busy for all of them."""
    from time import process_time

    from rich.progress import track

    from models.evaluation.imagined import tried
    from models.evaluation.ranking import request_of
    from models.pipeline import ServePolicy, serve_batch
    from models.serengpt.tokens import clean

    names = frozenset(clean(item.title) for item in log.catalogue)
    found: dict[str, list[Trial]] = {name: [] for name in ways}
    for case in track(asked, description="Imagining", console=_progress_console()):
        for name, policy in ways.items():
            started_s = process_time()
            [answer] = serve_batch(
                [request_of(case)],
                engine=engine,
                retriever=retriever,
                catalogue=log.catalogue,
                policy=ServePolicy(imagine=policy),
            )
            ms = (process_time() - started_s) * 1e3
            found[name].append(tried(case, answer, catalogue=log.catalogue, names=names, ms=ms))
    return found


def _progress_console() -> Any:
    from rich.console import Console

    return Console(stderr=True)


def _row(one: Report) -> dict[str, Any]:
    return {
        "name": one.name,
        "metrics": {name: _rounded(interval._asdict()) for name, interval in one.metrics.items()},
        "gains": {name: _rounded(interval._asdict()) for name, interval in one.gains.items()},
    }


def _rounded(values: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in values.items()}


def _show(outcome: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Column, Table

    console = Console()
    columns = (Column(name, min_width=_CELL) for name in _SHOWN)
    table = Table("way to imagine", *columns, *_SHOWN_MEANS, title="What was wanted, among all items of the catalogue")
    for way in outcome["ways"]:
        cells = [_cell(way["metrics"][name]) for name in _SHOWN]
        table.add_row(way["name"], *cells, *(f"{way['metrics'][name]['mean']:.2f}" for name in _SHOWN_MEANS))
    console.print(table)
    gains = Table("gain over free", *(Column(name, min_width=_CELL) for name in _SHOWN))
    for way in outcome["ways"][1:]:
        gains.add_row(way["name"], *(_cell(way["gains"][name]) for name in _SHOWN))
    console.print(gains)
    console.print(f"{outcome['cases']:,} visits of {outcome['users']:,} users, {outcome['part']} part, seed {outcome['seed']}")
    console.print(f"Best by HR@50, beyond chance: {outcome['best']}")


def _cell(interval: dict[str, float]) -> str:
    return f"{interval['mean']:.3f} [{interval['low']:.3f} {interval['high']:.3f}]"
