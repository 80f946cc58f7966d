"""What was wanted before each case: by the user, and by everybody on the eve of the day.

For rankers that learn from rows of items instead of from profiles. Everything is as it stood when the slate would have been
made: a case sees days before its own, whichever part of the log they are in, as a service would have. Knows nothing about
rankers.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from models.catalogue import Catalogue
from models.evaluation.ranking import Case
from models.profiles.policy import DAY_MS
from models.training.samples import Sample

Rows = NDArray[np.int64]


def wanted_rows(sample: Sample, catalogue: Catalogue) -> list[int]:
    """The rows of all that was wanted on a visit day; what the catalogue lacks is left out."""
    wanted = (*sample.others, *sample.serendipitous)
    return [catalogue.index(item_id) for item_id in wanted if item_id in catalogue]


def sequences(samples: Iterable[Sample], catalogue: Catalogue) -> dict[str, list[tuple[int, Rows]]]:
    """Each user's visit days in order of time: when, and the rows that were wanted."""
    found: defaultdict[str, list[tuple[int, Rows]]] = defaultdict(list)
    for sample in sorted(samples, key=lambda one: one.as_of_ms):
        found[sample.user_id].append((sample.as_of_ms, np.array(wanted_rows(sample, catalogue), dtype=np.int64)))
    return dict(found)


def histories(given: Sequence[Case], days: Mapping[str, Sequence[tuple[int, Rows]]], *, limit: int) -> list[Rows]:
    """The newest `limit` rows that each case's user wanted before it, oldest first."""
    found = []
    for case in given:
        known = days.get(case.user_id, ())
        before = [rows for _, rows in known[: bisect_left([day for day, _ in known], case.as_of_ms)]]
        found.append(np.concatenate(before)[-limit:] if before else np.zeros(0, dtype=np.int64))
    return found


def seasons(
    given: Sequence[Case], samples: Iterable[Sample], catalogue: Catalogue, *, half_life_days: float
) -> Iterator[NDArray[np.float64]]:
    """For each case, in order of time, how much each row was wanted before its day, a half-life ago counting half.

    Args:
        given: in order of time.
        samples: of the whole log.
        catalogue: gives the rows.
        half_life_days: days after which a want counts half.

    Yields:
        One number per row; the same array each time, so copy what is kept.

    Raises:
        ValueError: the cases are not in order of time.
    """
    counts = np.zeros(len(catalogue))
    waiting = [(sample.as_of_ms // DAY_MS, wanted_rows(sample, catalogue)) for sample in samples]
    waiting.sort(key=lambda one: one[0], reverse=True)
    at = min([case.as_of_ms // DAY_MS for case in given[:1]] + [day for day, _ in waiting[-1:]], default=0)
    for case in given:
        day = case.as_of_ms // DAY_MS
        if day < at:
            message = f"given: a case of day {day} after day {at}; must be in order of time"
            raise ValueError(message)
        while at < day:
            while waiting and waiting[-1][0] == at:
                np.add.at(counts, waiting.pop()[1], 1.0)
            counts *= 0.5 ** (1.0 / half_life_days)
            at += 1
        yield counts
