"""`seren evaluate ablation`: one table of all checkpoints of a folder, as Markdown and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from streams.cli.options import engine_option, json_option, print_json

if TYPE_CHECKING:
    from rich.console import Console

    from streams.evaluation.ablation import Variant
    from streams.evaluation.questions import Questions
    from streams.evaluation.rankers import Ranked

_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
_OUT = click.Path(file_okay=False, path_type=Path)


@click.command("ablation")
@click.argument("folder", type=_FOLDER)
@click.option("--model", "models", multiple=True, metavar="NAME=FOLDER", help="One more checkpoint, any number of times.")
@click.option("--reference", help="The variant that the others are held against; the first by name if left out.")
@click.option(
    "--history-only", "history_only", multiple=True, metavar="NAME", help="Ask this variant without profile; any number."
)
@click.option("--log", "log_folder", type=_FOLDER, help="A log folder; the shipped Online Retail log if left out.")
@click.option("--tower", type=_FOLDER, help="The tower that retrieval uses; the shipped one if left out.")
@click.option("--sasrec", type=_FOLDER, help="What `seren train sasrec` wrote for this log; needs torch.")
@click.option("--part", type=click.Choice(["test", "validation"]), default="test", show_default=True)
@click.option("--limit", type=click.IntRange(min=1), help="Cases drawn evenly from all; all if left out.")
@click.option(
    "--slates", type=click.IntRange(min=0), default=200, show_default=True, help="Cases that get titles and a slate."
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of cases, ties and intervals.")
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True, help="Threads of the engine.")
@engine_option
@click.option("--cache", type=_OUT, help="Folder that keeps what checkpoints said, for the next table.")
@click.option("--out", type=_OUT, help="Folder to write ablation.md and ablation.json to.")
@json_option
def ablation(
    *,
    folder: Path,
    models: tuple[str, ...],
    reference: str | None,
    history_only: tuple[str, ...],
    log_folder: Path | None,
    tower: Path | None,
    sasrec: Path | None,
    part: Literal["test", "validation"],
    limit: int | None,
    slates: int,
    seed: int,
    threads: int,
    engine: str,
    cache: Path | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Rank with every checkpoint of FOLDER, fill slates, and hold each against the reference and the baselines."""
    import orjson
    from rich.console import Console

    from models.pretrained import tower_folder
    from streams.engines.named import load_engine
    from streams.evaluation.ablation import Variant, markdown, variants
    from streams.evaluation.checkpoints import named_folder
    from streams.evaluation.questions import read_questions
    from streams.recorded.logs import RecordedLog, shipped_log

    named = variants(folder, reference=reference, more=[named_folder(text) for text in models])
    unknown = set(history_only) - {name for name, _ in named}
    if unknown:
        message = f"--history-only {', '.join(sorted(unknown))}: no such variant; there are {', '.join(n for n, _ in named)}"
        raise click.UsageError(message)
    console = Console(stderr=True)
    recorded = RecordedLog(log_folder) if log_folder else shipped_log("online-retail")
    with console.status("Replaying the log through the profiles"):
        questions = read_questions(recorded, part=part, seed=seed, limit=limit)
    asked = [Variant(name, load_engine(engine, str(path), threads=threads), name in history_only) for name, path in named]
    ranked = _ranked(asked, questions, tower=tower or tower_folder(), sasrec=sasrec, cache=cache, seed=seed, console=console)
    found = _measured(ranked, questions, reference=named[0][0], part=part, seed=seed)
    found |= {"asked_history_only": sorted(history_only), "slate_cases": min(slates, len(questions.reported.cases))}
    found |= _shown(asked, questions, tower or tower_folder(), slates, cache=cache, seed=seed, console=console)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        (out / "ablation.json").write_bytes(orjson.dumps(found, option=orjson.OPT_INDENT_2))
        (out / "ablation.md").write_text(markdown(found))
    if as_json:
        print_json(found)
    else:
        click.echo(markdown(found))


def _ranked(
    asked: Sequence[Variant],
    questions: Questions,
    *,
    tower: Path,
    sasrec: Path | None,
    cache: Path | None,
    seed: int,
    console: Console,
) -> list[Ranked]:
    """One row per checkpoint, in the reading that validation chose, and the baselines'."""
    from streams.evaluation.checkpoints import ask_checkpoint, rank_checkpoint
    from streams.evaluation.kept import KeptScores
    from streams.evaluation.rankers import baselines

    kept = KeptScores(cache) if cache else None
    rows = []
    for one in asked:
        given = one.questions(questions)
        said = ask_checkpoint(one.name, one.engine, given, kept=kept, console=console)
        rows.append(next(rank_checkpoint(one.name, one.engine.model_id, said, given, seed=seed)))
    with console.status("Baselines"):
        rows += baselines(questions, tower=tower, seed=seed)
        if sasrec is not None:
            from streams.evaluation.sequential import rank_sasrec

            rows.append(rank_sasrec(questions, sasrec))
    return rows


def _measured(ranked: list[Ranked], questions: Questions, *, reference: str, part: str, seed: int) -> dict[str, Any]:
    """The ranking's table; verdicts of the other variants against the reference come before those against baselines."""
    from models.evaluation.ranking import report
    from streams.evaluation.ablation import against
    from streams.evaluation.table import JUDGED_BY, measure, outcome

    asked = questions.reported
    found = outcome(measure(ranked, asked, seed=seed), asked, log=questions.name, part=part, seed=seed)
    reports = [report(one.name, asked.cases, one.scores, seed=seed) for one in ranked if not one.is_baseline]
    held = against(reports, asked.users, reference=reference, judged_by=JUDGED_BY, seed=seed)
    found["verdicts"] = [*held.verdicts, *found["verdicts"]]
    return found | {"reference": reference, "ranked_against_reference": held.rows}


def _shown(
    asked: Sequence[Variant],
    questions: Questions,
    tower: Path,
    count: int,
    *,
    cache: Path | None,
    seed: int,
    console: Console,
) -> dict[str, Any]:
    """Titles and slates of each variant, held against the reference case by case; nothing when no slate is asked for."""
    from models.retrieval import Retriever
    from streams.evaluation.ablation import SHOWN_BY, against
    from streams.evaluation.diversity import evenly, report_of_checkpoint
    from streams.evaluation.kept import KeptSlates
    from streams.evaluation.table import intervals

    if count == 0:
        return {"slates": []}
    retriever = Retriever.build(questions.log.catalogue, tower)
    kept, reports = KeptSlates(cache) if cache else None, []
    for one in asked:
        given = one.questions(questions)
        few = evenly(given.reported, count)
        reports.append(
            report_of_checkpoint(one.name, one.engine, few, given, retriever, seed=seed, console=console, kept=kept)
        )
    held = against(reports, few.users, reference=asked[0].name, judged_by=SHOWN_BY, seed=seed)
    return {
        "slates": [{"name": one.name, "metrics": intervals(one.metrics)} for one in reports],
        "shown_against_reference": held.rows,
        "shown_verdicts": held.verdicts,
    }
