"""`seren evaluate diversity` and `seren evaluate gate`: what is shown, beside how well it ranks."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from streams.cli.options import engine_option, json_option, print_json, utc_ms

if TYPE_CHECKING:
    from models.metrics import Interval
    from streams.engines.named import LoadedEngine
    from streams.evaluation.questions import Questions

_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
_SHOWN = (
    "unique_titles",
    "categories_retrieved",
    "category_hit_rate",
    "new_categories",
    "slate_hit_rate",
    "slate_recall",
    "coverage",
    "gini",
)
_part = click.option("--part", type=click.Choice(["test", "validation"]), default="test", show_default=True)
_log = click.option("--log", "folder", type=_FOLDER, help="A log folder; the shipped Online Retail log if left out.")
_tower = click.option("--tower", type=_FOLDER, help="The tower that retrieval uses; the shipped one if left out.")
_seed = click.option("--seed", type=int, default=0, show_default=True, help="Of cases and intervals.")
_threads = click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True, help="Threads of the engine.")


@click.command("diversity")
@_log
@click.option(
    "--model", "models", multiple=True, metavar="NAME=FOLDER", help="A checkpoint, as often as you like; default: shipped."
)
@_tower
@_part
@click.option("--limit", type=click.IntRange(min=1), default=300, show_default=True, help="Cases drawn evenly from all.")
@_seed
@_threads
@engine_option
@click.option("--without-serengpt", is_flag=True, help="Only the rankers that need no language model.")
@json_option
def diversity(
    *,
    folder: Path | None,
    models: tuple[str, ...],
    tower: Path | None,
    part: Literal["test", "validation"],
    limit: int,
    seed: int,
    threads: int,
    engine: str,
    without_serengpt: bool,
    as_json: bool,
) -> None:
    """Sample 30 titles per user, retrieve, fill slates, and measure how different, how new and how right they are.

    Titles are SerenGPT's alone; slates are also filled by the baselines, with the best of the whole catalogue.
    """
    from models.pretrained import serengpt_folder, tower_folder
    from streams.engines.named import load_engine
    from streams.evaluation.checkpoints import named_folder
    from streams.evaluation.questions import read_questions
    from streams.evaluation.table import intervals
    from streams.recorded.logs import RecordedLog, shipped_log

    recorded = RecordedLog(folder) if folder else shipped_log("online-retail")
    questions = read_questions(recorded, part=part, seed=seed, limit=limit)
    rows: list[tuple[str, dict[str, Interval]]] = []
    if not without_serengpt:
        named = models or (f"SerenGPT={serengpt_folder()}",)
        loaded = [(name, load_engine(engine, str(path), threads=threads)) for name, path in map(named_folder, named)]
        rows += _checkpoints(questions, loaded, tower or tower_folder(), seed=seed)
    rows += _baselines(questions, tower or tower_folder(), seed=seed)
    found = {
        "log": questions.name,
        "part": part,
        "cases": len(questions.reported.cases),
        "users": len(set(questions.reported.users)),
        "seed": seed,
        "rows": [{"name": name, "metrics": intervals(metrics)} for name, metrics in rows],
    }
    if as_json:
        print_json(found)
    else:
        _show(found)


@click.command("gate")
@click.option("--model", required=True, type=_FOLDER, help="The checkpoint that asks to be promoted.")
@_log
@_tower
@click.option("--part", type=click.Choice(["test", "validation"]), default="validation", show_default=True)
@click.option("--since", type=click.DateTime(["%Y-%m-%d"]), help="In place of a part: visit days from this one on, UTC.")
@click.option("--limit", type=click.IntRange(min=1), default=400, show_default=True, help="Cases that are ranked.")
@click.option("--slates", type=click.IntRange(min=1), default=400, show_default=True, help="Of them, how many get a slate.")
@click.option("--history-only", is_flag=True, help="Ask without profile: for a checkpoint that was taught without one.")
@_seed
@_threads
@engine_option
@json_option
def gate(
    *,
    model: Path,
    folder: Path | None,
    tower: Path | None,
    part: Literal["test", "validation"],
    since: datetime | None,
    limit: int,
    slates: int,
    history_only: bool,
    seed: int,
    threads: int,
    engine: str,
    as_json: bool,
) -> None:
    """Ranking, novelty and diversity of one checkpoint: what `seren models add --metrics` reads and promotion decides on.

    On the validation part unless told otherwise: who promotes on the test part has no test part any more. A refreshed
    checkpoint is asked about days after its cut, with --since; what serves is measured on the same days.
    """
    from msgspec import to_builtins
    from rich.console import Console

    from models.pretrained import tower_folder
    from streams.engines.named import load_engine
    from streams.evaluation import questions as asking
    from streams.evaluation.gate import measure_checkpoint
    from streams.recorded.logs import RecordedLog, shipped_log
    from streams.training.refreshing import check_unseen

    console = Console(stderr=True)
    recorded = RecordedLog(folder) if folder else shipped_log("online-retail")
    questions = asking.read_questions(recorded, part=part, seed=seed, limit=limit)
    questions = asking.from_day(questions, utc_ms(since), limit=limit) if since else questions
    questions = asking.history_only(questions) if history_only else questions
    check_unseen(model, questions.log.split, [case.as_of_ms for case in questions.reported.cases])
    loaded = load_engine(engine, str(model), threads=threads)
    metrics = measure_checkpoint(
        loaded, questions, checkpoint=model, tower=tower or tower_folder(), slates=slates, console=console
    )
    found: dict[str, Any] = to_builtins(metrics)
    if as_json:
        print_json(found)
        return
    for group, rows in found["details"].items():
        for name, one in rows.items():
            click.echo(f"{group:10} {name:22} {one['mean']:8.3f} [{one['low']:.3f} {one['high']:.3f}]")


def _checkpoints(
    questions: Questions, loaded: list[tuple[str, LoadedEngine]], tower: Path, *, seed: int
) -> Iterator[tuple[str, dict[str, Interval]]]:
    from rich.console import Console

    from models.retrieval import Retriever
    from streams.evaluation.diversity import of_checkpoint

    retriever = Retriever.build(questions.log.catalogue, tower)
    for name, engine in loaded:
        console = Console(stderr=True)
        yield (
            name,
            of_checkpoint(
                engine, questions.reported, questions, retriever, seed=seed, console=console, what=f"{name}: slates"
            ),
        )


def _baselines(questions: Questions, tower: Path, *, seed: int) -> Iterator[tuple[str, dict[str, Interval]]]:
    from streams.evaluation.diversity import of_baseline
    from streams.evaluation.rankers import slate_fillers

    for name, answer in slate_fillers(questions, tower=tower, seed=seed).items():
        yield name, of_baseline(answer, questions.reported, questions, seed=seed)


def _show(found: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("", *_SHOWN, title=f"{found['log']}: 30 titles and a slate for each of {found['cases']:,} cases")
    for row in found["rows"]:
        table.add_row(row["name"], *(_cell(row["metrics"].get(metric)) for metric in _SHOWN))
    Console().print(table)


def _cell(interval: dict[str, float] | None) -> str:
    """A mean above its bounds; nothing where the ranker has no such number."""
    if interval is None:
        return ""
    return f"{interval['mean']:.3g}\n[{interval['low']:.3g} {interval['high']:.3g}]"
