"""`seren train align`: preference alignment of a SerenGPT checkpoint. Needs the `train` extra."""

from __future__ import annotations

import hashlib
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from models.pretrained import serengpt_folder
from streams.cli.extras import need_train
from streams.cli.options import json_option, print_json

if TYPE_CHECKING:
    from rich.console import Console

    from models.training.align import Aligned, AlignPolicy, Method
    from models.training.preferences import Judged, Pair

_NEEDS = ("torch", "transformers", "trl", "peft", "datasets", "pyarrow")
_METHODS = ("ipo", "dpo", "kto", "sft")
_TASKS = ("title", "query")
_FOLDER = click.Path(file_okay=False, path_type=Path)
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("align")
@click.option("--method", type=click.Choice(_METHODS), default="ipo", show_default=True)
@click.option("--pairs", type=_FILE, help="Parquet of judged pairs of titles.")
@click.option("--samples", type=_FILE, help="In their place, for kto and sft: Parquet of samples; their IPO half is learned.")
@click.option("--base", type=_FOLDER, help="Checkpoint to start from, and the reference; the shipped one if left out.")
@click.option("--out", type=_FOLDER, required=True, help="Folder for the checkpoint; a run that was stopped goes on there.")
@click.option("--name", help="Of the model, part of its id; serengpt-METHOD if left out.")
@click.option("--task", type=click.Choice(_TASKS), default="title", show_default=True, help="What the data's titles are.")
@click.option("--without-profile", is_flag=True, help="Ask with the recent history alone (the ablation).")
@click.option("--tau", type=float, help="IPO: 1 / (2 tau) nats a token are aimed at; DPO, KTO: beta.")
@click.option("--steps", type=click.IntRange(min=1))
@click.option("--batch", type=click.IntRange(min=1), help="Rows a step, over all devices.")
@click.option("--learning-rate", type=float)
@click.option("--seed", type=int, default=7, show_default=True, help="Of the adapter's first weights and the order of rows.")
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True, help="Of torch on the CPU.")
@json_option
def align_command(
    *,
    method: Method,
    pairs: Path | None,
    samples: Path | None,
    base: Path | None,
    out: Path,
    name: str | None,
    task: str,
    without_profile: bool,
    tau: float | None,
    steps: int | None,
    batch: int | None,
    learning_rate: float | None,
    seed: int,
    threads: int,
    as_json: bool,
) -> None:
    """Align SerenGPT with judged titles (LoRA, merged, converted); `accelerate launch -m streams train align` spreads it."""
    need_train("seren train align", *_NEEDS)
    import torch
    from msgspec import to_builtins
    from rich.console import Console

    from models.training.align import AlignPolicy

    torch.set_num_threads(threads)
    changed = {"tau": tau, "steps": steps, "batch": batch, "learning_rate": learning_rate}
    try:
        policy = AlignPolicy(method=method, **{key: value for key, value in changed.items() if value is not None})  # type: ignore[arg-type]
        rows = _rows(pairs, samples, method, without_profile=without_profile)
        started = time.monotonic()
        console = Console(stderr=True)
        base = base or serengpt_folder()
        aligned = _align(base, rows, policy, console, seed=seed, out=out, name=name or f"serengpt-{method}")
    except ValueError as error:
        message = f"seren train align: {error}"
        raise click.UsageError(message) from error
    if aligned is None:
        return  # another process of this launch writes
    seconds = time.monotonic() - started
    _write_card(
        aligned, policy, out, _one(pairs, samples), task=task, without_profile=without_profile, seed=seed, seconds=seconds
    )
    if as_json:
        print_json({"folder": str(out), "aligned": to_builtins(aligned), "seconds": seconds})
    else:
        console.print(
            f"{aligned.manifest.name} in {out}: {method}, {aligned.rows:,} rows, {aligned.steps} steps, "
            f"loss {aligned.first_loss:.3f} to {aligned.last_loss:.3f}, {seconds:.0f} s"
        )


def _one(pairs: Path | None, samples: Path | None) -> Path:
    found = [path for path in (pairs, samples) if path is not None]
    if len(found) != 1:
        message = f"--pairs and --samples: {len(found)} given, must be one"
        raise click.UsageError(message)
    return found[0]


def _rows(pairs: Path | None, samples: Path | None, method: Method, *, without_profile: bool) -> list[Pair] | list[Judged]:
    from msgspec.structs import replace

    from models.training import preferences
    from streams.alignment import files as alignment_files

    data = _one(pairs, samples)
    if pairs is None:
        judged = preferences.judged_of_samples(alignment_files.read_samples(data))
    else:
        found = preferences.pairs_of(alignment_files.read_pairs(data))
        if without_profile:
            found = [replace(row, digest=preferences.without_profile(row.digest)) for row in found]
        if method in ("ipo", "dpo"):
            return found
        judged = preferences.judged_of_pairs(found)
    return [replace(row, digest=preferences.without_profile(row.digest)) for row in judged] if without_profile else judged


def _align(
    base: Path, rows: list[Pair] | list[Judged], policy: AlignPolicy, console: Console, *, seed: int, out: Path, name: str
) -> Aligned | None:
    from rich.progress import Progress, TextColumn

    from models.training.align import AlignStep, align

    with Progress(*Progress.get_default_columns(), TextColumn("{task.fields[loss]}"), console=console) as progress:
        shown = progress.add_task(policy.method, total=policy.steps, loss="reference")

        def watch(step: AlignStep) -> None:
            margin = "" if step.margin is None else f", margin {step.margin:.3f}"
            progress.update(shown, completed=step.step, loss=f"loss {step.loss:.3f}{margin}")

        return align(base, rows, policy=policy, seed=seed, folder=out, name=name, watch=watch)


def _write_card(
    aligned: Aligned,
    policy: AlignPolicy,
    out: Path,
    data: Path,
    *,
    task: str,
    without_profile: bool,
    seed: int,
    seconds: float,
) -> None:
    import msgspec

    from models.training.align_card import AlignmentRecord, align_card

    with data.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    record = AlignmentRecord(
        name=aligned.manifest.name,
        task=task,
        method=aligned.method,
        reference=aligned.reference,
        data=data.name,
        data_sha256=digest,
        rows=aligned.rows,
        without_profile=without_profile,
        policy={key: value for key, value in asdict(policy).items() if key != "method"},
        seed=seed,
        first_loss=aligned.first_loss,
        last_loss=aligned.last_loss,
        parameters_trained=aligned.parameters_trained,
        seconds=round(seconds, 1),
        command=" ".join(("seren", *sys.argv[1:])),
    )
    (out / "alignment.json").write_bytes(msgspec.json.format(msgspec.json.encode(record)) + b"\n")
    (out / "README.md").write_text(align_card(record, aligned.manifest.sha256))
