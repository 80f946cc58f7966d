"""`seren train data`: Definition-1 samples for alignment, in Parquet, with their card. Needs the `train` extra."""

from __future__ import annotations

import asyncio
import hashlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from streams.cli.extras import need_train
from streams.cli.options import config_option, json_option, print_json, settings_of, utc_ms
from streams.cli.progress import progress

if TYPE_CHECKING:
    from models.training.split import TimeSplit
    from streams.alignment.labels import FoundLabels
    from streams.config import Settings
    from streams.recorded.logs import RecordedLog

CARD = "README.md"
_FOLDER = click.Path(file_okay=False, path_type=Path)
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


class _Given(NamedTuple):
    found: FoundLabels
    origin: str
    split: TimeSplit | None


@click.command("data")
@click.option("--log", "log", help="A log folder or a shipped log, replayed; the shipped one if nothing else is given.")
@click.option("--labels", "files", type=_FILE, multiple=True, help="Labels as JSON Lines (.jsonl, .jsonl.zst); repeatable.")
@click.option("--topic", is_flag=True, help="All that is on seren-labels of the configured Kafka.")
@click.option("--out", type=_FOLDER, required=True, help="Folder for samples.parquet and its card.")
@click.option("--name", default="serendipity-samples", show_default=True, help="Of the set; stands in the card.")
@click.option("--train-end", type=click.DateTime(["%Y-%m-%d"]), help="With --test-start: where the parts are cut (UTC).")
@click.option("--test-start", type=click.DateTime(["%Y-%m-%d"]), help="Else a log's own cuts, or the newest tenth tests.")
@click.option("--seed", type=int, default=7, show_default=True, help="Of the halves for SFT and IPO.")
@config_option
@json_option
def data(
    *,
    log: str | None,
    files: tuple[Path, ...],
    topic: bool,
    out: Path,
    name: str,
    train_end: object,
    test_start: object,
    seed: int,
    config: Path | None,
    as_json: bool,
) -> None:
    """Make samples of Definition-1 labels: deduplicated, cut in time and by user, the same bytes for the same labels."""
    if sum((log is not None, bool(files), topic)) > 1:
        message = "--log, --labels and --topic are three places to take labels from; name one"
        raise click.UsageError(message)
    need_train("seren train data", "pyarrow")
    from models.alignment.card import data_card, summary
    from models.alignment.dataset import dataset
    from streams.alignment.files import SAMPLES, write_samples

    given = _given(log, files, topic=topic, settings=settings_of(config))
    made = dataset(given.found.labels, _cuts(train_end, test_start) or given.split, seed=seed)
    write_samples(out / SAMPLES, made.samples)
    sha256 = {SAMPLES: hashlib.sha256((out / SAMPLES).read_bytes()).hexdigest()}
    command = " ".join(("seren", *sys.argv[1:]))
    card = data_card(made, name=name, origin=given.origin, seed=seed, command=command, sha256=sha256)
    (out / CARD).write_text(card, encoding="utf-8")
    outcome = summary(made) | {"refused": given.found.refused, "forgotten": given.found.forgotten, "sha256": sha256}
    if as_json:
        print_json({"folder": str(out), **outcome})
    else:
        _show(outcome, out)


def _given(log: str | None, files: tuple[Path, ...], *, topic: bool, settings: Settings) -> _Given:
    from streams.alignment.labels import labels_of_files, labels_of_topic

    if files:
        return _Given(labels_of_files(files), ", ".join(path.name for path in files), None)
    if topic:
        return _Given(asyncio.run(labels_of_topic(settings.kafka.bootstrap)), "the topic seren-labels", None)
    return _replayed(log_of(log or "online-retail"), settings)


def _replayed(log: RecordedLog, settings: Settings) -> _Given:
    from streams.alignment.labels import labels_of_log
    from streams.samples import split_of

    with progress("Replaying the log", log.about.events) as advance:
        found = asyncio.run(labels_of_log(log, settings.rules, advance=advance))
    about = log.about
    return _Given(found, f"{about.name} ({about.licence}, {about.source})", split_of(log))


def log_of(name: str) -> RecordedLog:
    """A log folder, or a shipped log of that name. Raises `click.BadParameter`."""
    from models.errors import LogError
    from streams.recorded.logs import RecordedLog, shipped_log

    if Path(name).is_dir():
        return RecordedLog(Path(name))
    try:
        return shipped_log(name)
    except LogError as error:
        raise click.BadParameter(str(error), param_hint="--log") from error


def _cuts(train_end: object, test_start: object) -> TimeSplit | None:
    from datetime import datetime

    from models.training.split import TimeSplit

    if train_end is None and test_start is None:
        return None
    if not (isinstance(train_end, datetime) and isinstance(test_start, datetime)) or train_end > test_start:
        message = f"--train-end {train_end} and --test-start {test_start}: both are needed, the first no later than the second"
        raise click.UsageError(message)
    return TimeSplit(utc_ms(train_end), utc_ms(test_start))


def _show(outcome: dict[str, object], out: Path) -> None:
    from streams.cli.tables import show_table

    splits = outcome["splits"]
    assert isinstance(splits, dict)
    rows = [(name, *(f"{one[key]:,}" for key in ("samples", "users", "serendipity"))) for name, one in splits.items()]
    show_table(f"{outcome['samples']:,} samples in {out}", ("part", "samples", "users", "of the serendipity channel"), rows)
