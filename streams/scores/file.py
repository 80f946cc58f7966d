"""The score log in a file: JSON Lines, appended to. A line that was cut off by a crash is refused like any other bad one."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from models.errors import LogError
from streams.production import Outgoing
from streams.recorded.logs import read_lines
from streams.scores.log import ScoreLog


class FileRead(NamedTuple):
    """How many records of a file were believed, and how many not; `first_refusal` names the line and says why."""

    records: int
    refused: int
    first_refusal: str


class ScoreFile:
    """A score log's file.

    Args:
        path: ends in `.zst`: it is read only; a plain one is written as well, and may not be there yet.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def read_into(self, log: ScoreLog) -> FileRead:
        """Takes in all records of the file; none where there is no file yet.

        Raises:
            LogError: the file cannot be read, or is damaged where zstd can tell.
        """
        if not self._path.exists() and self._path.suffix != ".zst":
            return FileRead(0, 0, "")
        believed = refused = 0
        first = ""
        for number, line in read_lines(self._path):
            if not line:
                continue  # what stands between a line that was cut off and the next one
            if log.read(line):
                believed += 1
                continue
            refused += 1
            first = first or f"line {number}: {log.last_refusal}"
        return FileRead(believed, refused, first)

    def append(self, records: Iterable[Outgoing]) -> int:
        """Writes new records behind those that are there; they are on the disk when it returns.

        Returns:
            How many were written.

        Raises:
            LogError: the file cannot be written.
        """
        lines = [record.value for record in records if record.value is not None]
        if not lines:
            return 0
        if self._path.suffix == ".zst":
            message = f"{self._path}: a folded file is read only; {len(lines)} new answers need a plain .jsonl"
            raise LogError(message)
        try:
            with self._path.open("ab") as file:
                cut_off = b"" if self._ends_whole() else b"\n"  # what a crash left of a line spoils no other
                file.write(cut_off + b"".join(b"%b\n" % line for line in lines))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            message = f"{self._path}: cannot be written: {error}"
            raise LogError(message) from error
        return len(lines)

    def _ends_whole(self) -> bool:
        with self._path.open("rb") as file:
            if not file.seek(0, os.SEEK_END):
                return True
            file.seek(-1, os.SEEK_END)
            return file.read(1) == b"\n"
