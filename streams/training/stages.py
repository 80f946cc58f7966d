"""A long piece of work as commands one after the other: what was done is skipped, what follows a change is done anew.

What is remembered lies in `stages.json`: the command of each stage, and the wall and CPU seconds that it took. Knows nothing
about what the commands do.
"""

from __future__ import annotations

import resource
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

import msgspec
from msgspec import Struct

from models.errors import SerenError, brief

KEPT = "stages.json"


class Stage(NamedTuple):
    """One command, what it makes (a file or folder), and where its standard output goes (None: to ours)."""

    name: str
    command: tuple[str, ...]
    makes: Path
    output: Path | None = None


class Done(Struct, frozen=True, kw_only=True):
    """A stage that ended well. `cpu_s`: of the command and all that it started."""

    name: str
    command: tuple[str, ...]
    wall_s: float
    cpu_s: float
    is_kept: bool = False  # from an earlier run


class StageFailed(SerenError):
    """A stage's command ended with an error; those before it are kept."""


def run_stages(stages: Sequence[Stage], *, folder: Path, tell: Callable[[str], None]) -> list[Done]:
    """Runs what was not done yet.

    Args:
        stages: in order. One that was done by the same command, and whose product is there, is skipped if all before it are.
        folder: holds `stages.json`.
        tell: is told what begins.

    Raises:
        StageFailed: a command ended with another code than 0; the next run begins with it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    known = {one.name: one for one in _known(folder)}
    done: list[Done] = []
    has_run = False
    for number, stage in enumerate(stages, start=1):
        before = known.get(stage.name)
        if not has_run and before is not None and before.command == stage.command and stage.makes.exists():
            done.append(msgspec.structs.replace(before, is_kept=True))
            tell(f"{number}/{len(stages)} {stage.name}: done before")
            continue
        has_run = True
        tell(f"{number}/{len(stages)} {stage.name}: {' '.join(stage.command)}")
        done.append(_run(stage))
        (folder / KEPT).write_bytes(msgspec.json.format(msgspec.json.encode(done)) + b"\n")
    return done


def _run(stage: Stage) -> Done:
    began_s, cpu_s = time.monotonic(), _children_s()
    with _opened(stage.output) as sink:
        code = subprocess.run(stage.command, stdout=sink, check=False).returncode  # noqa: S603 - our own command line
        if code:
            message = f"{stage.name} ended with code {code}: {brief(' '.join(stage.command))}"
            raise StageFailed(message)
    if not stage.makes.exists():
        message = f"{stage.name} ended well without {stage.makes}"
        raise StageFailed(message)
    wall_s = time.monotonic() - began_s
    return Done(name=stage.name, command=stage.command, wall_s=round(wall_s, 2), cpu_s=round(_children_s() - cpu_s, 3))


@contextmanager
def _opened(path: Path | None) -> Iterator[IO[bytes] | None]:
    """The file, which appears when it is whole, or nothing to write to."""
    if path is None:
        yield None
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    with part.open("wb") as file:
        yield file
    part.replace(path)


def _known(folder: Path) -> list[Done]:
    try:
        return msgspec.json.decode((folder / KEPT).read_bytes(), type=list[Done])
    except FileNotFoundError:
        return []


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
