"""`seren import`: public data sets as recorded logs. Knows nothing about Kafka or Redis."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.table import Table

from models.errors import LogError
from streams.importers.complete_journey import import_complete_journey
from streams.importers.online_retail import import_online_retail
from streams.importers.summary import ImportSummary

# Exit status of a wrong argument, as click's own.
WRONG_USE = 2

_out = click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Folder to write the log to; made if it is not there.",
)
_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")


@click.group("import")
def import_group() -> None:
    """Make a recorded log from a public data set."""


@import_group.command("online-retail")
@click.argument("path", type=click.Path(path_type=Path))
@_out
@_json
def online_retail(path: Path, out: Path, as_json: bool) -> None:
    """Import the Online Retail file PATH (.csv or .csv.xz)."""
    _import(import_online_retail, path, out, as_json=as_json)


@import_group.command("complete-journey")
@click.argument("path", type=click.Path(path_type=Path))
@_out
@_json
def complete_journey(path: Path, out: Path, as_json: bool) -> None:
    """Import the Complete Journey tables (.csv or .csv.xz) in the folder PATH."""
    _import(import_complete_journey, path, out, as_json=as_json)


def _import(importer: Callable[[Path, Path], ImportSummary], path: Path, out: Path, *, as_json: bool) -> None:
    try:
        with Console(stderr=True).status(f"Importing {path}"):
            summary = importer(path, out)
    except LogError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(WRONG_USE)
    if as_json:
        click.echo(msgspec.json.encode(summary))
    else:
        _show(summary)


def _show(summary: ImportSummary) -> None:
    about = summary.about
    console = Console()
    console.print(f"[bold]{about.name}[/bold] ({about.licence}) in {summary.folder}", highlight=False)
    written = Table("written", "count")
    rows = [
        *about.events_by_type.items(),
        ("users", about.users),
        ("items", about.items),
        ("leaf categories", summary.leaves),
        ("departments", summary.departments),
    ]
    for name, count in rows:
        written.add_row(name, f"{count:,}")
    console.print(written)
    if summary.dropped:
        dropped = Table("left out because", "file", "rows", "first lines")
        for reason in summary.dropped:
            dropped.add_row(reason.reason, reason.file, f"{reason.rows:,}", ", ".join(map(str, reason.first_lines)))
        console.print(dropped)
