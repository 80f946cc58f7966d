"""Redeemed coupons as `click` events of the Complete Journey data set: a deliberate yes to a product.

Knows nothing about baskets beyond what was bought on a day. A coupon is good for one to thousands of products, and the table
of redemptions does not say which was taken. So a redemption becomes one click on each of the coupon's products that the
household bought on that day; when the sample of baskets shows none, one click on a typical product: of the category that most
of the coupon's products share, the one with the lowest id. A redemption has a day and no time: it is put at the household's
first visit of that day, or at noon when there is none.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from pathlib import Path

from models.entities import Event
from streams.importers.tables import DroppedRows, read_table

_ID = re.compile(r"\d{1,18}")


@dataclass(frozen=True, slots=True)
class Offer:
    """What a coupon of a campaign is good for: all its described products, and a typical one."""

    products: frozenset[str]
    typical: str


@dataclass(frozen=True, slots=True)
class Redemption:
    """One coupon that a household handed in on a day; `line` is its place in the table."""

    line: int
    user_id: str
    day: str
    noon_ms: int
    offer: Offer


def read_coupons(
    path: Path, path_by_product: Mapping[str, tuple[str, ...]], dropped: DroppedRows
) -> dict[tuple[str, str], Offer]:
    """The offers by (coupon, campaign).

    Args:
        path: the table of coupons.
        path_by_product: the category path of each described product.
        dropped: where unusable rows are counted.
    """
    products: dict[tuple[str, str], set[str]] = defaultdict(set)
    for row in read_table(path, ("coupon_upc", "product_id", "campaign_id"), dropped):
        coupon, product, campaign = (cell.strip() for cell in row.cells)
        if product in path_by_product:
            products[coupon, campaign].add(product)
        else:
            dropped.add(path.name, "product is no described goods", row.line)
    return {key: Offer(frozenset(members), _typical(members, path_by_product)) for key, members in products.items()}


def _typical(members: Collection[str], path_by_product: Mapping[str, tuple[str, ...]]) -> str:
    counts = Counter(path_by_product[product] for product in members)
    category = min(counts, key=lambda path: (-counts[path], path))
    return min((product for product in members if path_by_product[product] == category), key=lambda id_: (len(id_), id_))


def read_redemptions(path: Path, offers: Mapping[tuple[str, str], Offer], dropped: DroppedRows) -> list[Redemption]:
    """The redemptions in the order of their table.

    Args:
        path: the table of redemptions.
        offers: by (coupon, campaign).
        dropped: where unusable rows are counted.
    """
    redemptions = []
    for row in read_table(path, ("household_id", "coupon_upc", "campaign_id", "redemption_date"), dropped):
        household, coupon, campaign, day = (cell.strip() for cell in row.cells)
        offer = offers.get((coupon, campaign))
        noon_ms = _noon_ms(day)
        if _ID.fullmatch(household) is None or noon_ms is None:
            dropped.add(path.name, "household or day is malformed", row.line)
        elif offer is None:
            dropped.add(path.name, "coupon without a described product", row.line)
        else:
            redemptions.append(Redemption(row.line, household, day, noon_ms, offer))
    return redemptions


def _noon_ms(day: str) -> int | None:
    try:
        noon = datetime.combine(date.fromisoformat(day), time(12), tzinfo=UTC)
    except ValueError:
        return None
    return int(noon.timestamp() * 1000) if noon.timestamp() >= 0 else None


def coupon_clicks(redemption: Redemption, bought: Collection[str], ts_ms: int) -> list[Event]:
    """The clicks of one redemption, in order of the products' ids.

    Args:
        redemption: the coupon handed in.
        bought: the ids of what the household bought on that day.
        ts_ms: when the clicks happened.
    """
    taken = sorted(redemption.offer.products.intersection(bought), key=lambda id_: (len(id_), id_))
    return [
        Event(event_id=f"r{redemption.line}-{n}", user_id=redemption.user_id, type="click", ts_ms=ts_ms, item_id=product)
        for n, product in enumerate(taken or [redemption.offer.typical], start=1)
    ]
