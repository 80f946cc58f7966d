"""One command: the servers are there; fill a topic, let everybody fold it in turns, then our worker the whole log."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import msgspec
from rich.console import Console

from models.errors import SerenError
from streams.bench import amplified
from streams.bench.drain import Drained, Visible
from streams.bench.machine import machine
from streams.bench.peers.report import COLUMNS, MEANING, cells, report, whole_cells
from streams.bench.peers.rounds import CONTESTANTS, Row
from streams.bench.peers.stage import PACED_EVENTS, Stage
from streams.cli.tables import show_table
from streams.recorded.logs import shipped_log

_ROOT = Path(__file__).resolve().parents[3]
_VERSIONS_S = 20.0
_VERSIONS = "import importlib.metadata as m, json; print(json.dumps({n: m.version(n) for n in %r}))"
_PACKAGES = ("quixstreams", "bytewax", "faust-streaming", "aiokafka", "confluent-kafka", "redis", "orjson")


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.option(
    "--kafka", envvar="SEREN_KAFKA_BOOTSTRAP", required=True, help="One that is empty or the benchmark's own: host:port."
)
@click.option("--redis", "redis_url", envvar="SEREN_REDIS_URL", required=True, help="URL of one that is empty or its own.")
@click.option("--python", type=click.Path(path_type=Path), default=_ROOT / ".venv-peers/bin/python", help="Of the peers.")
@click.option("--events", type=click.IntRange(1_000), default=400_000, help="On the topic that everybody folds.")
@click.option("--rounds", type=click.IntRange(1), default=3, help="Everybody runs once in each; medians are shown.")
@click.option("--whole", type=click.IntRange(0), default=5_000_000, help="Events of the whole amplified log; 0: leave it out.")
@click.option("--users", type=click.IntRange(1), default=100_000, help="Users of the whole amplified log, at least.")
@click.option("--only", multiple=True, help="Contestants whose names contain this; may be repeated.")
@click.option("--out", type=click.Path(path_type=Path), default=_ROOT / ".run/bench/results", help="For the results.")
def main(  # noqa: PLR0913, PLR0917  # its options are its arguments
    kafka: str,
    redis_url: str,
    python: Path,
    events: int,
    rounds: int,
    whole: int,
    users: int,
    only: tuple[str, ...],
    out: Path,
) -> None:
    """Our profile worker beside Quix Streams, Bytewax, Faust and plain aiokafka: the same update of the same events."""
    python = python.absolute()
    versions = _versions(python)
    log = shipped_log("online-retail")
    # A sixth of the events is sent at a steady rate after the whole log, and brings users of its own.
    plan = amplified.plan(log, events=max(events, whole + PACED_EVENTS if whole else 0), users=users * 6 // 5 if whole else 1)
    where = machine() | {"peers": versions, "amplified": msgspec.to_builtins(plan)}
    contestants = [one for one in CONTESTANTS if not only or any(part in one.name for part in only)]
    with Console(stderr=True).status("Filling the topic") as status, tempfile.TemporaryDirectory() as folder:
        stage = Stage(kafka, redis_url, log=log, plan=plan, folder=Path(folder), say=status.update)
        rows = stage.interleaved(contestants, python, events=events, rounds=rounds)
        drained, visible = stage.whole(whole) if whole else (None, None)
    where["load_average_after"] = machine()["load_average"]
    _show(rows, drained, visible, where)
    _write(report(where, rows, drained, visible), out, python)


def _versions(python: Path) -> dict[str, str]:
    """The versions in the peers' environment."""
    command = [str(python), "-c", _VERSIONS % (_PACKAGES,)]
    try:
        told = subprocess.run(command, capture_output=True, check=True, timeout=_VERSIONS_S).stdout  # noqa: S603  # ours
    except (OSError, subprocess.SubprocessError) as error:
        message = f"{python} has not what the peers need: `make bench-peers` makes their environment ({error})"
        raise click.ClickException(message) from error
    return msgspec.json.decode(told, type=dict[str, str])


def _show(rows: Sequence[Row], drained: Drained | None, visible: Visible | None, where: Mapping[str, Any]) -> None:
    caption = (
        f"{MEANING}. {where['cpu']}, {where['cores']} cores, Python {where['python']}, "
        f"hot path {where['hot_path']}, commit {where['commit'] or 'unknown'}, load {where['load_average'][0]} before and "
        f"{where['load_average_after'][0]} after; "
        + ", ".join(f"{name} {version}" for name, version in where["peers"].items())
    )
    show_table("one profile update, one Kafka topic", COLUMNS, [cells(row) for row in rows], caption=caption)
    if drained is not None:
        show_table("one worker, the whole amplified log", ("what", "how much", ""), whole_cells(drained, visible))


def _write(result: Mapping[str, Any], folder: Path, python: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    told, picture = folder / "peers.json", folder / "peers.svg"
    told.write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=2) + b"\n")
    command = [str(python), "-m", f"{__package__}.picture", str(told), str(picture)]
    subprocess.run(command, check=True, env=os.environ | {"PYTHONPATH": str(_ROOT)})  # noqa: S603  # our own
    click.echo(f"written to {told} and {picture}", err=True)


if __name__ == "__main__":
    try:
        main()
    except SerenError as error:
        sys.exit(f"error: {error}")
