"""`seren bench`: throughput, sizes and latencies on this machine, as a table and as JSON."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import orjson

from streams.cli.bench_serengpt import serengpt

if TYPE_CHECKING:
    from streams.bench.figures import Figure

NAMES = ("calls", "update", "engine", "redis", "slates", "serengpt", "faust", "hostile")
ON_DEMAND = frozenset({"hostile"})  # only when named: twelve workers and their servers, ten seconds each, in every run
_FULL, _QUICK = 100_000, 15_000  # events
_FULL_RUNS, _QUICK_RUNS = 3, 1


@click.group("bench", invoke_without_command=True)
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Also write everything here.")
@click.option("--quick", is_flag=True, help="One run of a seventh of the events: under a minute, and rough.")
@click.option("--only", "only", type=click.Choice(NAMES), multiple=True, help="These alone; repeatable. Only so: hostile.")
@click.pass_context
def bench(context: click.Context, *, json_file: Path | None, quick: bool, only: tuple[str, ...]) -> None:
    """Measure this machine: events per second and core, bytes, latencies. Needs no network, and judges nothing."""
    if context.invoked_subcommand is not None:
        return
    from rich.console import Console

    from streams.bench.machine import machine

    console = Console(stderr=True)
    before = machine()
    started_s = time.monotonic()
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory() as folder, console.status("Reading the log") as status:
        for name, measure in _measures(Path(folder), quick=quick).items():
            if name in only or not (only or name in ON_DEMAND):
                status.update(f"Measuring {name}")
                figures += measure()
    before["load_average_after"] = machine()["load_average"]
    _show(figures, before, seconds=time.monotonic() - started_s)
    if json_file is not None:
        json_file.write_bytes(orjson.dumps(_report(figures, before, quick=quick), option=orjson.OPT_INDENT_2) + b"\n")
        console.print(f"written to {json_file}", markup=False)


bench.add_command(serengpt)


def _measures(folder: Path, *, quick: bool) -> dict[str, Callable[[], list[Figure]]]:
    """The measurements, by name, in the order in which they run."""
    from streams.bench import calls, hostile, judging, profiles, stores, workers, workload
    from streams.embedded.redis import start_redis
    from streams.recorded.logs import shipped_log

    runs = _QUICK_RUNS if quick else _FULL_RUNS
    log = shipped_log("online-retail")
    work = workload.load(log, events=_QUICK if quick else _FULL)

    def on_redis(measure: Callable[[str], list[Figure]]) -> list[Figure]:
        with start_redis(folder / "redis") as server:
            return measure(server.url)

    return {
        "calls": lambda: calls.model_calls(work),
        "update": lambda: profiles.update_alone(work, runs=runs),
        "engine": lambda: profiles.engine_in_memory(work, runs=runs),
        "redis": lambda: on_redis(lambda url: stores.engine_on_redis(work, url, runs=runs)),
        "slates": lambda: on_redis(lambda url: stores.slates(work.items, url, reads=2_000 if quick else 10_000, runs=runs)),
        "serengpt": lambda: judging.answers(work, requests=8 if quick else 30, runs=runs),
        "faust": lambda: workers.through_faust(log, work, runs=runs),
        "hostile": lambda: hostile.beside(list(hostile.HOSTILE), seconds=4.0 if quick else 10.0, runs=runs),
    }


def _report(figures: list[Figure], where: dict[str, Any], *, quick: bool) -> dict[str, Any]:
    return {"machine": where, "quick": quick, "figures": [asdict(figure) | {"value": figure.value} for figure in figures]}


def _show(figures: list[Figure], where: dict[str, Any], *, seconds: float) -> None:
    from streams.cli.tables import show_table

    rows = [
        (
            figure.name,
            f"{figure.value:,.{0 if figure.value >= 100 else 2}f}",
            figure.unit,
            f"{figure.n:,}",
            str(len(figure.runs)),
            figure.what,
        )
        for figure in figures
    ]
    caption = (
        f"medians of the runs, in {seconds:.0f} s; {where['cpu']}, {where['cores']} cores, Python {where['python']}, "
        f"hot path {where['hot_path']}, commit {where['commit'] or 'unknown'}, "
        f"load {where['load_average'][0]} before and {where['load_average_after'][0]} after"
    )
    show_table("seren bench", ("figure", "value", "unit", "n", "runs", "what"), rows, caption=caption)
