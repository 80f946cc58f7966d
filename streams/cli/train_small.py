"""`seren train small`: the small SerenGPT end to end, stage by stage. Needs the `train` extra."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from streams.cli.extras import need_train
from streams.cli.options import json_option, print_json

if TYPE_CHECKING:
    from streams.training.small_recipe import Packaged
    from streams.training.stages import Done

_FOLDER = click.Path(file_okay=False, path_type=Path)


@click.command("small")
@click.option("--log", "log", type=_FOLDER, help="A log folder; the shipped one if left out.")
@click.option("--out", type=_FOLDER, default=Path(".run/train-small"), show_default=True, help="For all that is made.")
@click.option("--seed", type=int, default=7, show_default=True)
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True, help="Part of what is repeated.")
@click.option("--size", type=click.Choice(["small", "base"]), default="small", show_default=True, help="base: for one GPU.")
@click.option("--steps", type=click.IntRange(min=1), help="At most so many of each training: a quick look.")
@click.option("--ablation", is_flag=True, help="Also the paper's variants, an untrained network, SASRec; the table of all.")
@json_option
def small(
    *, log: Path | None, out: Path, seed: int, threads: int, size: str, steps: int | None, ablation: bool, as_json: bool
) -> None:
    """Data, SFT, pairs, IPO, measures, gate. What was done before is skipped; a stage that was stopped goes on."""
    need_train("seren train small", "pyarrow", "torch", "transformers", "trl", "peft", "datasets")
    from msgspec import to_builtins

    from models.pretrained import serengpt_folder
    from streams.training.small_recipe import package, stages
    from streams.training.stages import run_stages

    planned = stages(
        out, shipped=serengpt_folder(), log=log, seed=seed, threads=threads, size=size, steps=steps, ablation=ablation
    )
    done = run_stages(planned, folder=out, tell=lambda line: click.echo(line, err=True))
    found = package(out, shipped=serengpt_folder(), candidates=("sft", "ipo"), created_ms=int(time.time() * 1000))
    if as_json:
        print_json({"folder": str(out), "stages": to_builtins(done), "packaged": to_builtins(found)})
    else:
        _show(done, found, out)


def _show(done: list[Done], found: list[Packaged], out: Path) -> None:
    from streams.cli.tables import show_table

    rows = [(one.name, f"{one.wall_s:,.0f}", f"{one.cpu_s:,.0f}", "before" if one.is_kept else "now") for one in done]
    rows.append(("all", f"{sum(one.wall_s for one in done):,.0f}", f"{sum(one.cpu_s for one in done):,.0f}", ""))
    show_table(f"Made in {out}", ("stage", "wall, s", "CPU, s", "when"), rows)
    for one in found:
        click.echo(verdict(one, out))
    if not any(one.is_better for one in found):
        click.echo("The shipped checkpoint stays.")


def verdict(one: Packaged, out: Path) -> str:
    """What became of a candidate, and where its reader goes from there.

    Example:
        >>> from streams.training.small_recipe import Packaged
        >>> small = Packaged(name="ipo", version=3, refusals=(), megabytes=7.24, is_better=True)
        >>> print(verdict(small, Path("made")))
        ipo (7.24 MB) passes the gate and ranks better than the shipped checkpoint: serengpt.model = "made/ipo" serves it
        >>> large = Packaged(name="ipo", version=3, refusals=(), megabytes=412.5, is_better=True)
        >>> print(verdict(large, Path("made")).partition(": ")[2])
        serengpt.model = "made/ipo" serves it; the package takes at most 10 MB
    """
    from streams.training.small_recipe import MAX_BYTES

    what = f"{one.name} ({one.megabytes} MB)"
    if one.refusals:
        return "\n".join((f"{what} is refused:", *(f"  {why}" for why in one.refusals)))
    if not one.is_better:
        return f"{what} passes the gate, and ranks no better than the shipped checkpoint"
    most = MAX_BYTES / 1e6
    packaged = "" if one.megabytes <= most else f"; the package takes at most {most:.0f} MB"
    return (
        f"{what} passes the gate and ranks better than the shipped checkpoint: "
        f'serengpt.model = "{out / one.name}" serves it{packaged}'
    )
