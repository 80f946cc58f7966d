"""Who runs, in which order, and what came out: our worker and its peers on one topic, interleaved."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import msgspec

from models.errors import SerenError

_ROOT = Path(__file__).resolve().parents[3]
_RUN_S = 300.0  # a run takes 10 to 20 s here; whoever needs more than this hangs
_ERROR_CHARS = 300


class PeerFailed(SerenError):
    """A peer did not do what it was asked for; the message says what it said."""


@dataclass(frozen=True, kw_only=True)
class Contestant:
    """One way to do the work.

    Args:
        name: for people.
        module: of `streams.bench.peers`; empty for our own worker.
        keeps: what survives a crash, and how.
        share: of the topic's events that it is given: slower ones get fewer, so that a run takes 10 to 20 s.
        profiles: False where it only counts.
    """

    name: str
    module: str = ""
    keeps: str
    share: float = 1.0
    profiles: bool = True


CONTESTANTS: tuple[Contestant, ...] = (
    Contestant(
        name="seren worker",
        keeps="Redis, fenced: once",
    ),
    Contestant(name="Bytewax", module="bytewax_flow", keeps="SQLite every 10 s: once"),
    Contestant(name="aiokafka + Redis", module="aiokafka_redis", keeps="Redis: at least once", share=0.5),
    Contestant(name="Quix Streams", module="quix_streams", keeps="changelog: at least once", share=0.125),
    Contestant(name="Faust Table", module="faust_table", keeps="changelog: at least once", share=0.05),
    Contestant(name="aiokafka + orjson, counting", module="counting", keeps="nothing", profiles=False),
)


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One run: events folded, the events that the profiles say they hold, users, CPU and wall seconds."""

    events: int
    in_profiles: int
    users: int
    cpu_s: float
    wall_s: float


@dataclass
class Row:
    """All runs of one contestant; `error` says why there are no more."""

    contestant: Contestant
    runs: list[Run] = field(default_factory=list)
    error: str = ""

    @property
    def per_core(self) -> float:
        """Events per CPU second, the median of the runs."""
        return median(run.events / run.cpu_s for run in self.runs)

    @property
    def per_second(self) -> float:
        """Events per second of wall time, the median of the runs."""
        return median(run.events / run.wall_s for run in self.runs)


def turns(contestants: Sequence[Contestant], rounds: int) -> list[list[Contestant]]:
    """Who runs when: everybody once a round, another one first each time.

    Example:
        >>> a, b = CONTESTANTS[:2]
        >>> [[one is a for one in each] for each in turns((a, b), 3)]
        [[True, False], [False, True], [True, False]]
    """
    count = len(contestants)
    return [[contestants[(first + place) % count] for place in range(count)] for first in range(rounds)]


def checked(run: Run, *, asked: int) -> Run:
    """The run, when it did all that it was asked for and its profiles hold exactly what was folded.

    Raises:
        PeerFailed: events are missing, or were folded twice.
    """
    if run.events < asked or run.in_profiles != run.events:
        message = f"folded {run.events} of {asked} events, and its profiles hold {run.in_profiles}"
        raise PeerFailed(message)
    return run


def run_peer(
    contestant: Contestant, python: Path, *, kafka: str, redis: str, topic: str, group: str, events: int, folder: Path
) -> Run:
    """One run of a peer, in a process of its own.

    Args:
        contestant: the peer.
        python: of the environment that has its tool.
        kafka: "host:port".
        redis: URL.
        topic: full already.
        group: a consumer group that nobody else has.
        events: how many to fold, the first ones.
        folder: empty, for its state.

    Raises:
        PeerFailed: it ended with an error, hung, or did something else.
    """
    told = {"kafka": kafka, "redis": redis, "topic": topic, "group": group, "events": events, "folder": folder}
    command = [str(python), "-m", f"{__package__}.{contestant.module}"]
    command += [f"--{name}={value}" for name, value in told.items()]
    try:
        ended = subprocess.run(  # noqa: S603  # our own program and arguments
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_RUN_S,
            check=False,
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(_ROOT)},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PeerFailed(str(error)[:_ERROR_CHARS]) from error
    return checked(answer(ended.returncode, ended.stdout, ended.stderr), asked=events)


def answer(code: int, output: str, errors: str) -> Run:
    """What a peer's process said on its last line.

    Raises:
        PeerFailed: it failed, and said so; or it said nothing that can be read.
    """
    lines = output.strip().splitlines()
    if code or not lines:
        said = (errors.strip() or output.strip()).splitlines()
        message = f"exit code {code}: {said[-1][:_ERROR_CHARS] if said else 'nothing said'}"
        raise PeerFailed(message)
    try:
        return msgspec.json.decode(lines[-1], type=Run)
    except msgspec.MsgspecError as error:
        message = f"{lines[-1][:_ERROR_CHARS]!r} is no result: {error}"
        raise PeerFailed(message) from error
