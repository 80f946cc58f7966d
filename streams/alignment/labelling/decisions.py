"""The file of one person's decisions: JSON Lines, whole after every decision, and never written by two sessions at once.

A decision replaces the file by one that was written beside it and forced to disk; whoever reads it, at any time, reads all
decisions up to one of them. Ten thousand decisions are 2 MB and take 10 ms.
"""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, TypeVar

import msgspec

from models.alignment.decisions import Decision, Question
from models.errors import LogError, brief
from streams.recorded.logs import read_lines

_T = TypeVar("_T")

_encoder = msgspec.json.Encoder()
_decisions = msgspec.json.Decoder(Decision)
_questions = msgspec.json.Decoder(Question)
_UNSAFE = re.compile(r"[^\w.-]+")


def file_of(folder: Path, person: str) -> Path:
    """The file of a person's decisions beside the questions.

    >>> file_of(Path("q"), "Ann O'Neil/../x").name
    'decisions-Ann-O-Neil-..-x.jsonl'
    """
    return folder / f"decisions-{_UNSAFE.sub('-', person)[:100]}.jsonl"


def read_decisions(path: Path) -> list[Decision]:
    """The decisions of a file, in order. Raises `LogError` when a line is none."""
    return list(_read(path, _decisions))


def read_questions(path: Path) -> list[Question]:
    """The questions of a file, in order. Raises `LogError` when a line is none."""
    return list(_read(path, _questions))


def write_questions(path: Path, questions: Iterable[Question]) -> None:
    """Writes questions in their order; a file that is there is replaced whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _replace(path, b"".join(_encoder.encode(one) + b"\n" for one in questions))


class DecisionFile:
    """One person's decisions; a context manager, while it is open nobody else can open it.

    Raises:
        LogError: the file cannot be read or written, or another session has it open.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = _locked(path)
        try:
            self.decisions = read_decisions(path) if path.exists() else []
        except LogError:
            self._lock.close()
            raise

    def __enter__(self) -> DecisionFile:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._lock.close()

    def add(self, decision: Decision) -> None:
        """Keeps a decision; an earlier one about the same question gives way."""
        self._keep([*(one for one in self.decisions if one.id != decision.id), decision])

    def undo(self) -> Decision | None:
        """Takes the last decision back; None where there is none."""
        if not self.decisions:
            return None
        last = self.decisions[-1]
        self._keep(self.decisions[:-1])
        return last

    def _keep(self, decisions: list[Decision]) -> None:
        _replace(self._path, b"".join(_encoder.encode(one) + b"\n" for one in decisions))
        self.decisions = decisions


def _read(path: Path, decoder: msgspec.json.Decoder[_T]) -> Iterator[_T]:
    for number, line in read_lines(path):
        try:
            yield decoder.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            message = f"{path}, line {number}: {brief(str(error))}"
            raise LogError(message) from error


def _locked(path: Path) -> IO[bytes]:
    lock = path.with_name(f".{path.name}.lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = lock.open("wb")
    except OSError as error:
        message = f"{path}: cannot be written: {error.strerror}"
        raise LogError(message) from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.close()
        message = f"{path}: another session is deciding into it"
        raise LogError(message) from error
    return file


def _replace(path: Path, content: bytes) -> None:
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        message = f"{path}: cannot be written: {error.strerror}"
        raise LogError(message) from error
