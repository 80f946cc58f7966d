"""How a command ends that may have failed in part: what came of it, the first failures, and 1 as exit code for any."""

from __future__ import annotations

import sys
from typing import Any

import click

from streams.cli.options import print_json


def end(title: str, outcome: dict[str, Any], failed: list[str], *, what: str, caption: str, as_json: bool) -> None:
    """Shows it, and exits with 1 where something failed.

    Args:
        title: of the table.
        outcome: numbers by their names.
        failed: what went wrong with each that failed.
        what: those that can fail, in plural.
        caption: what to do next.
        as_json: one JSON object in place of the table.
    """
    if as_json:
        print_json(outcome | {"first_failures": failed[:3]})
    else:
        from streams.cli.tables import show_table

        rows = [(name.replace("_", " "), str(value)) for name, value in outcome.items()]
        show_table(title, ("what", "value"), rows, caption=caption)
    if failed:
        click.echo(f"seren: {len(failed)} {what} could not be judged, the first: {failed[0]}", err=True)
        sys.exit(1)
