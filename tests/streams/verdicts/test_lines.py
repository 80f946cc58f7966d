"""Laws of lines out of a pipe: every line once, numbered, bounded, and none waited for without need."""

from __future__ import annotations

import io
import os

from hypothesis import given
from hypothesis import strategies as st

from streams.verdicts.lines import Line, line_batches


class _Dribble:
    """A pipe that gives a few bytes at a time."""

    def __init__(self, data: bytes, step: int) -> None:
        self._data = io.BytesIO(data)
        self._step = step

    def read1(self, size: int, /) -> bytes:
        return self._data.read(min(size, self._step))


@given(st.lists(st.binary(max_size=12).map(lambda line: line.replace(b"\n", b""))), st.booleans(), st.integers(1, 9))
def test_line_batches_gives_every_line_once_with_its_number(lines: list[bytes], is_ended: bool, step: int) -> None:
    data = b"\n".join(lines) + (b"\n" if is_ended and lines else b"")
    found = [line for batch in line_batches(_Dribble(data, step), max_bytes=8) for line in batch]
    expected = data.split(b"\n")[:-1] if data.endswith(b"\n") else data.split(b"\n") if data else []
    assert found == [Line(number, line if len(line) <= 8 else None) for number, line in enumerate(expected, start=1)]


def test_line_batches_answers_a_line_before_the_next_one_is_written() -> None:
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb") as source, os.fdopen(writer, "wb", buffering=0) as sink:
        batches = line_batches(source, max_bytes=100)
        for number, text in enumerate((b"one", b"two"), start=1):
            sink.write(text + b"\n")
            assert next(batches) == [Line(number, text)]
