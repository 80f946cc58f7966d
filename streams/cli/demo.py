"""`seren demo`: the whole walk on a recorded log, in one command."""

from __future__ import annotations

import asyncio
import signal
import tempfile
import webbrowser
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

import click
import msgspec
from redis.asyncio import Redis
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from models.blend import BlendPolicy
from models.catalogue import Catalogue
from models.entities import Trace
from models.errors import ConfigError
from models.pretrained import serengpt_folder, tower_folder
from models.profiles.policy import DAY_MS
from models.retrieval import Retriever
from streams import codec, topics
from streams.cli.options import json_option, print_json
from streams.config import load_settings
from streams.demo.report import Shelf, cards, chosen, look, rows, summarise, user_pages
from streams.demo.servers import TENANT, Addresses, Servers, write_config
from streams.demo.summary import print_summary
from streams.demo.walk import Moment, Walked, WalkOptions, walk
from streams.page import PageReport, RunSummary, UserPage, render
from streams.recorded.logs import RecordedLog, shipped_log
from streams.slates.store import SlateStore

_USERS_ON_PAGE = 12
_ROWS = 8  # of them in the table
_INSIST_S = 3.0  # what ends has this long to say farewell
_T = TypeVar("_T")
_WORKERS = click.IntRange(1, topics.USER_PARTITIONS)  # one more would have no partition


@click.command("demo")
@click.option("--log", "log_name", default="online-retail", show_default=True, help="A shipped log, or the folder of one.")
@click.option(
    "--days",
    type=click.FloatRange(min=0),
    default=4.0,
    show_default=True,
    help="Ask for slates in the log's last days; what is before is history.",
)
@click.option("--workers", type=_WORKERS, default=1, show_default=True, help="Profile workers.")
@click.option("--judging-workers", type=_WORKERS, default=1, show_default=True)
@click.option(
    "--speed",
    type=click.FloatRange(min=0),
    default=0.0,
    help="Seconds of event time per second; 0: as fast as the workers go.",
)
@click.option("--kafka", metavar="HOST:PORT", help="A real Kafka instead of the embedded broker.")
@click.option("--redis", metavar="URL", help="A real Redis instead of an embedded one.")
@click.option(
    "--page", "page_path", default="seren-demo.html", show_default=True, type=click.Path(path_type=Path, dir_okay=False)
)
@click.option("--keep", type=click.Path(path_type=Path, file_okay=False), help="Keep Redis's data and the workers' logs here.")
@click.option("--open", "show_page", is_flag=True, help="Open the page in a browser.")
@json_option
def demo(
    *,
    log_name: str,
    days: float,
    workers: int,
    judging_workers: int,
    speed: float,
    kafka: str | None,
    redis: str | None,
    page_path: Path,
    keep: Path | None,
    show_page: bool,
    as_json: bool,
) -> None:
    """Play a real retailer's recorded log through real workers, and look at what comes out.

    Starts a Redis and a broker that speaks Kafka's protocol on loopback, a profile worker and a judging worker, plays the log
    through them, and ends with a table and one HTML page. Nothing has to be installed, and nothing is left running.
    """
    console = Console(stderr=as_json)
    signal.signal(signal.SIGTERM, _interrupt)
    if not page_path.resolve().parent.is_dir():
        message = f"--page {page_path}: there is no folder {page_path.resolve().parent}"
        raise ConfigError(message)
    log = RecordedLog(Path(log_name)) if Path(log_name).is_dir() else shipped_log(log_name)
    options = WalkOptions(profile_workers=workers, judging_workers=judging_workers, speed=speed)
    with _folder(keep) as folder, Servers(folder, Addresses(kafka=kafka, redis=redis), console.print) as servers:
        _introduce(console, log, servers, days)
        config = write_config(folder, servers, start_ms=log.about.last_ts_ms - int(days * DAY_MS))
        with _progress(console) as show:
            walked = asyncio.run(_interruptible(walk(log, servers, options, config, show.moment)))
        run, users = asyncio.run(_interruptible(_report(log, servers, walked, config, workers + judging_workers)))
    run = msgspec.structs.replace(run, html_path=str(page_path.resolve()))
    catalogue = Catalogue(codec.decode_item(line) for _, line in log.items())
    items = cards(users, catalogue)
    page_path.write_text(render(PageReport(run=run, users=tuple(users), items=items)), encoding="utf-8")
    if as_json:
        print_json(msgspec.to_builtins(run))
    else:
        print_summary(console, run, rows(users, items, _ROWS))
    if show_page:
        webbrowser.open(page_path.resolve().as_uri())


async def _interruptible(work: Coroutine[Any, Any, _T]) -> _T:
    """The work's result; Ctrl-C ends it for certain.

    Python 3.11's asyncio.wait_for, with which redis-py sends, may swallow the one cancellation that Ctrl-C is.
    """
    working = asyncio.create_task(work)
    try:
        await asyncio.wait([working])
    finally:
        while not working.done():
            working.cancel()
            await asyncio.wait([working], timeout=_INSIST_S)
    return await working


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Ends the demo as Ctrl-C does: the workers first, then the servers, then their folder."""
    signal.raise_signal(signal.SIGINT)


async def _report(
    log: RecordedLog, servers: Servers, walked: Walked, config: Path, workers: int
) -> tuple[RunSummary, list[UserPage]]:
    settings = load_settings(config, {})
    surface = settings.rules.surface
    names = sorted({codec.decode_attributes(line).user_id for _, line in log.users()})
    catalogue = Catalogue(codec.decode_item(line) for _, line in log.items())
    shelf = Shelf(
        catalogue=catalogue,
        retriever=Retriever.build(catalogue, tower_folder()),
        profile=settings.rules.profile,
        blend=replace(BlendPolicy(), length=20),
    )
    redis = Redis.from_url(servers.redis_url)
    try:
        left = await look(redis, names, surface)
        traces = await _traces(SlateStore(redis, tenant=TENANT, hard_ttl_ms=1), left.with_slate, surface)
        users = await user_pages(
            redis, log, chosen(traces, _USERS_ON_PAGE), walked.replayed.starts, surface=surface, shelf=shelf
        )
    finally:
        await redis.aclose()
    model_id = next((user.slate.model_id for user in users if user.slate), serengpt_folder().name)
    run = summarise(log, walked, left, model_id=model_id, workers=workers, partitions=topics.USER_PARTITIONS)
    return run, users


async def _traces(slates: SlateStore, users: list[str], surface: str) -> dict[str, Trace]:
    traces = {}
    for user_id in users:
        trace = await slates.why(user_id, surface)
        if trace is not None:
            traces[user_id] = trace
    return traces


def _introduce(console: Console, log: RecordedLog, servers: Servers, days: float) -> None:
    about = log.about
    console.print(
        f"[bold]seren demo[/bold]: {about.name}, {about.events:,} events of {about.users:,} users, {about.items:,} items"
    )
    broker = "embedded broker (librdkafka's mock cluster)" if servers.embedded_broker else "Kafka"
    console.print(f"  {broker} at {servers.bootstrap}, Redis at {servers.redis_url}")
    console.print(f"  slates are asked for in the last {days:g} days of the log; what is before shapes the profiles")
    if not about.impressions:
        console.print("  the log has no impressions: what was clicked or bought counts as seen")


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    if keep is not None:
        if keep.exists() and any(keep.iterdir()):
            message = f"--keep {keep}: the folder is not empty, and a run needs a Redis of its own"
            raise ConfigError(message)
        keep.mkdir(parents=True, exist_ok=True)
        (keep / "redis").mkdir()
        yield keep
        return
    with tempfile.TemporaryDirectory(prefix="seren-demo-") as folder:
        Path(folder, "redis").mkdir()
        yield Path(folder)


class _Bars:
    """Three bars: what was sent, what is in profiles, which requests are answered."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._sent = progress.add_task("events sent", total=None)
        self._applied = progress.add_task("events in profiles", total=None)
        self._slates = progress.add_task("slates published", total=None)

    def moment(self, moment: Moment) -> None:
        """Shows how far the walk has come."""
        self._update(self._sent, moment.sent, moment.sent)
        self._update(self._applied, moment.applied, moment.sent)
        self._update(self._slates, moment.slates, moment.requests)

    def _update(self, task: TaskID, done: int, total: int) -> None:
        self._progress.update(task, completed=done, total=max(total, done, 1))


@contextmanager
def _progress(console: Console) -> Iterator[_Bars]:
    columns = (TextColumn("  {task.description:<20}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        yield _Bars(progress)
