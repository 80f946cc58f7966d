"""Reads the CSV tables of a data set, plain or in xz, and counts the rows that cannot be used.

Knows nothing about which data set it is. A table that is missing, of another shape, or cut short is an error; a row that is
bad is counted by reason and never stops an import. Memory is bounded by `ROW_CHARS`, whatever a file holds.
"""

from __future__ import annotations

import csv
import io
import lzma
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from msgspec import Struct

from models.errors import LogError, brief
from streams.importers.xz import open_xz

# Line numbers kept per reason: enough to look the trouble up, few enough to read.
FIRST_LINES = 5
# Characters of a row with all its lines: fifty times the longest of the data sets. An open quote swallows no more than this.
ROW_CHARS = 16_384


class DroppedReason(Struct, frozen=True):
    """Rows that were left out for one reason, with the first of their lines in the file."""

    file: str
    reason: str
    rows: int
    first_lines: tuple[int, ...]


@dataclass
class DroppedRows:
    """Counts rows that were left out."""

    _lines: dict[tuple[str, str], list[int]] = field(default_factory=dict)
    _counts: dict[tuple[str, str], int] = field(default_factory=dict)

    def add(self, file: str, reason: str, line: int) -> None:
        """Counts one row of `file` at `line`."""
        key = (file, reason)
        self._counts[key] = self._counts.get(key, 0) + 1
        lines = self._lines.setdefault(key, [])
        if len(lines) < FIRST_LINES:
            lines.append(line)

    def reasons(self) -> tuple[DroppedReason, ...]:
        """What was counted, by file and reason in order of their names."""
        return tuple(
            DroppedReason(file, reason, self._counts[file, reason], tuple(self._lines[file, reason]))
            for file, reason in sorted(self._counts)
        )


class Row(Struct, frozen=True, gc=False):
    """One row of a table: the line on which it ends, and its cells in the order of the columns asked for."""

    line: int
    cells: tuple[str, ...]


def find_table(folder: Path, name: str) -> Path:
    """The table `name` of a data set's folder, as `.csv` or `.csv.xz`.

    Raises:
        LogError: there is neither.
    """
    for path in (folder / f"{name}.csv", folder / f"{name}.csv.xz"):
        if path.is_file():
            return path
    msg = f"{folder}: has no table {name}.csv or {name}.csv.xz"
    raise LogError(msg)


def read_table(path: Path, columns: Sequence[str], dropped: DroppedRows) -> Iterator[Row]:
    """The rows of a table; those that are no row of it are counted in `dropped`.

    Args:
        path: a `.csv` or `.csv.xz` file in UTF-8, with a header.
        columns: the columns wanted, in the order wanted; the file may have others.
        dropped: where bad rows are counted.

    Raises:
        LogError: the file is missing or corrupt, or lacks a column.
    """
    line = 0
    try:
        with _open(path) as file:
            lines = _Lines(file)
            reader = csv.reader(lines)
            header = next(reader, [])
            places = _places(path, header, columns)
            while True:
                lines.row_chars = 0
                try:
                    cells = next(reader, None)
                except csv.Error:
                    dropped.add(path.name, "no readable CSV row", lines.number)
                    continue
                line = lines.number
                if cells is None:
                    return
                if len(cells) != len(header):
                    dropped.add(path.name, f"not {len(header)} cells", line)
                    continue
                yield Row(line, tuple(cells[place] for place in places))
    except (OSError, EOFError, lzma.LZMAError, csv.Error) as error:
        where = f" after line {line}" if line else ""
        msg = f"{path}: cannot be read{where}: {getattr(error, 'strerror', None) or error}"
        raise LogError(msg) from error


class _Lines:
    """The lines of a file for the CSV reader, which would take any number of them, of any length, into one row."""

    def __init__(self, file: io.TextIOWrapper) -> None:
        self.number = 0
        self.row_chars = 0  # since whoever reads rows has set it back
        self._file = file

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self._file.readline(ROW_CHARS)
        if not line:
            raise StopIteration
        self.number += 1
        self.row_chars += len(line)
        if self.row_chars >= ROW_CHARS:
            while line and not line.endswith(("\n", "\r")):
                line = self._file.readline(ROW_CHARS)
            msg = f"a row of more than {ROW_CHARS} characters"
            raise csv.Error(msg)
        return line


def _open(path: Path) -> io.TextIOWrapper:
    file = open_xz(path) if path.suffix == ".xz" else path.open("rb")
    return io.TextIOWrapper(file, encoding="utf-8", errors="replace", newline="")


def _places(path: Path, header: Sequence[str], columns: Sequence[str]) -> tuple[int, ...]:
    names = [name.strip().lstrip("\ufeff") for name in header]
    missing = [column for column in columns if column not in names]
    if missing:
        msg = f"{path}: lacks the columns {', '.join(missing)}; it has {brief(', '.join(names))}"
        raise LogError(msg)
    return tuple(names.index(column) for column in columns)
