"""`seren train tower`: the vector channel's tower from a recorded log. Needs the `train` extra."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from streams.cli.extras import need_train
from streams.cli.options import json_option, print_json

_FOLDER = click.Path(file_okay=False, path_type=Path)


@click.command("tower")
@click.option(
    "--log", "folder", type=click.Path(file_okay=False, path_type=Path), help="A log folder; the shipped one if left out."
)
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="Model folder to write tower.npz to."
)
@click.option("--name", default="tower-small", show_default=True, help="Goes into the tower.")
@click.option("--steps", type=click.IntRange(min=1), help="Steps of training; the plan's if left out.")
@click.option("--seed", type=int, help="Seed of training; the plan's if left out.")
@json_option
def tower(folder: Path | None, out: Path, name: str, steps: int | None, seed: int | None, as_json: bool) -> None:
    """Train the tower on the first part of a log and write it to --out."""
    need_train("seren train tower", "torch")
    from rich.console import Console
    from rich.progress import Progress

    from models.profiles import ProfilePolicy
    from models.training.tower import TowerPlan, examples, train
    from streams.recorded.logs import RecordedLog, shipped_log
    from streams.samples import read_samples

    plan = TowerPlan()
    plan = replace(plan, steps=plan.steps if steps is None else steps, seed=plan.seed if seed is None else seed)
    console = Console(stderr=True)
    with console.status("Replaying the log"):
        log = read_samples(RecordedLog(folder) if folder else shipped_log("online-retail"), policy=ProfilePolicy())
    rows = {item.item_id: row for row, item in enumerate(log.catalogue)}
    given = examples(log.part("train"), rows.get)
    losses: list[float] = []
    with Progress(console=console) as progress:
        task = progress.add_task("Training", total=plan.steps)

        def report(step: int, loss: float) -> None:
            losses.append(loss)
            progress.update(task, completed=step + 1)

        found = train(log.catalogue.items, given, plan=plan, name=name, report=report)
    found.save(out)
    outcome = {"folder": str(out), "name": name, "items": len(rows), "visit_days": len(given), "loss": losses[-1]}
    if as_json:
        print_json(outcome)
    else:
        console.print(f"{name}: {len(rows):,} items, {len(given):,} visit days, loss {losses[-1]:.3f}, in {out}")
