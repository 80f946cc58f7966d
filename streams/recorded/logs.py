"""Recorded logs: folders of JSON Lines in zstd, read and written line by line.

Knows nothing about what a line says; decoding is the codec's. A log folder holds `events.jsonl.zst`, `items.jsonl.zst`,
`users.jsonl.zst` (the wire records, events in order of time) and `about.json`.

Bombs are refused: a file may unfold to `UNFOLD_BYTES`, or to `UNFOLD_RATIO` times what was read of it. Memory is bounded
whatever the file holds: by the frame's window (at most `2**WINDOW_LOG_MAX` bytes), `STEP_BYTES` of one step, and one line. A
line of more than `LINE_BYTES` is cut to `LINE_BYTES + 1` bytes, which is the flag: it is still over the bound of a message, so
a decoder refuses it, and the number says which it was.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, cast

import msgspec
from backports import zstd
from msgspec import Struct

from models.errors import LogError, brief

# Bytes of a line without its newline: the bound of a message on the topics, so that every line fits into one.
LINE_BYTES = 64 * 1024
# Compressed bytes per step, and the most that one step unfolds to.
READ_BYTES = 64 * 1024
STEP_BYTES = 1024 * 1024
# Bytes that any file may unfold to, and how many times what was read of it a larger one may. Events of real users fold to a
# tenth; 16 KiB of zstd may unfold to 500 MB, which would keep a reader busy for hours with blank lines.
UNFOLD_BYTES = 16 * 1024 * 1024
UNFOLD_RATIO = 1_000
# A frame that asks for more memory than 2**27 bytes is refused; it is what `zstd --long` writes at most by default.
WINDOW_LOG_MAX = 27
# Level and window (2**23 = 8 MiB) of what is written: level 15 makes a log 20 % larger, level 19 one 11 % smaller in three
# times the time (48 MB of events: 9 s at level 17).
LEVEL = 17
WINDOW_LOG = 23

EVENTS = "events.jsonl.zst"
ITEMS = "items.jsonl.zst"
USERS = "users.jsonl.zst"
ABOUT = "about.json"
ABOUT_BYTES = 64 * 1024  # fifty times the largest of ours

SHIPPED = Path(__file__).parents[1] / "data"


class About(Struct, frozen=True, kw_only=True):
    """What a recorded log is: its origin, its licence and its counts."""

    name: str
    licence: str
    source: str
    first_ts_ms: int
    last_ts_ms: int
    events: int
    users: int
    items: int
    events_by_type: dict[str, int]
    impressions: bool
    notes: str
    importer_version: int


def read_lines(path: Path | str) -> Iterator[tuple[int, bytes]]:
    """The lines of a recorded log, from the first.

    Blank lines and bad content are yielded as they stand. A file that does not end in `.zst` is read as plain JSON Lines.

    Args:
        path: the file.

    Returns:
        Line number from 1, and the line without its newline; one of more than `LINE_BYTES` is cut to `LINE_BYTES + 1`.

    Raises:
        LogError: the file is missing, corrupt, or ends within a frame; it names the file and the last whole line. All lines
            before the damage have been yielded.
    """
    path = Path(path)
    number = 0
    try:
        with path.open("rb") as file:
            for line in _lines(_unfolded(file) if path.suffix == ".zst" else iter(lambda: file.read(LINE_BYTES), b"")):
                number += 1
                yield number, line
    except (OSError, EOFError, zstd.ZstdError) as error:
        where = f" after line {number}" if number else ""
        msg = f"{path}: cannot be read{where}: {getattr(error, 'strerror', None) or error}"
        raise LogError(msg) from error


def _unfolded(file: IO[bytes]) -> Iterator[bytes]:
    """The content of a file of zstd frames, in pieces; EOFError when it ends within a frame."""
    frame = None
    folded = unfolded = 0
    while piece := file.read(READ_BYTES):
        folded += len(piece)
        more = True
        while more:
            frame = frame or zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: WINDOW_LOG_MAX})
            step = frame.decompress(piece, max_length=STEP_BYTES)
            unfolded += len(step)
            if unfolded > max(UNFOLD_BYTES, UNFOLD_RATIO * folded):
                msg = f"{folded} bytes unfold to more than {UNFOLD_RATIO} times as many: no log, but a bomb"
                raise EOFError(msg)
            yield step
            piece = frame.unused_data if frame.eof else b""
            more = bool(piece) if frame.eof else not frame.needs_input
            frame = None if frame.eof else frame
    if frame is not None:
        msg = "the file is truncated: it ends within a zstd frame"
        raise EOFError(msg)


def _lines(pieces: Iterable[bytes]) -> Iterator[bytes]:
    rest = b""
    for piece in pieces:
        *whole, tail = piece.split(b"\n")
        for part in whole:
            yield (rest + part[: LINE_BYTES + 1])[: LINE_BYTES + 1]
            rest = b""
        rest = (rest + tail[: LINE_BYTES + 1])[: LINE_BYTES + 1]
    if rest:
        yield rest


def write_lines(path: Path | str, lines: Iterable[bytes]) -> int:
    """Writes a recorded log; the same lines give the same bytes with the same zstd release.

    The file appears under its name when it is whole, so a writer that dies leaves no half log.

    Args:
        path: the file; one that does not end in `.zst` is written as plain JSON Lines.
        lines: what to write, without newlines.

    Returns:
        How many lines were written.

    Raises:
        LogError: a line holds a newline or more than `LINE_BYTES`, or the file cannot be written.
    """
    path = Path(path)
    part = path.with_name(f"{path.name}.part")
    number = 0
    try:
        with _sink(part, is_zstd=path.suffix == ".zst") as sink:
            for line in lines:
                number += 1
                _check(path, number, line)
                sink.write(line + b"\n")
        part.replace(path)
    except (OSError, zstd.ZstdError) as error:
        msg = f"{path}: cannot be written at line {number}: {error}"
        raise LogError(msg) from error
    finally:
        part.unlink(missing_ok=True)
    return number


@contextmanager
def _sink(path: Path, *, is_zstd: bool) -> Iterator[IO[bytes]]:
    with path.open("wb") as file:
        if not is_zstd:
            yield file
            return
        options: dict[int, int] = {
            zstd.CompressionParameter.compression_level: LEVEL,
            zstd.CompressionParameter.window_log: WINDOW_LOG,
            zstd.CompressionParameter.checksum_flag: 1,
        }
        with zstd.ZstdFile(file, "wb", options=options) as sink:
            yield cast("IO[bytes]", sink)


def _check(path: Path, number: int, line: bytes) -> None:
    if b"\n" in line:
        msg = f"{path}: line {number} holds a newline"
        raise LogError(msg)
    if len(line) > LINE_BYTES:
        msg = f"{path}: line {number} has {len(line)} bytes; a line has at most {LINE_BYTES}"
        raise LogError(msg)


@dataclass(frozen=True)
class RecordedLog:
    """A log folder. Each call of `events`, `items` and `users` reads its file anew, as (line number, raw line)."""

    folder: Path

    def events(self) -> Iterator[tuple[int, bytes]]:
        """The events in order of time, as they go on `behaviour-events`."""
        return read_lines(self.folder / EVENTS)

    def items(self) -> Iterator[tuple[int, bytes]]:
        """The items, as they go on `items`."""
        return read_lines(self.folder / ITEMS)

    def users(self) -> Iterator[tuple[int, bytes]]:
        """The users' attributes, as they go on `user-attributes`."""
        return read_lines(self.folder / USERS)

    @cached_property
    def about(self) -> About:
        """What the folder says of itself.

        Raises:
            LogError: `about.json` is missing or malformed.
        """
        path = self.folder / ABOUT
        try:
            with path.open("rb") as file:
                text = file.read(ABOUT_BYTES + 1)
            if len(text) > ABOUT_BYTES:
                msg = f"{path}: has more than {ABOUT_BYTES} bytes"
                raise LogError(msg)
            return msgspec.json.decode(text, type=About)
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            msg = f"{path}: is no description of a recorded log: {brief(str(error))}"
            raise LogError(msg) from error


def shipped_log(name: str) -> RecordedLog:
    """A log that comes with the package.

    Raises:
        LogError: there is none of that name; it names those that there are.
    """
    folder = SHIPPED / name
    if not (folder / ABOUT).is_file():
        names = sorted(path.parent.name for path in SHIPPED.glob(f"*/{ABOUT}"))
        msg = f"no recorded log {name!r} is shipped; there are {', '.join(names) or 'none'}"
        raise LogError(msg)
    return RecordedLog(folder)


def write_log(
    folder: Path | str, about: About, *, events: Iterable[Struct], items: Iterable[Struct], users: Iterable[Struct]
) -> RecordedLog:
    """Writes a log folder; `about.json` comes last, so a folder that has one is whole.

    Args:
        folder: made if it is not there.
        about: its counts must be those of the records.
        events: in order of time.
        items: in the order that the file shall have.
        users: likewise.

    Raises:
        LogError: the folder cannot be written, or `about` and the records disagree.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ABOUT).unlink(missing_ok=True)
        for name, records, count in ((EVENTS, events, about.events), (ITEMS, items, about.items), (USERS, users, about.users)):
            written = write_lines(folder / name, map(msgspec.json.encode, records))
            if written != count:
                msg = f"{folder / name}: {written} records, but about.json says {count}"
                raise LogError(msg)
        text = msgspec.json.format(msgspec.json.encode(about), indent=2) + b"\n"
        part = folder / f"{ABOUT}.part"
        part.write_bytes(text)
        os.replace(part, folder / ABOUT)
    except OSError as error:
        msg = f"{folder}: cannot be written: {error}"
        raise LogError(msg) from error
    return RecordedLog(folder)
