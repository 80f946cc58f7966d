"""`seren label`: a person's check of samples and pairs, on a page of this machine; and how far people and the judge agree.

Exit codes: 0 done, 2 an error.
"""

from __future__ import annotations

import getpass
import time
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from streams.cli.options import json_option, print_json

if TYPE_CHECKING:
    from models.alignment.decisions import Decision, Question

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("label")
@click.argument("questions", type=_FILE)
@click.option("--person", default=getpass.getuser, help="Who decides; else the name of this account.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Else decisions-PERSON.jsonl beside QUESTIONS.")
@click.option("--blind", is_flag=True, help="Hide what the judge says: for agreement that it cannot sway.")
@click.option("--port", type=click.IntRange(0, 65_535), default=0, help="Of the page on 127.0.0.1; a free one if left out.")
@click.option("--open/--no-open", "is_opened", default=True, help="Open the page in the browser.")
@click.option("--agreement", is_flag=True, help="Ask nothing: print how far those who decided agree.")
@json_option
def label(
    *,
    questions: Path,
    person: str,
    out: Path | None,
    blind: bool,
    port: int,
    is_opened: bool,
    agreement: bool,
    as_json: bool,
) -> None:
    """Decide about the QUESTIONS that `seren train verdicts` and `seren train pairs` wrote, one after the other.

    Every decision is kept at once; a session that was stopped goes on where it was. All decisions-*.jsonl beside the questions
    count for agreement (Cohen's kappa, 95 % intervals over users).
    """
    from streams.alignment.labelling.decisions import file_of, read_questions

    asked = read_questions(questions)
    path = out or file_of(questions.parent, person)
    if agreement:
        _show_agreement(asked, _decisions(questions.parent, path), as_json=as_json)
    else:
        _serve(asked, path, questions.parent, person=person, is_blind=blind, port=port, is_opened=is_opened)


def _decisions(folder: Path, *more: Path) -> list[Decision]:
    from streams.alignment.labelling.decisions import read_decisions

    paths = {*folder.glob("decisions-*.jsonl"), *(path for path in more if path.exists())}
    return [one for path in sorted(paths) for one in read_decisions(path)]


def _serve(
    asked: list[Question], path: Path, folder: Path, *, person: str, is_blind: bool, port: int, is_opened: bool
) -> None:
    from streams.alignment.labelling.decisions import DecisionFile
    from streams.alignment.labelling.server import LabelServer
    from streams.alignment.labelling.session import Session

    with DecisionFile(path) as file:
        session = Session(
            asked,
            file,
            person=person,
            others=_decisions(folder),
            clock_ms=lambda: time.time_ns() // 1_000_000,
            is_blind=is_blind,
        )
        try:
            with LabelServer(session, port=port) as server:
                click.echo(f"{len(asked)} questions, {len(file.decisions)} of them decided in {path}")
                click.echo(f"The page is at {server.url}  (Ctrl-C ends)")
                if is_opened:
                    webbrowser.open(server.url)
                _wait()
        except OSError as error:
            raise click.BadParameter(f"{port}: {error.strerror}", param_hint="--port") from error  # noqa: EM102
        click.echo(f"{len(file.decisions)} of {len(asked)} decided")


def _wait() -> None:
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        click.echo()


def _show_agreement(asked: list[Question], decisions: list[Decision], *, as_json: bool) -> None:
    from models.alignment.decisions import agreements, standing
    from streams.alignment.labelling.view import agreement_view
    from streams.cli.tables import show_table

    rows = [agreement_view(one) for one in agreements(decisions, {one.id: one for one in asked}, seed=0)]
    last = standing(decisions)
    outcome: dict[str, Any] = {
        "questions": len(asked),
        "decided": len({one.id for one in last}),
        "persons": sorted({one.person for one in last}),
        "agreements": rows,
    }
    if as_json:
        print_json(outcome)
        return
    cells = [(one["first"], one["second"], str(one["cases"]), f"{one['agreed']:.2f}", _kappa(one)) for one in rows]
    title = f"{outcome['decided']} of {len(asked)} questions decided"
    show_table(title, ("one", "other", "cases", "agreed", "kappa [95 %]"), cells)


def _kappa(row: dict[str, Any]) -> str:
    return "not defined" if row["kappa"] is None else f"{row['kappa']:.2f} [{row['low']:.2f} {row['high']:.2f}]"
