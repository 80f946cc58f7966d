"""Labels that are planted: what people came to want of a new kind, among things drawn beside it.

For each visit day one Definition-1 item is the positive case. Its negatives are drawn from the catalogue, seeded by the user
and day: some of leaf categories that the user's window does not hold ("new": as unexpected, and nobody wanted them that day),
some of categories that it holds ("seen": near to what they have, and no surprise). Among the first only relevance tells,
among the second unexpectedness does most of it; a judge of serendipity must tell both. Clicks and purchases stand in for
people's answers: a draw may hold things that the user would have liked.

Knows nothing about judges.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.catalogue import Catalogue
from models.entities import Digest, Item, fingerprint
from models.training.samples import Sample

Kind = Literal["wanted", "new", "seen"]


class Planted(NamedTuple):
    """One ask with its answer: `kind` is "wanted" for positives, else how the negative was drawn."""

    user_id: str
    as_of_ms: int
    digest: Digest
    item: Item
    kind: Kind


def planted(
    samples: Iterable[Sample], catalogue: Catalogue, *, seed: int, limit: int | None, new: int = 4, seen: int = 4
) -> list[Planted]:
    """Asks of the visit days on which something serendipitous was wanted, in order of time.

    Args:
        samples: of one part of a log.
        catalogue: where negatives come from.
        seed: of all draws; they depend on it, the user and the day alone.
        limit: most days, drawn evenly from all; None: all.
        new: negatives of unseen categories for each positive.
        seen: negatives of seen categories; fewer where there are fewer.
    """
    days = [(_key(sample, seed), sample) for sample in samples if sample.serendipitous]
    if limit is not None:
        days = sorted(days, key=lambda day: day[0])[:limit]
    days.sort(key=lambda day: (day[1].as_of_ms, day[1].user_id))
    leaves = np.array([fingerprint(item.leaf) for item in catalogue.items], dtype=np.int64)
    asks: list[Planted] = []
    for key, sample in days:
        asks.extend(_asks(sample, np.random.default_rng(key), catalogue, leaves, (new, seen)))
    return asks


def _asks(
    sample: Sample, draw: np.random.Generator, catalogue: Catalogue, leaves: NDArray[np.int64], counts: tuple[int, int]
) -> list[Planted]:
    wanted = sample.serendipitous[int(draw.integers(0, len(sample.serendipitous)))]
    right = catalogue.get(wanted)
    if right is None:
        return []
    is_seen = np.isin(leaves, np.array(sample.seen.categories, dtype=np.int64))
    others = np.ones(len(leaves), dtype=bool)
    for item_id in (*sample.serendipitous, *sample.others):
        if item_id in catalogue:
            others[catalogue.index(item_id)] = False
    found = [Planted(sample.user_id, sample.as_of_ms, sample.digest, right, "wanted")]
    kinds: Sequence[tuple[Kind, NDArray[np.bool_], int]] = (("new", ~is_seen, counts[0]), ("seen", is_seen, counts[1]))
    for kind, among, count in kinds:
        rows = np.flatnonzero(among & others)
        for row in draw.choice(rows, min(count, len(rows)), replace=False):
            found.append(Planted(sample.user_id, sample.as_of_ms, sample.digest, catalogue.at(int(row)), kind))
    return found


def _key(sample: Sample, seed: int) -> int:
    text = f"{seed}|{sample.user_id}|{sample.as_of_ms}"
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")
