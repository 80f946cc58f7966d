"""What a shopper of a store was shown in a week: the `expose` events of the Complete Journey data set.

Knows nothing about baskets' contents. The promotions table says, per product, store and week, where in the weekly mailer and
where in the store a product was put. A store promotes thousands of products a week and nobody sees them all, so a visit gets
the `EXPOSE_CAP` most prominent ones, in that order: `slot` 0 is the most prominent. Prominence is the better of the two places
(front page and wrap before inside pages, store front and aisle ends before the aisles), then the other one; ties are broken by
a checksum of product, store and week, so stores and weeks differ. `surface` is `mailer` or `display`, whichever was better.
"""

from __future__ import annotations

import heapq
import re
import zlib
from collections import defaultdict
from collections.abc import Collection, Sequence
from pathlib import Path

from models.entities import Event
from streams.importers.tables import DroppedRows, read_table

# Exposures per visit: about what a mailer's front page and a store's aisle ends hold. At twice the number a log is mostly
# exposures (a basket of the sample has 1.6 lines); at half, the window of the seen holds a handful of categories.
EXPOSE_CAP = 40
COLUMNS = ("product_id", "store_id", "display_location", "mailer_location", "week")

# Rank of a place, 0 the most prominent; codes as the data set documents them. "0" is: not there.
_MAILER = {"H": 0, "D": 0, "Z": 0, "F": 1, "L": 1, "A": 2, "X": 2, "J": 3, "P": 3, "C": 4}
_DISPLAY = {"1": 0, "3": 0, "4": 1, "5": 2, "2": 2, "6": 2, "7": 3, "9": 3, "A": 4}
_NOWHERE = 9
_WEEK = re.compile(r"\d{1,6}")


def read_promotions(
    path: Path, weeks: Collection[tuple[str, int]], products: Collection[str], dropped: DroppedRows
) -> dict[tuple[str, int], tuple[tuple[str, str], ...]]:
    """What each visited store showed in each week.

    Args:
        path: the promotions table.
        weeks: the (store, week) pairs that somebody visited; others are not kept, and are no dropped rows.
        products: the ids of the described products.
        dropped: where unusable rows are counted.

    Returns:
        By (store, week), at most `EXPOSE_CAP` pairs of product and surface, the most prominent first.
    """
    ranked: dict[tuple[str, int], list[tuple[tuple[int, int, int, str], tuple[str, str]]]] = defaultdict(list)
    for row in read_table(path, COLUMNS, dropped):
        product, store, display, mailer, week = (cell.strip() for cell in row.cells)
        ranks = (_MAILER.get(mailer, _NOWHERE), _DISPLAY.get(display, _NOWHERE))
        if _WEEK.fullmatch(week) is None:
            dropped.add(path.name, "week is no number", row.line)
        elif product not in products:
            dropped.add(path.name, "product is no described goods", row.line)
        elif min(ranks) == _NOWHERE:
            dropped.add(path.name, "neither in the mailer nor on display", row.line)
        elif (store, int(week)) in weeks:
            tie = zlib.crc32(f"{product}/{store}/{week}".encode())
            surface = "mailer" if ranks[0] <= ranks[1] else "display"
            ranked[store, int(week)].append(((min(ranks), max(ranks), tie, product), (product, surface)))
    return {key: tuple(shown for _, shown in heapq.nsmallest(EXPOSE_CAP, entries)) for key, entries in ranked.items()}


def shop_exposures(basket: str, user_id: str, ts_ms: int, shown: Sequence[tuple[str, str]]) -> list[Event]:
    """The exposures of one visit, in order of their slots.

    Args:
        basket: the basket's id, from which the events' ids are made.
        user_id: who visited.
        ts_ms: when.
        shown: product and surface, the most prominent first.
    """
    return [
        Event(
            event_id=f"e-{basket}-{slot}",
            user_id=user_id,
            type="expose",
            ts_ms=ts_ms,
            item_id=product,
            surface=surface,
            slot=slot,
        )
        for slot, (product, surface) in enumerate(shown)
    ]
