"""Options that several commands share."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import orjson

from streams.config import ENGINES, Settings, load_settings

config_option = click.option(
    "--config",
    "config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="TOML configuration; SEREN_* variables override it.",
)
engine_option = click.option(
    "--engine",
    type=click.Choice(ENGINES),
    default=ENGINES[0],
    show_default=True,
    help="What runs checkpoints; torch scores three times as fast on a CPU, in 32 bits instead of 8.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")


def settings_of(config: Path | None) -> Settings:
    """The settings of a command: its file under this process's environment."""
    return load_settings(config, os.environ)


def utc_ms(at: datetime) -> int:
    """A date from the command line as milliseconds since 1970; it is meant in UTC."""
    return round(at.replace(tzinfo=UTC).timestamp() * 1000)


def print_json(value: Any) -> None:
    """One JSON object on standard output; numpy numbers and structs are fine."""
    click.echo(orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_INDENT_2).decode())
