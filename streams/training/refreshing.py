"""Windows of refreshes, and folders of dated checkpoints: which model a service would have had on a day.

Knows nothing about training.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from models.errors import CheckpointError
from models.profiles.policy import DAY_MS
from models.training.refresh_card import Window, read_record
from models.training.split import TimeSplit


class Dated(NamedTuple):
    """A checkpoint that has seen nothing from `cut_ms` on."""

    cut_ms: int
    folder: Path


def windows(since_ms: int, until_ms: int, *, every_days: int | None) -> list[Window]:
    """The windows of refreshes that follow each other; what is left at the end is no window.

    Args:
        since_ms: what the first checkpoint has not seen.
        until_ms: the end.
        every_days: between two refreshes; None: one window, from beginning to end.

    Raises:
        ValueError: the time holds no window.

    Example:
        >>> [window.name for window in windows(0, 20 * DAY_MS, every_days=7)]
        ['1970-01-08', '1970-01-15']
    """
    step = until_ms - since_ms if every_days is None else every_days * DAY_MS
    if step <= 0 or since_ms + step > until_ms:
        asked = "" if every_days is None else f"every {every_days} days "
        message = f"window: nothing to learn from {asked}between {since_ms} and {until_ms} ms"
        raise ValueError(message)
    return [Window(end - step, end) for end in range(since_ms + step, until_ms + 1, step)]


def trained_until(checkpoint: Path, split: TimeSplit) -> int:
    """From when on a checkpoint has seen nothing: the cut of its refresh, or the day on which the log's train part ends.

    Units: milliseconds since 1970. A train part that ends within a day leaves the rest of that day to validation, which every
    ranker that learnt on the train part answers.
    """
    record = read_record(checkpoint)
    return split.train_end_ms // DAY_MS * DAY_MS if record is None else record.until_ms


def check_unseen(checkpoint: Path, split: TimeSplit, asked_ms: Iterable[int]) -> None:
    """Refuses to ask a checkpoint about days that it was taught.

    Args:
        checkpoint: its folder.
        split: of the log, for a checkpoint that was not refreshed.
        asked_ms: instants of the days that it would be asked about.

    Raises:
        CheckpointError: it has seen the first of the days, or later ones.
    """
    dated = [Dated(trained_until(checkpoint, split), checkpoint)]
    for first_ms in sorted(asked_ms)[:1]:
        newest_before(dated, first_ms)


def dated_checkpoints(folder: Path, *, base: Path, base_cut_ms: int) -> list[Dated]:
    """The checkpoint that there was at first, and each refreshed one in a folder below `folder`, in order of their cuts.

    Raises:
        CheckpointError: there is no refreshed checkpoint, or two have the same cut.
    """
    records = [(read_record(path), path) for path in sorted(folder.iterdir()) if path.is_dir()]
    found = sorted([Dated(base_cut_ms, base), *(Dated(record.until_ms, path) for record, path in records if record)])
    if len(found) == 1:
        message = f"{folder}: no refreshed checkpoint in a folder below it; `seren train refresh --every-days 7` writes some"
        raise CheckpointError(message)
    for first, second in pairwise(found):
        if first.cut_ms == second.cut_ms:
            message = f"{first.folder} and {second.folder}: both end at {first.cut_ms} ms; must differ"
            raise CheckpointError(message)
    return found


def newest_before(dated: Sequence[Dated], as_of_ms: int) -> int:
    """The place of the newest checkpoint whose cut is not later than the beginning of the day of `as_of_ms`.

    Args:
        dated: in order of their cuts.
        as_of_ms: an instant of the day that is asked about.

    Raises:
        CheckpointError: all checkpoints have seen something of the day, or later.

    Example:
        A cut in the middle of the day is too late for it:

        >>> dated = [Dated(0, Path("old")), Dated(DAY_MS + 1, Path("new"))]
        >>> newest_before(dated, 2 * DAY_MS - 1), newest_before(dated, 2 * DAY_MS)
        (0, 1)
    """
    begins_ms = as_of_ms // DAY_MS * DAY_MS
    place = bisect_right([one.cut_ms for one in dated], begins_ms) - 1
    if place < 0:
        first = dated[0]
        message = f"checkpoint {first.folder}: was taught what came before {first.cut_ms} ms; asked about {as_of_ms} ms"
        raise CheckpointError(message)
    return place
