"""`seren train refresh`: SerenGPT goes on with what was wanted since. Needs the `train` extra."""

from __future__ import annotations

import sys
import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from streams.cli.extras import need_train
from streams.cli.options import json_option, print_json, utc_ms

if TYPE_CHECKING:
    from rich.console import Console

    from models.training.refresh import Refreshed, RefreshPolicy
    from models.training.refresh_card import RefreshRecord, Window
    from models.training.sft import Step
    from streams.samples import LabelledLog

_FOLDER = click.Path(file_okay=False, path_type=Path)
_DATE = click.DateTime(["%Y-%m-%d"])


@click.command("refresh")
@click.option("--log", "folder", type=_FOLDER, help="A log folder; the shipped one if left out.")
@click.option("--base", type=_FOLDER, help="Checkpoint to go on from; the shipped one if left out.")
@click.option("--out", type=_FOLDER, required=True, help="Folder for the checkpoint; a run that was stopped goes on there.")
@click.option("--since", type=_DATE, help="UTC, where the window begins; where --base ended if left out.")
@click.option("--until", type=_DATE, help="UTC, the cut: nothing from then on is seen; the log's end if left out.")
@click.option("--every-days", type=click.IntRange(min=1), help="Refresh after refresh, each in a dated folder below --out.")
@click.option("--name", default="serengpt-refreshed", show_default=True, help="Of the model; part of its id.")
@click.option("--steps", type=click.IntRange(min=1), help="Of 16 visit days each; the policy's if left out, as those below.")
@click.option("--learning-rate", type=float)
@click.option("--half-life-days", type=float, help="After which a day of the window is drawn half as often.")
@click.option("--replay-ratio", type=float, help="Of the draws, to days before the window.")
@click.option("--seed", type=int, default=7, show_default=True, help="Of all draws.")
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True, help="Of torch.")
@json_option
def refresh_command(
    *,
    folder: Path | None,
    base: Path | None,
    out: Path,
    since: datetime | None,
    until: datetime | None,
    every_days: int | None,
    name: str,
    steps: int | None,
    learning_rate: float | None,
    half_life_days: float | None,
    replay_ratio: float | None,
    seed: int,
    threads: int,
    as_json: bool,
) -> None:
    """Teach a checkpoint what was wanted since it ended, among older days against forgetting; run it each week.

    It then ranks days after the cut. `seren evaluate ranking --rolling` measures a folder of dated ones; `seren evaluate gate`
    and `seren models add` and `promote` let one serve.
    """
    need_train("seren train refresh", "torch", "transformers")
    import torch
    from msgspec import to_builtins
    from rich.console import Console

    from models.pretrained import serengpt_folder
    from models.profiles import ProfilePolicy
    from models.training.refresh import RefreshPolicy
    from streams.recorded.logs import RecordedLog, shipped_log
    from streams.samples import read_samples
    from streams.training.refreshing import trained_until, windows

    torch.set_num_threads(threads)
    console = Console(stderr=True)
    recorded = RecordedLog(folder) if folder else shipped_log("online-retail")
    with console.status("Replaying the log through the profiles"):
        log = read_samples(recorded, policy=ProfilePolicy())
    changed = {
        "seed": seed,
        "steps": steps,
        "learning_rate": learning_rate,
        "half_life_days": half_life_days,
        "replay_ratio": replay_ratio,
    }
    parent = base or serengpt_folder()
    since_ms = utc_ms(since) if since else trained_until(parent, log.split)
    until_ms = utc_ms(until) if until else recorded.about.last_ts_ms + 1
    records = []
    try:
        policy = RefreshPolicy(**{key: value for key, value in changed.items() if value is not None})  # type: ignore[arg-type]
        for window in windows(since_ms, until_ms, every_days=every_days):
            target = out / window.name if every_days else out
            record = _refresh(parent, log, window, policy, console, data=recorded.about.name, out=target, name=name)
            records.append(record)
            parent = target
    except ValueError as error:
        message = f"seren train refresh: {error}"
        raise click.UsageError(message) from error
    if as_json:
        print_json({"folder": str(out), "refreshed": to_builtins(records)})


def _refresh(
    base: Path,
    log: LabelledLog,
    window: Window,
    policy: RefreshPolicy,
    console: Console,
    *,
    data: str,
    out: Path,
    name: str,
) -> RefreshRecord:
    """One refresh with its card; one that lies there finished, and was asked for in the same words, is kept."""
    from dataclasses import asdict

    from models.serengpt.checkpoint import read_weights_checkpoint
    from models.training.refresh_card import read_record, refresh_card

    found = read_record(out)
    asked = (window.since_ms, window.until_ms, asdict(policy), read_weights_checkpoint(base).model_id)
    if found and asked == (found.since_ms, found.until_ms, found.policy, found.parent):
        console.print(f"{window.name}: is there")
        return found
    started = time.monotonic()
    refreshed = _train(base, log, window, policy, console, out=out, name=name)
    seconds, command = time.monotonic() - started, " ".join(("seren", *sys.argv[1:]))
    card = refresh_card(refreshed.record, refreshed.manifest.sha256, data=data, command=command, seconds=seconds)
    (out / "README.md").write_text(card)
    console.print(f"{window.name}: {refreshed.record.window_days:,} days of the window, {seconds:.0f} s, in {out}")
    return refreshed.record


def _train(
    base: Path,
    log: LabelledLog,
    window: Window,
    policy: RefreshPolicy,
    console: Console,
    *,
    out: Path,
    name: str,
) -> Refreshed:
    from rich.progress import Progress, TextColumn

    from models.training.refresh import refresh

    with Progress(*Progress.get_default_columns(), TextColumn("{task.fields[loss]}"), console=console) as progress:
        task = progress.add_task(window.name, total=policy.steps, loss="")

        def watch(step: Step) -> None:
            progress.update(task, completed=step.step, loss=f"loss {step.loss:.3f}")

        return refresh(
            base,
            log.samples,
            log.catalogue.get,
            window=window,
            policy=policy,
            folder=out,
            name=name,
            watch=watch,
        )
