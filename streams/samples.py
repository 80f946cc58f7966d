"""A recorded log as Definition-1 samples, cut in time: what training learns from and evaluation asks about.

Knows nothing about models. Bad lines of a log are counted, as a worker would bury them, and skipped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from models.catalogue import Catalogue
from models.errors import DecodeError, LogError
from models.profiles import ProfilePolicy
from models.training.samples import Sample, samples
from models.training.split import ONLINE_RETAIL, Part, TimeSplit
from streams.codec import decode_attributes, decode_event, decode_item
from streams.recorded.logs import RecordedLog

T = TypeVar("T")

# Splits that were chosen by looking at the log; any other log is cut at shares of its time.
_SPLIT_BY_NAME = {"Online Retail": ONLINE_RETAIL}
_TRAIN_RATIO = 0.8
_VALIDATION_RATIO = 0.1


@dataclass(frozen=True, kw_only=True)
class LabelledLog:
    """A log's catalogue and samples, in the order of time."""

    catalogue: Catalogue
    samples: list[Sample]
    split: TimeSplit
    refused: int  # lines that could not be decoded

    def part(self, name: Part) -> list[Sample]:
        """The samples of one part."""
        return [sample for sample in self.samples if self.split.part(sample.as_of_ms) == name]


def read_samples(log: RecordedLog, *, policy: ProfilePolicy) -> LabelledLog:
    """Replay a log through the profiles.

    Args:
        log: a log folder.
        policy: of the profiles; the visit-day window is in it.

    Raises:
        LogError: a file is missing or corrupt, or the log holds no items.

    Cost: 11 s for 420,000 events on one core.
    """
    lines = _Lines()
    catalogue = Catalogue(lines.decode(log.items(), decode_item))
    if not len(catalogue):
        message = f"{log.folder}: items: 0 could be read, must be at least 1"
        raise LogError(message)
    users = list(lines.decode(log.users(), decode_attributes))
    events = lines.decode(log.events(), decode_event)
    found = sorted(samples(events, catalogue.get, users, policy), key=lambda sample: (sample.as_of_ms, sample.user_id))
    return LabelledLog(catalogue=catalogue, samples=found, split=split_of(log), refused=lines.refused)


def split_of(log: RecordedLog) -> TimeSplit:
    """Where a log's parts end."""
    known = _SPLIT_BY_NAME.get(log.about.name)
    if known is not None:
        return known
    first, last = log.about.first_ts_ms, log.about.last_ts_ms
    train_end_ms = first + round((last - first) * _TRAIN_RATIO)
    return TimeSplit(train_end_ms, train_end_ms + round((last - first) * _VALIDATION_RATIO))


class _Lines:
    """Decodes lines and counts those that it refuses."""

    def __init__(self) -> None:
        self.refused = 0

    def decode(self, lines: Iterable[tuple[int, bytes]], decode: Callable[[bytes], T]) -> Iterator[T]:
        for _, line in lines:
            try:
                yield decode(line)
            except DecodeError:
                self.refused += 1
