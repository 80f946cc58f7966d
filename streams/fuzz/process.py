"""One target under libFuzzer: `python -m streams.fuzz.process TARGET [libFuzzer's arguments]`. Needs the fuzz extra."""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["models", "streams", "tomllib"]):  # what the C extensions do stays unseen
    from streams.fuzz.targets import outcome
    from streams.recorded import logs


def main() -> None:
    """Runs until libFuzzer has enough, or has found something."""
    program, target, *arguments = sys.argv
    logs.LEVEL, logs.WINDOW_LOG = 1, 17  # what an importer writes is packed in 1 ms instead of 60

    def one(data: bytes) -> None:
        outcome(target, data)

    atheris.Setup([program, *arguments], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
