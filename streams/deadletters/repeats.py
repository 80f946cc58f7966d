"""Of one origin only the first redriven record counts: which one that is depends on the partition's log alone.

Where it lies is noted before a checkpoint passes it (`streams.checkpoint`, step 3), so everybody who reads the partition, from
any checkpoint on, passes over the same ones. Knows nothing about where notes are kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from streams.marks import Blank
from streams.partition import Partition
from streams.records import Record


def without_repeats(
    partition: Partition, records: Sequence[Record], *, origins: Mapping[int, str], noted: Mapping[str, int | None]
) -> list[Record]:
    """The records with blanks for those whose origin was redriven before.

    Args:
        partition: keeps what is to be noted.
        records: in their order.
        origins: of those that were redriven, by offset.
        noted: where the first record of an origin lies; None: it is sent, and nobody has seen it yet.
    """
    kept: list[Record] = []
    for record in records:
        origin = origins.get(record.offset)
        if origin is not None:
            first = noted.get(origin, partition.redriven.get(origin))
            if first is None:
                first = partition.redriven.get(origin)
            if first is not None and first < record.offset:
                partition.counts["redriven_repeats"] += 1
                kept.append(Blank(record.offset, record.timestamp))
                continue
            if first != record.offset:
                partition.counts["redriven"] += 1
            if partition.redriven.get(origin) != record.offset:  # a zombie's note of it may be lost with Redis: have our own
                partition.redriven.put(origin, record.offset)
        kept.append(record)
    return kept
