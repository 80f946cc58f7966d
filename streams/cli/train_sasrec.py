"""`seren train sasrec`: the sequential baseline of `seren evaluate ranking`. Needs the `train` extra."""

from __future__ import annotations

from pathlib import Path

import click

from streams.cli.extras import need_train
from streams.cli.options import json_option, print_json

_FOLDER = click.Path(file_okay=False, path_type=Path)


@click.command("sasrec")
@click.option("--log", "folder", type=_FOLDER, help="A log folder; the shipped one if left out.")
@click.option("--out", type=_FOLDER, required=True, help="Folder to write the network to.")
@click.option("--epochs", type=click.IntRange(min=1), help="At most so many of each plan; the plan's if left out.")
@click.option("--plans", type=click.IntRange(min=1), help="Only the first so many of the search; all if left out.")
@click.option("--cases", type=click.IntRange(min=1), default=400, show_default=True, help="Of the validation part, per epoch.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the validation cases.")
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True, help="Of torch.")
@json_option
def sasrec(
    *,
    folder: Path | None,
    out: Path,
    epochs: int | None,
    plans: int | None,
    cases: int,
    seed: int,
    threads: int,
    as_json: bool,
) -> None:
    """Train SASRec on the first part of a log, one setting changed after the other; the best on validation goes to --out."""
    need_train("seren train sasrec", "torch")
    import torch
    from rich.console import Console

    from streams.evaluation.questions import read_questions
    from streams.evaluation.sequential import tune
    from streams.recorded.logs import RecordedLog, shipped_log

    torch.set_num_threads(threads)
    console = Console(stderr=True)
    with console.status("Replaying the log"):
        recorded = RecordedLog(folder) if folder else shipped_log("online-retail")
        questions = read_questions(recorded, part="validation", seed=seed, limit=cases)
    tried = []
    for one in tune(questions, out, epochs=epochs, plans=plans, seed=seed):
        tried.append(one)
        console.print(f"{one['plan']}: NDCG@10 {one['validation']:.4f} in epoch {one['epoch']}, loss {one['loss']:.3f}")
    if as_json:
        print_json({"folder": str(out), "tried": tried})
