"""`seren evaluate ranking`: SerenGPT beside everything that it should beat, in one table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import click

from streams.cli.options import engine_option, json_option, print_json

if TYPE_CHECKING:
    from rich.console import Console

    from streams.engines.named import LoadedEngine
    from streams.evaluation.checkpoints import Said
    from streams.evaluation.questions import Questions
    from streams.evaluation.rankers import Ranked

_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
_OUT = click.Path(file_okay=False, path_type=Path)
_SHOWN = ("HR@1", "HR@10", "NDCG@10")
_CELL = 17  # characters of a mean and its bounds
_NAME = "SerenGPT"


@click.command("ranking")
@click.option("--log", "folder", type=_FOLDER, help="A log folder; the shipped Online Retail log if left out.")
@click.option(
    "--model",
    "models",
    multiple=True,
    metavar="NAME=FOLDER",
    help="A checkpoint, any number of times; the shipped one if left out.",
)
@click.option(
    "--rolling",
    type=_FOLDER,
    help="Dated checkpoints of `seren train refresh --every-days`: each day is ranked by the newest that ended before it.",
)
@click.option("--tower", type=_FOLDER, help="A tower's folder; the shipped one for the shipped log if left out.")
@click.option("--sasrec", type=_FOLDER, help="What `seren train sasrec` wrote for this log; needs torch.")
@click.option("--part", type=click.Choice(["test", "validation"]), default="test", show_default=True)
@click.option("--limit", type=click.IntRange(min=1), help="Cases drawn evenly from all; all if left out.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of cases, ties and intervals.")
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True, help="Threads of the engine.")
@engine_option
@click.option("--cache", type=_OUT, help="Folder that keeps what checkpoints said, for the next table.")
@click.option("--without-serengpt", is_flag=True, help="Only the rankers that need no language model.")
@json_option
def ranking(
    *,
    folder: Path | None,
    models: tuple[str, ...],
    rolling: Path | None,
    tower: Path | None,
    sasrec: Path | None,
    part: Literal["test", "validation"],
    limit: int | None,
    seed: int,
    threads: int,
    engine: str,
    cache: Path | None,
    without_serengpt: bool,
    as_json: bool,
) -> None:
    """Rank what became serendipitous among 99 items that were as new to the user.

    What a ranker has to choose (SerenGPT's reading, item-kNN's shrinkage, a half-life) is chosen on the validation part.
    Intervals are 95 %, resampling users; so are those of the differences, on which the verdicts rest.
    """
    from rich.console import Console

    from models.pretrained import serengpt_folder, tower_folder
    from streams.evaluation.checkpoints import named_folder
    from streams.evaluation.questions import read_questions
    from streams.evaluation.table import measure, outcome
    from streams.recorded.logs import RecordedLog, shipped_log

    named = [named_folder(text) for text in models] or [(_NAME, serengpt_folder())]
    console = Console(stderr=True)
    recorded = RecordedLog(folder) if folder else shipped_log("online-retail")
    with console.status("Replaying the log through the profiles"):
        questions = read_questions(recorded, part=part, seed=seed, limit=limit)
    chosen_tower = tower or (None if folder else tower_folder())
    others = list(_baselines(questions, chosen_tower, sasrec, on_the_eve=bool(rolling), seed=seed, console=console))
    ranked: list[Ranked] = []
    if not without_serengpt:
        load = partial(_load, engine, threads)
        answers = _answers(questions, named, rolling, load, cache=cache, console=console)
        ranked += _checkpoints(questions, answers, others, seed=seed)
    ranked += others
    found = outcome(
        measure(ranked, questions.reported, seed=seed), questions.reported, log=questions.name, part=part, seed=seed
    )
    if as_json:
        print_json(found)
    else:
        _show(found)


class _Answers(NamedTuple):
    """What a checkpoint, or several dated ones in turn, said under one name."""

    name: str
    model_id: str
    said: Said


def _load(engine: str, threads: int, folder: Path) -> LoadedEngine:
    from streams.engines.named import load_engine

    return load_engine(engine, str(folder), threads=threads)


def _answers(
    questions: Questions,
    named: Sequence[tuple[str, Path]],
    rolling: Path | None,
    load: Callable[[Path], LoadedEngine],
    *,
    cache: Path | None,
    console: Console,
) -> Iterator[_Answers]:
    """Each checkpoint's answers, then those of the dated ones, of which the first named is the oldest."""
    from streams.evaluation.checkpoints import ask_checkpoint
    from streams.evaluation.kept import KeptScores
    from streams.evaluation.rolling import ask_dated
    from streams.training.refreshing import check_unseen, dated_checkpoints, trained_until

    kept = KeptScores(cache) if cache else None
    if rolling is not None:
        (name, base), cut_ms = named[0], trained_until(named[0][1], questions.log.split)
        dated = dated_checkpoints(rolling, base=base, base_cut_ms=cut_ms)
        found = ask_dated(dated, load, questions, kept=kept, console=console)
        yield _Answers(f"{name}, refreshed", ", ".join(found.model_ids), found.said)
    for name, folder in named:
        check_unseen(folder, questions.log.split, [case.as_of_ms for case in questions.validation.cases])
        engine = load(folder)
        yield _Answers(name, engine.model_id, ask_checkpoint(name, engine, questions, kept=kept, console=console))
        engine.close()


def _checkpoints(questions: Questions, answers: Iterable[_Answers], others: list[Ranked], *, seed: int) -> Iterator[Ranked]:
    """Each checkpoint's word of titles, then of products where titles are shared; each also joined, see `_joined`."""
    from streams.evaluation.checkpoints import rank_checkpoint, shared_out

    rows = {row.name: row for row in others}
    for name, model_id, said in answers:
        yield from rank_checkpoint(name, model_id, said, questions, seed=seed)
        yield from _joined(name, said, questions, rows, seed=seed)
        shared = shared_out(said, questions)
        if shared is not None:
            of_products = f"{name}, titles shared out"
            yield next(rank_checkpoint(of_products, model_id, shared, questions, seed=seed))
            yield from _joined(of_products, shared, questions, rows, seed=seed)


def _joined(name: str, said: Said, questions: Questions, rows: dict[str, Ranked], *, seed: int) -> Iterator[Ranked]:
    """SerenGPT's word joined with the tower, and with the season, where there is a tower."""
    from streams.evaluation.blends import with_relevance, with_season
    from streams.evaluation.rankers import EVE, TOWER

    if TOWER in rows:
        yield with_relevance(name, questions, rows[TOWER], said, seed=seed)
        days, row = rows[EVE].half_life_days, f"{name} x relevance x season"
        yield with_season(row, questions, rows[TOWER], said, half_life_days=days, seed=seed)


def _baselines(
    questions: Questions, tower: Path | None, sasrec: Path | None, *, on_the_eve: bool, seed: int, console: Console
) -> Iterator[Ranked]:
    from streams.evaluation.blends import with_season
    from streams.evaluation.rankers import EVE, TOWER, baselines

    with console.status("Baselines") as status:
        rows: dict[str, Ranked] = {}
        for row in baselines(questions, tower=tower, seed=seed):
            status.update(f"Baselines: {row.name}")
            rows[row.name] = row
            yield row
        if TOWER in rows:
            half_life_days = rows[EVE].half_life_days
            yield with_season("tower x season", questions, rows[TOWER], None, half_life_days=half_life_days, seed=seed)
        if on_the_eve:
            from streams.evaluation.rolling import eve_baselines

            status.update("Baselines: item-kNN on the eve")
            yield from eve_baselines(questions, rows, seed=seed)
        if sasrec is not None:
            from streams.evaluation.sequential import rank_sasrec

            status.update("Baselines: SASRec")
            yield rank_sasrec(questions, sasrec)


def _show(found: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Column, Table

    title = f"{found['log']}: serendipitous items, each among {found['negatives']} that were new to the user, too"
    table = Table("ranker", *(Column(name, no_wrap=True, min_width=_CELL) for name in _SHOWN), title=title)
    for ranker in found["rankers"]:
        table.add_row(ranker["name"], *(_cell(ranker["metrics"][metric]) for metric in _SHOWN))
    console = Console()
    console.print(table)
    console.print(
        f"{found['cases']:,} visit days of {found['users']:,} users, {found['right_items']:,} right items, "
        f"{found['part']} part, seed {found['seed']}"
    )
    for ranker in found["rankers"]:
        if ranker["chosen_on_validation"]:
            console.print(f"{ranker['name']}: {ranker['chosen_on_validation']} (chosen on the validation part)")
    for verdict in found["verdicts"]:
        console.print(verdict, highlight=False)


def _cell(interval: dict[str, float]) -> str:
    """A mean and its bounds in 17 characters, so that the table fits a narrow terminal."""
    low, high = (f"{interval[name]:.3f}".removeprefix("0") for name in ("low", "high"))
    return f"{interval['mean']:.3f} [{low} {high}]"
