"""`seren models`: versions of SerenGPT in a folder, which of them serves, and whether another may."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from models.errors import ConfigError
from streams.cli.options import config_option, json_option, print_json, settings_of

if TYPE_CHECKING:
    from models.registry import Metrics, Registry, Version

_REFUSED = 1
_FOLDER = click.Path(file_okay=False, path_type=Path)
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
registry_option = click.option("--registry", "folder", type=_FOLDER, help="The registry's folder; serengpt.model if left out.")


@click.group("models")
def models_group() -> None:
    """Keep versions of SerenGPT, promote the one that serves, go back to the one before.

    Workers whose serengpt.model is the registry's folder follow it without a restart.
    """


@models_group.command("list")
@registry_option
@config_option
@json_option
def list_versions(folder: Path | None, config: Path | None, as_json: bool) -> None:
    """Versions with their metrics; the one that serves is marked."""
    registry = _registry(folder, config)
    current, versions = registry.pointer().current, registry.versions()
    if as_json:
        told = [_told(version, registry.measured(version.number)) for version in versions]
        print_json({"current": current, "versions": told})
        return
    from streams.cli.tables import show_table

    rows = [
        ("serves" if one.number == current else "", str(one.number), one.model_id, *_measures(registry.measured(one.number)))
        for one in versions
    ]
    columns = ("", "version", "model", "cases", "ranking", "novelty", "diversity")
    show_table(f"{len(rows)} versions in {registry.folder}", columns, rows)


@models_group.command("add")
@click.argument("checkpoint", type=_FOLDER)
@registry_option
@click.option("--metrics", "metrics_file", type=_FILE, help="What an evaluation found, as JSON; without it, no promotion.")
@click.option("--parent", type=click.IntRange(min=1), help="The version that it was made from; else the one that serves.")
@config_option
@json_option
def add(
    checkpoint: Path, folder: Path | None, metrics_file: Path | None, parent: int | None, config: Path | None, as_json: bool
) -> None:
    """Copy a checkpoint in as the next version, signed if serengpt.key_file is set; it does not serve yet."""
    registry = _registry(folder, config)
    metrics = _metrics(metrics_file) if metrics_file else None
    version = registry.add(checkpoint, metrics=metrics, parent=parent, created_ms=int(time.time() * 1000))
    _say(version, "added", as_json=as_json)


@models_group.command("measure")
@click.argument("number", type=click.IntRange(min=1))
@registry_option
@click.option("--metrics", "metrics_file", type=_FILE, required=True, help="What `seren evaluate gate --json` found of it.")
@config_option
def measure(number: int, folder: Path | None, metrics_file: Path, config: Path | None) -> None:
    """Keep what was measured of a version on other, or more, cases; promotion decides on the most that two versions share."""
    found = _metrics(metrics_file)
    _registry(folder, config).measure(number, found)
    click.echo(f"version {number} is measured on {found.evaluation.name}, {found.evaluation.slates} slates")


@models_group.command("promote")
@click.argument("number", type=click.IntRange(min=1))
@registry_option
@config_option
@json_option
def promote(number: int, folder: Path | None, config: Path | None, as_json: bool) -> None:
    """Let a version serve if it is surely no worse than the one that does in ranking, novelty and diversity; else exit 1.

    Both are compared case by case on the same cases (seren evaluate gate), and users are resampled. What the section
    `promotion` of the configuration allows to be lost must be ruled out to be more: few cases are an answer, too.
    """
    registry = _registry(folder, config)
    why = registry.promote(number, gate=settings_of(config).promotion)
    if as_json:
        print_json({"version": number, "promoted": not why, "refusals": why})
    else:
        for line in why:
            click.echo(f"version {number} is refused: {line}", err=True)
    if why:
        sys.exit(_REFUSED)
    if not as_json:
        click.echo(f"version {number} serves")


@models_group.command("rollback")
@registry_option
@config_option
@json_option
def rollback(folder: Path | None, config: Path | None, as_json: bool) -> None:
    """Let the version serve again that did before this one."""
    _say(_registry(folder, config).rollback(), "serves again", as_json=as_json)


@models_group.command("verify")
@click.argument("number", type=click.IntRange(min=1), required=False)
@registry_option
@config_option
@json_option
def verify(number: int | None, folder: Path | None, config: Path | None, as_json: bool) -> None:
    """Check files and signature of a version, or of all."""
    registry = _registry(folder, config)
    numbers = [number] if number else [version.number for version in registry.versions()]
    for one in numbers:
        registry.verify(one)
    if as_json:
        print_json({"verified": numbers})
    else:
        click.echo(f"{len(numbers)} versions are what their records say")


def _registry(folder: Path | None, config: Path | None) -> Registry:
    from models.registry import Registry, model_key

    serengpt = settings_of(config).serengpt
    if folder is None and not serengpt.model:
        message = "which registry? Give --registry, or set serengpt.model to its folder"
        raise ConfigError(message)
    return Registry(folder or Path(serengpt.model), key=model_key(serengpt.key_file))


def _metrics(path: Path) -> Metrics:
    import msgspec

    from models.registry.measured import METRICS_BYTES, Metrics

    if path.stat().st_size > METRICS_BYTES:
        message = f"--metrics {path}: {path.stat().st_size} bytes are over the bound of {METRICS_BYTES}"
        raise ConfigError(message)
    try:
        return msgspec.json.decode(path.read_bytes(), type=Metrics)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        message = f"--metrics {path}: {error}; write it with seren evaluate gate --json"
        raise ConfigError(message) from error


def _told(version: Version, measured: Sequence[Metrics] = ()) -> dict[str, object]:
    """A version with what was measured of it, less the values of each case."""
    from msgspec import to_builtins

    told: dict[str, object] = to_builtins(version)
    found = []
    for one in measured:
        means = {what: to_builtins(getattr(one, what)) for what in ("ranking", "novelty", "diversity")}
        for mean in means.values():
            del mean["values"]
        found.append({"evaluation": to_builtins(one.evaluation), **means})
    return told | {"content_hash": version.content_hash, "measured": found}


def _measures(measured: Sequence[Metrics]) -> tuple[str, ...]:
    """Of the measurement on the most cases."""
    if not measured:
        return ("not measured", "", "", "")
    found = (measured[0].ranking, measured[0].novelty, measured[0].diversity)
    return (f"{measured[0].evaluation.cases:,}", *(f"{one.mean:.4g} [{one.low:.4g} {one.high:.4g}]" for one in found))


def _say(version: Version, what: str, *, as_json: bool) -> None:
    if as_json:
        print_json(_told(version))
    else:
        click.echo(f"version {version.number} {what}: {version.model_id}")
