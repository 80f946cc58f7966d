"""`python -m streams.chaos`: one run, its checks and its counts. Exit codes: 0 all passed, 1 a check failed, 2 an error."""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
import time
from pathlib import Path

import click

from models.errors import SerenError
from streams.chaos.course import Course, Options, Result
from streams.chaos.report import show_checks, show_counts
from streams.recorded.logs import shipped_log

_LOG = "online-retail"
_DEFAULT = Options()


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--minutes", type=click.FloatRange(0.1), default=_DEFAULT.minutes, show_default=True, help="How long it goes on."
)
@click.option("--kills", type=click.IntRange(0), default=_DEFAULT.kills, show_default=True, help="Processes killed (-9).")
@click.option("--seed", type=click.IntRange(0), default=None, help="Decides records and faults; by default the time does.")
@click.option("--per-s", type=click.FloatRange(1), default=_DEFAULT.per_s, show_default=True, help="Records a second.")
@click.option(
    "--drain-minutes", type=click.FloatRange(0.1), default=_DEFAULT.drain_minutes, show_default=True, help="At most."
)
@click.option("--folder", type=click.Path(path_type=Path), help="Where data and logs go; by default a temporary one.")
@click.option("--keep", is_flag=True, help="Keep the folder though all passed.")
def main(  # one for each option
    *, minutes: float, kills: int, seed: int | None, per_s: float, drain_minutes: float, folder: Path | None, keep: bool
) -> None:
    """Kill real workers, a real Kafka and a real Redis at random, and verify that nothing is lost or done twice."""
    seed = int(time.time()) if seed is None else seed
    options = Options(minutes=minutes, kills=kills, seed=seed, per_s=per_s, drain_minutes=drain_minutes)
    place = folder or Path(tempfile.mkdtemp(prefix="seren-chaos-"))
    place.mkdir(parents=True, exist_ok=True)
    click.echo(f"seren chaos: seed {seed}, folder {place}")
    try:
        result = asyncio.run(_run(options, place))
    except (SerenError, TimeoutError) as error:
        click.echo(f"seren chaos: {type(error).__name__}: {error}\nLook into {place}", err=True)
        sys.exit(2)
    show_counts(result.counts, result.seconds)
    keep = keep or not result.passed
    if keep:
        click.echo(f"kept: {place} (seren.toml, the workers' *.log, kafka/kafka.log, redis/redis.log); again: --seed {seed}")
    else:
        shutil.rmtree(place)
    passed = show_checks(result.checks)
    sys.exit(0 if passed else 1)


async def _run(options: Options, folder: Path) -> Result:
    return await Course(options, shipped_log(_LOG), folder, _say).run()


def _say(text: str) -> None:
    click.echo(text)
    sys.stdout.flush()


if __name__ == "__main__":
    main()
