"""The Online Retail data set as a recorded log: the till of a British gift wholesaler, December 2010 to December 2011.

Knows nothing about Kafka or the engine. What becomes what:

- a line of an invoice with a customer is a `purchase`; of an invoice whose number starts with C, a `cancel`; `quantity` is the
  number of pieces. The event id is `<invoice>-<n>`, n the line's place in its invoice, counted over all lines of the file;
- an invoice that keeps a purchase is a `visit` at its first minute, `v-<invoice>`. A cancellation is no visit;
- a stock code is an item. Its title is its most frequent name (of equals, the first in the alphabet), in small letters with
  single blanks; its price is the median unit price; its category and tags come from `leaf_category` and `product_tags`;
- a customer is a user, with the country that stands on most of the lines.

Left out: lines without a customer, of a price of 0, of services (postage, manual entries, fees, vouchers, samples), and lines
whose name is a stock-taker's note. The shop's local times are taken as UTC. Order: time, invoice, line, the visit first.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from models.entities import Event, Item, UserAttributes
from streams.importers.leaf_category import leaf_path
from streams.importers.product_tags import product_tags
from streams.importers.summary import ImportSummary, write_import
from streams.importers.tables import DroppedRows, Row, read_table

VERSION = 1
COLUMNS = ("InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID", "Country")

# Products have five digits and up to two letters, or the codes of goods sold on another site; all other codes are services.
_PRODUCT = re.compile(r"\d{5}[A-Z]{0,2}|DCGS[0-9A-Z]{1,8}")
_INVOICE = re.compile(r"C?\d{1,12}")
_CUSTOMER = re.compile(r"(\d{1,12})(?:\.0)?")
# Services that hide under a product's code.
_SERVICE_NAMES = frozenset({"next day carriage", "packing charge", "high resolution image"})
_MAX_TEXT = 200  # characters of a name or country; the till prints 35, so a longer name is two rows run together
_MAX_QUANTITY = 10_000_000  # pieces; the bound of `Event.quantity`

ABOUT = {
    "name": "Online Retail",
    "licence": "CC0-1.0",
    "source": "Chen, Sain and Guo (2012), doi:10.1057/dbm.2012.17; R package onlineretail",
    "notes": (
        "All invoices with a customer of a British online gift wholesaler. The log has no impressions, so purchases and "
        "clicks count as seen. Local times are taken as UTC. Categories and tags are derived from the products' names."
    ),
}


@dataclass
class _Product:
    names: Counter[str] = field(default_factory=Counter)
    prices: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Line:
    ts_ms: int
    invoice: str
    place: int
    code: str
    quantity: int
    user_id: str


def import_online_retail(path: Path, out: Path) -> ImportSummary:
    """Writes the log folder of an Online Retail file; the same file gives the same bytes.

    Args:
        path: `online_retail.csv` or `.csv.xz`.
        out: the log folder, made if it is not there.

    Returns:
        What was written, and what was left out and why.

    Raises:
        LogError: the file cannot be read or has other columns, or the folder cannot be written.
    """
    dropped = DroppedRows()
    places: Counter[str] = Counter()
    products: dict[str, _Product] = defaultdict(_Product)
    countries: dict[str, Counter[str]] = defaultdict(Counter)
    lines: list[_Line] = []
    for row in read_table(path, COLUMNS, dropped):
        places[row.cells[0]] += 1
        reason = _refusal(row)
        if reason is not None:
            dropped.add(path.name, reason, row.line)
            continue
        line = _line(row, places[row.cells[0]])
        lines.append(line)
        products[line.code].names[_title(row.cells[2])] += 1
        products[line.code].prices.append(float(row.cells[5]))
        countries[line.user_id][row.cells[7].strip()[:_MAX_TEXT]] += 1
    lines.sort(key=lambda line: (line.ts_ms, line.invoice, line.place))
    return write_import(
        out,
        version=VERSION,
        impressions=False,
        **ABOUT,
        events=_events(lines),
        items=[_item(code, product) for code, product in sorted(products.items())],
        users=[_user(user_id, seen) for user_id, seen in sorted(countries.items(), key=lambda pair: (len(pair[0]), pair[0]))],
        dropped=dropped.reasons(),
    )


def _refusal(row: Row) -> str | None:
    """Why a row is left out, or None."""
    invoice, code, name, quantity, date, price, customer, _ = row.cells
    if not customer.strip():
        return "no customer"
    checks = (
        ("customer is no number", _CUSTOMER.fullmatch(customer.strip()) is not None),
        ("invoice is no number", _INVOICE.fullmatch(invoice.strip()) is not None),
        ("not a product", _is_product(code, name)),
        ("no product name", bool(name.strip()) and len(name) <= _MAX_TEXT),
        ("a stock-taker's note for a name", any(letter.isupper() for letter in name)),
        ("date is no time", _ts_ms(date) is not None),
        ("price is no amount above 0", _amount(price) > 0),
        ("quantity is no number of pieces", _pieces(quantity) != 0),
    )
    for reason, is_good in checks:
        if not is_good:
            return reason
    if (_pieces(quantity) < 0) != invoice.strip().startswith("C"):
        return "sign of the quantity contradicts the invoice"
    return None


def _is_product(code: str, name: str) -> bool:
    return _PRODUCT.fullmatch(code.strip().upper()) is not None and _title(name) not in _SERVICE_NAMES


def _ts_ms(date: str) -> int | None:
    try:
        moment = datetime.fromisoformat(date.strip())
    except ValueError:
        return None
    seconds = moment.replace(tzinfo=UTC).timestamp()
    return int(seconds * 1000) if seconds >= 0 else None


def _amount(text: str) -> float:
    try:
        amount = float(text)
    except ValueError:
        return 0.0
    return amount if 0 < amount < 1e9 else 0.0


def _pieces(text: str) -> int:
    try:
        pieces = float(text)
    except ValueError:
        return 0
    return int(pieces) if abs(pieces) <= _MAX_QUANTITY and pieces == int(pieces) else 0


def _title(name: str) -> str:
    """A name to read: small letters, single blanks, a blank after each comma and no loose stop at the end."""
    return " ".join(name.lower().replace(",", " , ").split()).replace(" ,", ",").strip(" ,.")


def _line(row: Row, place: int) -> _Line:
    invoice, code, _, quantity, date, _, customer, _ = row.cells
    return _Line(
        ts_ms=_ts_ms(date) or 0,
        invoice=invoice.strip(),
        place=place,
        code=code.strip().upper(),
        quantity=_pieces(quantity),
        user_id=customer.strip().removesuffix(".0"),
    )


def _events(lines: list[_Line]) -> list[Event]:
    events: list[Event] = []
    visited: set[str] = set()
    for line in lines:
        is_cancel = line.quantity < 0
        if not is_cancel and line.invoice not in visited:
            visited.add(line.invoice)
            events.append(Event(event_id=f"v-{line.invoice}", user_id=line.user_id, type="visit", ts_ms=line.ts_ms))
        events.append(
            Event(
                event_id=f"{line.invoice}-{line.place}",
                user_id=line.user_id,
                type="cancel" if is_cancel else "purchase",
                ts_ms=line.ts_ms,
                item_id=line.code,
                quantity=abs(line.quantity),
            )
        )
    return events


def _item(code: str, product: _Product) -> Item:
    title = _most_frequent(product.names)
    path = leaf_path(title)
    return Item(
        item_id=code, title=title, category=path, price=round(median(product.prices), 2), tags=product_tags(title, path)
    )


def _user(user_id: str, countries: Counter[str]) -> UserAttributes:
    return UserAttributes(user_id=user_id, attributes={"country": _most_frequent(countries)})


def _most_frequent(counts: Counter[str]) -> str:
    return min(counts, key=lambda text: (-counts[text], text))
