"""The cooperative judge's folder: `labels.jsonl`, the buffer of all rounds, and `judge.json`, what was trained on it.

Both are replaced whole. Knows nothing about training.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from models.errors import LogError, brief
from models.judging.buffer import Labelled
from models.judging.cooperative import CooperativeJudge
from models.judging.local import INPUTS
from streams.recorded.logs import read_lines

LABELS, JUDGE = "labels.jsonl", "judge.json"

_encoder = msgspec.json.Encoder()
_labels = msgspec.json.Decoder(Labelled)


class _Stored(Struct):
    inputs: tuple[str, ...]
    judge: CooperativeJudge


_stored = msgspec.json.Decoder(_Stored)


def read_buffer(folder: Path) -> list[Labelled]:
    """The labels of all rounds; none where there is no folder yet. Raises `LogError` when a line is none."""
    path = folder / LABELS
    if not path.exists():
        return []
    found = []
    for number, line in read_lines(path):
        try:
            found.append(_labels.decode(line))
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            message = f"{path}, line {number}: {brief(str(error))}"
            raise LogError(message) from error
    return found


def read_judge(folder: Path) -> CooperativeJudge | None:
    """The judge of the last round; None where there is none.

    Raises:
        LogError: it cannot be read, or was trained on other inputs than this release has.
    """
    path = folder / JUDGE
    if not path.exists():
        return None
    try:
        stored = _stored.decode(path.read_bytes())
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        message = f"{path}: no judge: {brief(str(error))}"
        raise LogError(message) from error
    if stored.inputs != INPUTS:
        message = f"{path}: trained on the inputs {', '.join(stored.inputs)}; this release has {', '.join(INPUTS)}"
        raise LogError(message)
    return stored.judge


def write_judge(folder: Path, judge: CooperativeJudge, buffer: Sequence[Labelled]) -> None:
    """Writes both, the judge last: a folder with a new judge has its labels."""
    folder.mkdir(parents=True, exist_ok=True)
    _replace(folder / LABELS, b"".join(_encoder.encode(one) + b"\n" for one in buffer))
    _replace(folder / JUDGE, msgspec.json.format(_encoder.encode(_Stored(INPUTS, judge)), indent=1) + b"\n")


def _replace(path: Path, content: bytes) -> None:
    part = path.with_name(f".{path.name}.part")
    with part.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
