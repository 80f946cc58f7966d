"""The hot path, compiled: which modules `make native` compiles with mypyc, and whether what was compiled is still true.

The sources stay plain Python and run as they are; compiled, the same bytes come out in less time (`LOG.md` says how much). A
compiled file lies beside its source and is imported in its place, so it must never be older: see `refuse_stale`.

    python -m streams.native          compiles (mypy and a C compiler must be there)
    python -m streams.native --pure   removes what was compiled
"""

from __future__ import annotations

import subprocess
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

from models.errors import ConfigError

MODULES = (
    "models/catalogue.py",
    "models/decay.py",
    "models/fingerprints.py",
    "models/serendipity.py",
    "models/trigger.py",
    "models/profiles/belief.py",
    "models/profiles/digest.py",
    "models/profiles/features.py",
    "models/profiles/history.py",
    "models/profiles/long_term.py",
    "models/profiles/policy.py",
    "models/profiles/possessions.py",
    "models/profiles/short_term.py",
    "models/profiles/state.py",
    "models/profiles/update.py",
    "models/profiles/window.py",
    "streams/agents/arrivals.py",
    "streams/codec.py",
    "streams/knowledge.py",
    "streams/partition.py",
    "streams/records.py",
    "streams/resident.py",
)
_SUFFIX = EXTENSION_SUFFIXES[0]


def is_compiled(root: Path) -> bool:
    """Whether the hot path below `root` is compiled for this Python."""
    return all(_compiled(root / name).exists() for name in MODULES)


def refuse_stale(root: Path) -> None:
    """Checks that no source is newer than what was compiled of it.

    Raises:
        ConfigError: names the first one that is.
    """
    for name in MODULES:
        source, compiled = root / name, _compiled(root / name)
        if compiled.exists() and source.exists() and source.stat().st_mtime > compiled.stat().st_mtime:
            message = f"{name} is newer than its compiled form: run `make native` again, or `make pure`"
            raise ConfigError(message)


def root_of_this() -> Path:
    """The folder that `models` and `streams` lie in."""
    return Path(__file__).parents[1]


def _compiled(source: Path) -> Path:
    return source.with_suffix(_SUFFIX)


def _remove(root: Path) -> None:
    for name in MODULES:
        _compiled(root / name).unlink(missing_ok=True)
    for shared in root.glob(f"*__mypyc{_SUFFIX}"):
        shared.unlink()


def main(arguments: list[str]) -> int:
    """Compiles, or removes what was compiled; the compiler's words are shown only where it fails."""
    root = root_of_this()
    _remove(root)
    if "--pure" in arguments:
        return 0
    command = [sys.executable, "-m", "mypyc", *MODULES]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)  # noqa: S603  # our own words
    if done.returncode:
        sys.stderr.write(done.stdout[-4000:] + done.stderr[-4000:])
        sys.stderr.write("error: the hot path could not be compiled; without it everything runs, only slower\n")
        _remove(root)
        return 1
    for name in MODULES:
        _compiled(root / name).touch()  # the linker leaves what has not changed as old as it was
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
