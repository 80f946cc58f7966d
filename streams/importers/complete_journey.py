"""The Complete Journey data set as a recorded log: a year of grocery shopping of 2,377 households.

Knows nothing about Kafka or the engine. What becomes what:

- a basket is a `visit`, `v-<basket>`; a line of it a `purchase`, `<basket>-<n>`, n its place in the basket;
- what the visited store had in its weekly mailer or on display becomes `expose`, `e-<basket>-<slot>` (`shop_exposures`);
- a redeemed coupon becomes `click`, `r<line>-<n>` (`coupon_clicks`);
- a product is an item: its category is department > product category > product type in small letters, without the levels that
  are empty or repeat the one above; its title is the last level and the package size; its price the median price paid; its
  manufacturer the seller, `m<id>`. National or Private is no brand's name, so it is a tag;
- a household is a user, with what the demographics say of it.

Left out: fuel, coupons and till entries, products without a description, and lines without a quantity. The log is a sample of
the households' baskets, so histories have gaps. Items are those that an event names. Timestamps are taken as UTC.
Order: time, basket, then visit, exposures, purchases, clicks.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from models.entities import Event, Item, UserAttributes
from streams.importers.coupon_clicks import Redemption, coupon_clicks, read_coupons, read_redemptions
from streams.importers.shop_exposures import EXPOSE_CAP, read_promotions, shop_exposures
from streams.importers.summary import ImportSummary, write_import
from streams.importers.tables import DroppedRows, Row, find_table, read_table

VERSION = 1
PRODUCT_COLUMNS = (
    "product_id",
    "manufacturer_id",
    "department",
    "brand",
    "product_category",
    "product_type",
    "package_size",
)
LINE_COLUMNS = (
    "household_id",
    "store_id",
    "basket_id",
    "product_id",
    "quantity",
    "sales_value",
    "week",
    "transaction_timestamp",
)
FACTS = ("age", "income", "home_ownership", "marital_status", "household_size", "household_comp", "kids_count")

ABOUT = {
    "name": "Complete Journey",
    "licence": "CC0-1.0",
    "source": "84.51° Complete Journey 2.0; R package completejourney",
    "notes": (
        "A sample of the baskets of 2,377 grocery households in 2017, so histories have gaps. Exposures are what the visited "
        f"store had in its mailer or on display that week, the {EXPOSE_CAP} most prominent per visit; a click is a redeemed "
        "coupon. Timestamps are taken as UTC. Titles are product types, not marketing titles."
    ),
}

_ID = re.compile(r"\d{1,18}")
_MAX_QUANTITY = 10_000_000  # pieces; the bound of `Event.quantity`
_MAX_TEXT = 200  # characters of one cell that becomes part of a title
# What the till books as products and no shopper takes from a shelf.
_NO_GOODS = frozenset({"FUEL", "COUPON", "COUPON/MISC ITEMS", "COUPONS/STORE & MFG"})
_BRAND_TAGS = {"National": "attribute:national brand", "Private": "attribute:private label"}


@dataclass(frozen=True, slots=True)
class _Product:
    path: tuple[str, ...]
    size: str
    seller: str
    brand: str


@dataclass(frozen=True, slots=True)
class _Line:
    ts_ms: int
    basket: str
    place: int
    user_id: str
    store: str
    week: int
    product: str
    quantity: int
    unit_price: float


def import_complete_journey(folder: Path, out: Path) -> ImportSummary:
    """Writes the log folder of the Complete Journey tables; the same tables give the same bytes.

    Args:
        folder: holds `transactions_sample`, `products`, `demographics`, `promotions_sample`, `coupons` and
            `coupon_redemptions`, each as `.csv` or `.csv.xz`.
        out: the log folder, made if it is not there.

    Returns:
        What was written, and what was left out and why.

    Raises:
        LogError: a table is missing, cannot be read or lacks columns, or the log folder cannot be written.
    """
    dropped = DroppedRows()
    products = _read_products(find_table(folder, "products"), dropped)
    lines = _read_lines(find_table(folder, "transactions_sample"), products, dropped)
    weeks = {(line.store, line.week) for line in lines}
    shown = read_promotions(find_table(folder, "promotions_sample"), weeks, products.keys(), dropped)
    offers = read_coupons(
        find_table(folder, "coupons"), {product_id: product.path for product_id, product in products.items()}, dropped
    )
    redemptions = read_redemptions(find_table(folder, "coupon_redemptions"), offers, dropped)
    events = _events(lines, shown, redemptions)
    prices: dict[str, list[float]] = defaultdict(list)
    for line in lines:
        if line.unit_price > 0:
            prices[line.product].append(line.unit_price)
    named = sorted({event.item_id for event in events if event.item_id}, key=_numeric)
    return write_import(
        out,
        version=VERSION,
        impressions=True,
        **ABOUT,
        events=events,
        items=[_item(product, products[product], prices.get(product)) for product in named],
        users=_read_users(find_table(folder, "demographics"), {event.user_id for event in events}, dropped),
        dropped=dropped.reasons(),
    )


def _numeric(text: str) -> tuple[int, str]:
    return len(text), text


def _read_products(path: Path, dropped: DroppedRows) -> dict[str, _Product]:
    products: dict[str, _Product] = {}
    for row in read_table(path, PRODUCT_COLUMNS, dropped):
        product, maker, department, brand, category, kind, size = (cell.strip() for cell in row.cells)
        if _ID.fullmatch(product) is None or _ID.fullmatch(maker) is None or max(map(len, row.cells)) > _MAX_TEXT:
            dropped.add(path.name, "ids are no numbers, or text is too long", row.line)
        elif {department, category} & _NO_GOODS:
            dropped.add(path.name, "fuel, coupon or till entry", row.line)
        elif not department or not (category or kind):
            dropped.add(path.name, "no description", row.line)
        elif product in products:
            dropped.add(path.name, "product described before", row.line)
        else:
            products[product] = _Product(_path(department, category, kind), size.lower(), f"m{maker}", brand)
    return products


def _path(*levels: str) -> tuple[str, ...]:
    path: list[str] = []
    for level in levels:
        name = " ".join(level.split()).lower()
        if name and (not path or path[-1] != name):
            path.append(name)
    return tuple(path)


def _read_lines(path: Path, products: dict[str, _Product], dropped: DroppedRows) -> list[_Line]:
    places: Counter[str] = Counter()
    lines: list[_Line] = []
    for row in read_table(path, LINE_COLUMNS, dropped):
        basket = row.cells[2].strip()
        places[basket] += 1
        line = _line(row, places[basket])
        if isinstance(line, str):
            dropped.add(path.name, line, row.line)
        elif line.product not in products:
            dropped.add(path.name, "product is no described goods", row.line)
        else:
            lines.append(line)
    lines.sort(key=lambda line: (line.ts_ms, _numeric(line.basket), line.place))
    return lines


def _line(row: Row, place: int) -> _Line | str:
    """One line of a basket, or the reason why it is none."""
    household, store, basket, product, quantity, value, week, stamp = (cell.strip() for cell in row.cells)
    if not all(map(_ID.fullmatch, (household, store, basket, product, week))):
        return "ids are no numbers"
    try:
        ts_ms = int(datetime.fromisoformat(stamp).replace(tzinfo=UTC).timestamp() * 1000)
        pieces, paid = float(quantity), float(value)
    except ValueError:
        return "quantity, value or time is malformed"
    if not 1 <= pieces <= _MAX_QUANTITY or pieces != int(pieces):
        return "quantity is no number of pieces"
    if ts_ms < 0 or not 0 <= paid < 1e9:
        return "value or time is out of bounds"
    return _Line(ts_ms, basket, place, household, store, int(week), product, int(pieces), paid / pieces)


def _events(
    lines: Sequence[_Line], shown: dict[tuple[str, int], tuple[tuple[str, str], ...]], redemptions: Sequence[Redemption]
) -> list[Event]:
    # Order within one millisecond: basket, kind, place. Clicks carry the basket of the visit that they happened on.
    ordered: list[tuple[tuple[int, tuple[int, str], int, int], Event]] = []
    first_of_day: dict[tuple[str, str], tuple[int, str]] = {}
    bought: dict[tuple[str, str], set[str]] = defaultdict(set)
    visited: set[str] = set()
    for line in lines:
        day = (line.user_id, datetime.fromtimestamp(line.ts_ms / 1000, tz=UTC).date().isoformat())
        bought[day].add(line.product)
        key = _numeric(line.basket)
        if line.basket not in visited:
            visited.add(line.basket)
            first_of_day.setdefault(day, (line.ts_ms, line.basket))
            visit = Event(event_id=f"v-{line.basket}", user_id=line.user_id, type="visit", ts_ms=line.ts_ms)
            ordered.append(((line.ts_ms, key, 0, 0), visit))
            exposures = shop_exposures(line.basket, line.user_id, line.ts_ms, shown.get((line.store, line.week), ()))
            ordered.extend(((line.ts_ms, key, 1, slot), event) for slot, event in enumerate(exposures))
        ordered.append(((line.ts_ms, key, 2, line.place), _purchase(line)))
    for redemption in redemptions:
        day = (redemption.user_id, redemption.day)
        ts_ms, basket = first_of_day.get(day, (redemption.noon_ms, ""))
        clicks = coupon_clicks(redemption, bought.get(day, set()), ts_ms)
        ordered.extend(((ts_ms, _numeric(basket), 3, redemption.line * 1000 + n), event) for n, event in enumerate(clicks))
    ordered.sort(key=lambda pair: pair[0])
    return [event for _, event in ordered]


def _purchase(line: _Line) -> Event:
    return Event(
        event_id=f"{line.basket}-{line.place}",
        user_id=line.user_id,
        type="purchase",
        ts_ms=line.ts_ms,
        item_id=line.product,
        quantity=line.quantity,
    )


def _item(product_id: str, product: _Product, prices: list[float] | None) -> Item:
    tag = _BRAND_TAGS.get(product.brand)
    return Item(
        item_id=product_id,
        title=", ".join(part for part in (product.path[-1], product.size) if part),
        category=product.path,
        seller=product.seller,
        price=round(median(prices), 2) if prices else None,
        tags=(tag,) if tag else (),
    )


def _read_users(path: Path, seen: set[str], dropped: DroppedRows) -> list[UserAttributes]:
    facts: dict[str, dict[str, str | None]] = {}
    for row in read_table(path, ("household_id", *FACTS), dropped):
        household = row.cells[0].strip()
        if household not in seen:
            dropped.add(path.name, "household without an event", row.line)
            continue
        cells = zip(FACTS, (cell.strip()[:_MAX_TEXT] for cell in row.cells[1:]), strict=True)
        facts[household] = {name: cell for name, cell in cells if cell}
    return [UserAttributes(user_id=user_id, attributes=facts.get(user_id, {})) for user_id in sorted(seen, key=_numeric)]
