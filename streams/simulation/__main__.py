"""Many worlds with a line of progress, or one with everything that happens in it."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from streams.simulation.loop import current_process
from streams.simulation.world import Outcome, simulate

_BLOCK = 50  # seeds that a process gets at once: about a second of work
_SHOWN = 20  # failed seeds that are named; the rest is only counted


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--seeds", type=click.IntRange(1), default=2_000, show_default=True, help="How many worlds.")
@click.option("--first", type=click.IntRange(0), default=0, show_default=True, help="The first seed.")
@click.option("--jobs", type=click.IntRange(1), default=os.cpu_count() or 1, show_default=True, help="Processes.")
@click.option("--seed", type=click.IntRange(0), default=None, help="Run this one world and tell what happens in it.")
def main(seeds: int, first: int, jobs: int, seed: int | None) -> None:
    """Simulate worlds in which workers, Redis and the broker fail, and hold their ends against an oracle."""
    sys.exit(_many(first, seeds, jobs) if seed is None else _one(seed))


def _one(seed: int) -> int:
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(_Told("%(told)s"))
    logging.getLogger("streams").addHandler(handler)
    logging.getLogger("streams").setLevel(logging.INFO)
    outcome = simulate(seed)
    counts = ", ".join(f"{name} {count}" for name, count in sorted(outcome.counts.items()))
    click.echo(f"seed {seed}: {counts}\nseed {seed}: {outcome.lasted_s:.1f} s of its time; digest {outcome.digest}")
    for failure in outcome.failures:
        click.echo(f"seed {seed}: {failure}")
    return _end(int(outcome.passed), int(not outcome.passed))


class _Told(logging.Formatter):
    """A log line with the world's time and the process that said it."""

    def format(self, record: logging.LogRecord) -> str:
        process = current_process()
        told_by = "world" if process is None else process.name
        record.told = f"{asyncio.get_running_loop().time():8.3f} s  {told_by}: {record.getMessage()}"
        return super().format(record)


def _many(first: int, count: int, jobs: int) -> int:
    failed: list[Outcome] = []
    counts: Counter[str] = Counter()
    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.fields[failed]} failed"))
    console = Console(stderr=True)
    started_s = time.monotonic()
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("worlds", total=count, failed=0)
        for outcomes in _blocks(range(first, first + count), jobs):
            for outcome in outcomes:
                counts += outcome.counts
                if not outcome.passed:
                    failed.append(outcome)
                    _tell(outcome, len(failed))
            progress.update(task, advance=len(outcomes), failed=len(failed))
    seconds = time.monotonic() - started_s
    click.echo(", ".join(f"{name} {number:,}" for name, number in sorted(counts.items())))
    click.echo(f"{count:,} worlds in {seconds:.0f} s, {count / seconds:.0f} a second on {jobs} processes")
    return _end(count - len(failed), len(failed))


def _blocks(seeds: range, jobs: int) -> Iterator[list[Outcome]]:
    blocks = [seeds[start : start + _BLOCK] for start in range(0, len(seeds), _BLOCK)]
    if jobs == 1:
        yield from map(_simulate_all, blocks)
        return
    with ProcessPoolExecutor(jobs) as pool:
        yield from pool.map(_simulate_all, blocks)


def _simulate_all(seeds: Iterable[int]) -> list[Outcome]:
    logging.getLogger("streams").setLevel(logging.CRITICAL)
    return [simulate(seed) for seed in seeds]


def _tell(outcome: Outcome, number: int) -> None:
    if number <= _SHOWN:
        click.echo(f"seed {outcome.seed}: {outcome.failures[0]}; again: python -m streams.simulation --seed {outcome.seed}")


def _end(passed: int, failed: int) -> int:
    click.echo(f"{passed} passed, {failed} failed")
    return int(failed > 0)


if __name__ == "__main__":
    main()
