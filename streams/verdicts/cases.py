"""Labelled asks for a judge, read or planted, with what it says of them.

A file of people's labels holds the lines that `seren judge` reads, each with a `label` beside: true or false, or a number
(people's mark) of which a bound says what counts as yes. `user_id` groups lines of one person; without it, lines with the very
same `user` are one person's.

Knows nothing about figures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
from msgspec import Raw, Struct

from models.alignment.verdicts import VerdictPolicy, local_verdict
from models.errors import LogError, brief
from models.evaluation.planted import Planted
from models.judging.local import Ask, LocalJudge
from models.judging.pairs import Judgement
from streams.verdicts.lines import Line, line_batches
from streams.verdicts.wire import LINE_BYTES, JudgedLines

_BATCH = 256  # asks between two moves of the bar
PARTS = ("serendipity", "relevance", "unexpectedness")


class Case(NamedTuple):
    """One ask that was judged: whose it is, how it was made ("wanted" for yes), and what the judge says."""

    user_id: str
    kind: str
    judgement: Judgement

    @property
    def label(self) -> bool:
        """What people said, or what was planted."""
        return self.kind == "wanted"

    def score(self, part: str) -> float:
        """One part of the judgement; unexpectedness that is not known is neither."""
        value: float | None = getattr(self.judgement, part)
        return 0.5 if value is None else value

    def verdict(self, policy: VerdictPolicy) -> bool:
        """The judgement as yes or no."""
        return local_verdict(self.judgement, policy).is_serendipitous


class _Labelled(Struct):
    label: bool | float
    user: Raw
    user_id: str = ""


class _Answer(Struct):
    serendipity: float
    relevance: float
    unexpectedness: float | None
    reason: str


_labelled = msgspec.json.Decoder(_Labelled)
_answer = msgspec.json.Decoder(_Answer)


def judge_planted(
    asks: Sequence[Planted], judge: LocalJudge, *, advance: Callable[[int], None] = lambda _: None
) -> list[Case]:
    """What the judge says of planted asks, in order. Raises `EngineError`."""
    found: list[Case] = []
    for start in range(0, len(asks), _BATCH):
        batch = asks[start : start + _BATCH]
        heard = judge.hear([Ask(one.digest, one.item.title, one.item.leaf) for one in batch])
        found += [Case(one.user_id, one.kind, said.judgement) for one, said in zip(batch, heard, strict=True)]
        advance(len(found))
    return found


def judge_file(path: Path, lines: JudgedLines, *, positive_at: float) -> list[Case]:
    """What the judge says of a file of people's labels, in order.

    Args:
        path: JSON Lines.
        lines: judges them, as `seren judge` does.
        positive_at: a label that is a number from here on is a yes.

    Raises:
        LogError: the file cannot be read, or a line is no labelled pair; it names the line.
    """
    try:
        with path.open("rb") as file:
            batches = line_batches(file, max_bytes=LINE_BYTES)
            return [case for batch in batches for case in _judged(batch, lines, path, positive_at)]
    except OSError as error:
        message = f"{path}: cannot be read: {error.strerror}"
        raise LogError(message) from error


def _judged(batch: Sequence[Line], lines: JudgedLines, path: Path, positive_at: float) -> Iterator[Case]:
    for line, answer in zip(batch, lines.answers(batch), strict=True):
        if answer.error is not None:
            message = f"{path}, {answer.error}"
            raise LogError(message)
        try:
            given = _labelled.decode(line.content or b"")
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            message = f"{path}, line {line.number}: {brief(str(error))}"
            raise LogError(message) from error
        is_yes = given.label if isinstance(given.label, bool) else given.label >= positive_at
        said = _answer.decode(answer.content)
        judgement = Judgement(
            serendipity=said.serendipity, relevance=said.relevance, unexpectedness=said.unexpectedness, reason=said.reason
        )
        yield Case(given.user_id or bytes(given.user).decode(), "wanted" if is_yes else "other", judgement)
