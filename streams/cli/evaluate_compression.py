"""`seren evaluate compression`: whose whole history fits into a model's context, with and without compression."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from streams.cli.options import json_option, print_json

if TYPE_CHECKING:
    from models.evaluation.compression import Fit

_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
_BYTES_PER_TOKEN = 4  # the rule of thumb for English in vocabularies of general models, which are not at hand here


@click.command("compression")
@click.option("--log", "folder", type=_FOLDER, help="A log folder; the shipped Online Retail log if left out.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the intervals.")
@json_option
def compression(*, folder: Path | None, seed: int, as_json: bool) -> None:
    """Count every customer's whole history in tokens: one line a behaviour, and compressed.

    Tokens are those of the shipped SerenGPT, and a quarter of the bytes, as a rule of thumb for other models. Intervals are
    95 %, resampling users.
    """
    from rich.console import Console

    from models.evaluation.compression import fits
    from models.profiling.compression import CompressionPolicy
    from streams.recorded.behaviours import read_histories
    from streams.recorded.logs import RecordedLog, shipped_log

    console, policy = Console(stderr=True), CompressionPolicy()
    log = RecordedLog(folder) if folder else shipped_log("online-retail")
    with console.status("Reading the log"):
        histories = read_histories(log, policy)
    if not histories.by_user:
        message = "the log holds no reliable behaviour, so there is nothing to compress"
        raise click.ClickException(message)
    found = []
    for name, count in _counters().items():
        with console.status(f"Counting {name}"):
            found.append(
                (name, fits(histories.by_user, log.about.last_ts_ms, policy, count=count, seed=seed)),
            )
    outcome = {
        "log": log.about.name,
        "users": len(histories.by_user),
        "events": sum(map(len, histories.by_user.values())),
        "left_out": {"unreliable": histories.unreliable, "refused": histories.refused},
        "seed": seed,
        "tokens": [{"counted_as": name, "forms": [_described(fit) for fit in forms]} for name, forms in found],
    }
    print_json(outcome) if as_json else _show(outcome)


def _counters() -> dict[str, Callable[[str], int]]:
    from tokenizers import Tokenizer

    from models.pretrained import serengpt_folder

    tokenizer = Tokenizer.from_file(str(serengpt_folder() / "tokenizer.json"))
    return {
        "SerenGPT's tokens": lambda text: len(tokenizer.encode(text, add_special_tokens=False)),
        f"bytes / {_BYTES_PER_TOKEN}": lambda text: -(-len(text.encode()) // _BYTES_PER_TOKEN),
    }


def _described(fit: Fit) -> dict[str, Any]:
    return {
        "form": fit.form,
        "share_that_fits": {
            str(budget): {name: round(value, 4) for name, value in interval._asdict().items()}
            for budget, interval in fit.share.items()
        },
        "events_kept": {str(budget): round(ratio, 4) for budget, ratio in fit.kept_ratio.items()},
        "tokens_per_event": round(fit.tokens_per_event, 2),
        "median_tokens": fit.median_tokens,
        "most_tokens": fit.most_tokens,
    }


def _show(outcome: dict[str, Any]) -> None:
    from streams.cli.tables import show_table

    for counted in outcome["tokens"]:
        budgets = list(counted["forms"][0]["share_that_fits"])
        rows = [
            (
                form["form"],
                *(f"{form['share_that_fits'][budget]['mean']:.1%}" for budget in budgets),
                f"{form['tokens_per_event']:.1f}",
                f"{form['most_tokens']:,}",
            )
            for form in counted["forms"]
        ]
        columns = (
            "history",
            *(f"fit {int(budget):,}" for budget in budgets),
            "an event",
            "longest",
        )
        caption = f"{outcome['users']:,} users, {outcome['events']:,} events of {outcome['log']}"
        show_table(f"Whole histories in {counted['counted_as']}", columns, rows, caption=caption)
