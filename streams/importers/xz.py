"""Reads an xz file in bounded memory, and refuses bombs.

Knows nothing about what is in it.
"""

from __future__ import annotations

import io
import lzma
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

# Compressed bytes per step.
READ_BYTES = 64 * 1024
# What the decompressor may take: `xz -9` asks for 65 MiB, a hostile file for up to 4 GiB.
DECODER_BYTES = 128 * 1024 * 1024
# Bytes that any file may unfold to, and how many times what was read of it a larger one may. The data sets fold to a tenth.
UNFOLD_BYTES = 16 * 1024 * 1024
UNFOLD_RATIO = 1_000


class _Unfolded(io.RawIOBase):
    """The content of a file of xz streams; `readinto` raises EOFError when it ends within one, or is a bomb."""

    def __init__(self, file: io.BufferedReader) -> None:
        self._file = file
        self._decoder: lzma.LZMADecompressor | None = None
        self._folded = self._unfolded = 0
        self._rest = b""  # of the file, behind the end of a stream

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        self._file.close()
        super().close()

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer)
        while True:
            piece = b""
            if self._decoder is None or self._decoder.needs_input:
                piece, self._rest = self._rest or self._read(), b""
                if not piece:
                    return self._end()
            if self._decoder is None:
                piece = piece.lstrip(b"\0")  # padding between streams
                if not piece:
                    continue
            self._decoder = self._decoder or lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=DECODER_BYTES)
            step = self._decoder.decompress(piece, max_length=len(view))
            if self._decoder.eof:
                self._rest, self._decoder = self._decoder.unused_data, None
            if step:
                self._count(len(step))
                view[: len(step)] = step
                return len(step)

    def _read(self) -> bytes:
        piece = self._file.read(READ_BYTES)
        self._folded += len(piece)
        return piece

    def _end(self) -> int:
        if self._decoder is not None or not self._folded:
            msg = "the file is truncated: it ends within an xz stream"
            raise EOFError(msg)
        return 0

    def _count(self, count: int) -> None:
        self._unfolded += count
        if self._unfolded > max(UNFOLD_BYTES, UNFOLD_RATIO * self._folded):
            msg = f"{self._folded} bytes unfold to more than {UNFOLD_RATIO} times as many: no table, but a bomb"
            raise EOFError(msg)


def open_xz(path: Path) -> io.BufferedReader:
    """The content of an xz file.

    Raises:
        OSError: there is no such file. Reading raises `EOFError` for one that is cut short or a bomb, `LZMAError` for one that
            is corrupt or asks for more than `DECODER_BYTES`.
    """
    return io.BufferedReader(_Unfolded(path.open("rb")))
