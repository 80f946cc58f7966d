"""`seren evaluate judge`: the judge against labels that people made, or that a log plants."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from streams.cli.options import config_option, json_option, print_json, settings_of

if TYPE_CHECKING:
    from models.evaluation.judging import Figures
    from models.judging.local import LocalJudge
    from streams.config import Settings
    from streams.samples import LabelledLog
    from streams.verdicts.cases import Case

_FOLDER = click.Path(file_okay=False, path_type=Path)
_HOW = (
    "planted: of each visit day one item that became serendipitous (Definition 1), against 4 drawn items of unseen leaf "
    "categories ('new') and 4 of seen ones ('seen'); kappa of the verdict from the score on that agreed best on the "
    "validation part"
)
_PEOPLE = "people's labels; kappa of the verdict by the configuration's alignment.verdicts, or by --bound"


@click.command("judge")
@click.option("--log", "logs", multiple=True, help="A log folder or a shipped log; repeatable. The shipped one if left out.")
@click.option(
    "--labelled",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help='People\'s labels instead: lines of `seren judge`, each with "label" (true, false, or a number) and maybe "user_id".',
)
@click.option("--positive-at", type=float, default=0.5, show_default=True, help="--labelled: numbers from here on are a yes.")
@click.option("--bound", type=click.FloatRange(0, 1), help="--labelled: serendipity from which on the verdict is yes.")
@click.option("--model", type=_FOLDER, help="The SerenGPT that advises the judge; the configured one if left out.")
@click.option("--without-model", is_flag=True, help="Judge by the history alone.")
@click.option("--part", type=click.Choice(["test", "validation"]), default="test", show_default=True)
@click.option("--limit", type=click.IntRange(min=1), default=300, show_default=True, help="Visit days, drawn evenly.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of visit days, negatives and intervals.")
@config_option
@json_option
def judge_command(
    *,
    logs: tuple[str, ...],
    labelled: Path | None,
    positive_at: float,
    bound: float | None,
    model: Path | None,
    without_model: bool,
    part: str,
    limit: int,
    seed: int,
    config: Path | None,
    as_json: bool,
) -> None:
    """Measure the judge: AUC, AP and Cohen's kappa, with 95 % intervals over users."""
    if labelled is not None and logs:
        message = "--labelled and --log are two kinds of labels; name one"
        raise click.UsageError(message)
    settings = settings_of(config)
    with _judge(settings, model=model, is_alone=without_model) as judge:
        if labelled is not None:
            sets = {labelled.name: _of_people(labelled, settings, judge, positive_at=positive_at, bound=bound, seed=seed)}
        else:
            sets = {
                name: _of_log(name, settings, judge, part=part, limit=limit, seed=seed) for name in logs or ("online-retail",)
            }
    outcome = {
        "judge": "history alone" if without_model else "with SerenGPT",
        "labels": _PEOPLE if labelled else _HOW,
        "seed": seed,
        "sets": sets,
    }
    if as_json:
        print_json(outcome)
    else:
        _show(outcome)


@contextmanager
def _judge(settings: Settings, *, model: Path | None, is_alone: bool) -> Iterator[LocalJudge]:
    from streams.alignment.judges import local_judge
    from streams.engines.named import checkpoint_folder

    serengpt = settings.serengpt
    folder = None if is_alone else checkpoint_folder(str(model) if model else serengpt.model)
    with local_judge(settings.judge, engine=serengpt.engine, checkpoint=folder, threads=serengpt.threads) as judge:
        yield judge


def _of_people(
    path: Path, settings: Settings, judge: LocalJudge, *, positive_at: float, bound: float | None, seed: int
) -> dict[str, Any]:
    from streams.verdicts.cases import judge_file
    from streams.verdicts.wire import JudgedLines

    cases = judge_file(path, JudgedLines(judge.adviser, settings.judge, judge.meaning), positive_at=positive_at)
    if not cases:
        message = f"{path}: no lines"
        raise click.ClickException(message)
    verdicts = [
        case.verdict(settings.alignment.verdicts) if bound is None else case.judgement.serendipity >= bound for case in cases
    ]
    return _about(cases) | {"parts": {"all": _parts(cases, {"serendipity": verdicts}, seed=seed)}}


def _of_log(name: str, settings: Settings, judge: LocalJudge, *, part: str, limit: int, seed: int) -> dict[str, Any]:
    from models.evaluation.judging import best_bound
    from models.evaluation.planted import planted
    from streams.verdicts.cases import PARTS, judge_planted

    log = _replayed(name, settings)
    found: dict[str, list[Case]] = {}
    for one in dict.fromkeys(("validation", part)):
        samples = log.part("validation" if one == "validation" else "test")
        asks = planted(samples, log.catalogue, seed=seed, limit=limit)
        if not asks:
            message = f"{name}: the {one} part holds no serendipitous item, so there is nothing to judge"
            raise click.ClickException(message)
        found[one] = judge_planted(asks, judge)
    before, cases = found["validation"], found[part]
    bounds = {name: best_bound([case.score(name) for case in before], [case.label for case in before]) for name in PARTS}
    against = {
        "all": cases,
        "new": [case for case in cases if case.kind != "seen"],
        "seen": [case for case in cases if case.kind != "new"],
    }
    parts = {
        kind: _parts(some, {name: [case.score(name) >= bounds[name] for case in some] for name in PARTS}, seed=seed)
        for kind, some in against.items()
    }
    return _about(cases) | {"part": part, "bounds_of_validation": bounds, "parts": parts}


def _replayed(name: str, settings: Settings) -> LabelledLog:
    from rich.console import Console

    from streams.cli.train_data import log_of
    from streams.samples import read_samples

    with Console(stderr=True).status(f"Replaying {name} through the profiles"):
        return read_samples(log_of(name), policy=settings.rules.profile)


def _about(cases: Sequence[Case]) -> dict[str, Any]:
    return {
        "cases": len(cases),
        "positives": sum(case.label for case in cases),
        "users": len({case.user_id for case in cases}),
    }


def _parts(cases: Sequence[Case], verdicts: dict[str, list[bool]], *, seed: int) -> dict[str, Any]:
    """The figures of serendipity and of its parts; a kappa where there are verdicts."""
    from models.evaluation.judging import as_json, figures
    from streams.verdicts.cases import PARTS

    labels, users = [case.label for case in cases], [case.user_id for case in cases]
    found: dict[str, Any] = {}
    for part in PARTS:
        scores = [case.score(part) for case in cases]
        said = verdicts.get(part, [False] * len(cases))
        one: Figures = figures(scores, labels, users, verdicts=said, seed=seed)
        found[part] = as_json(one if part in verdicts else one._replace(kappa=None))
    return found


def _show(outcome: dict[str, Any]) -> None:
    from streams.cli.tables import show_table

    for name, found in outcome["sets"].items():
        rows = [
            (kind, part, *(_cell(figures[figure]) for figure in ("auc", "ap", "kappa")))
            for kind, parts in found["parts"].items()
            for part, figures in parts.items()
        ]
        title = f"{name}: {found['positives']:,} yes of {found['cases']:,} cases, {found['users']:,} users, {outcome['judge']}"
        show_table(title, ("against", "score", "AUC [95 %]", "AP", "kappa"), rows, caption=outcome["labels"])


def _cell(interval: dict[str, float] | None) -> str:
    """A figure and its bounds in 16 characters, so that the table fits a narrow terminal."""
    if interval is None:
        return ""
    mean, low, high = (f"{interval[name]:.3f}".replace("0.", ".", 1) for name in ("mean", "low", "high"))
    return f"{mean} [{low} {high}]"
