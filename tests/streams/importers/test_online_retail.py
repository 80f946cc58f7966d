"""Laws of the Online Retail importer, on a till of a few lines."""

import csv
import lzma
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import json

from models.entities import Event, Item, UserAttributes
from models.errors import LogError
from streams.importers.online_retail import import_online_retail
from streams.recorded.logs import RecordedLog

HEADER = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country"
# 1 December 2010, 08:26 UTC.
T0 = int(datetime(2010, 12, 1, 8, 26, tzinfo=UTC).timestamp() * 1000)
MINUTE_MS = 60_000

TILL = [
    "536365,85123A,WHITE HANGING HEART T-LIGHT HOLDER,6.0,2010-12-01 08:26:00,2.55,17850.0,United Kingdom",
    "536365,POST,POSTAGE,1.0,2010-12-01 08:26:00,18.0,17850.0,United Kingdom",
    "536365,20685,DOORMAT RED RETROSPOT,2.0,2010-12-01 08:26:00,7.95,17850.0,United Kingdom",
    "C536366,85123a,WHITE HANGING HEART T-LIGHT HOLDER,-1.0,2010-12-01 08:28:00,2.55,17850.0,United Kingdom",
    "536364,85123A,CREAM HANGING HEART T-LIGHT HOLDER,1.0,2010-12-01 08:27:00,2.95,12680.0,France",
]


def write_till(path, rows):
    path.write_text("\n".join([HEADER, *rows]) + "\n")
    return path


def imported(tmp_path, rows):
    summary = import_online_retail(write_till(tmp_path / "till.csv", rows), tmp_path / "log")
    log = RecordedLog(tmp_path / "log")
    return summary, log


def events_of(log):
    return [json.decode(line, type=Event) for _, line in log.events()]


def test_invoice_lines_become_a_visit_and_purchases_in_order_of_time(tmp_path):
    _, log = imported(tmp_path, TILL)
    assert [(event.event_id, event.type, event.ts_ms, event.item_id, event.quantity) for event in events_of(log)] == [
        ("v-536365", "visit", T0, None, None),
        ("536365-1", "purchase", T0, "85123A", 6),
        ("536365-3", "purchase", T0, "20685", 2),
        ("v-536364", "visit", T0 + MINUTE_MS, None, None),
        ("536364-1", "purchase", T0 + MINUTE_MS, "85123A", 1),
        ("C536366-1", "cancel", T0 + 2 * MINUTE_MS, "85123A", 1),
    ]


def test_cancellation_alone_is_no_visit(tmp_path):
    _, log = imported(tmp_path, [TILL[3]])
    assert [(event.event_id, event.type, event.user_id) for event in events_of(log)] == [("C536366-1", "cancel", "17850")]


def test_item_has_its_most_frequent_name_and_median_price(tmp_path):
    _, log = imported(tmp_path, TILL)
    doormat, holder = (json.decode(line, type=Item) for _, line in log.items())
    assert (holder.item_id, holder.title, holder.price) == ("85123A", "white hanging heart t-light holder", 2.55)
    assert holder.category == ("candles and lighting", "t-light holder")
    assert (doormat.item_id, doormat.category) == ("20685", ("soft furnishings", "doormat"))
    assert "attribute:red" in doormat.tags


def test_names_as_frequent_as_each_other_give_the_first_of_the_alphabet(tmp_path):
    _, log = imported(tmp_path, [TILL[0], TILL[4]])
    ((_, line),) = log.items()
    assert json.decode(line, type=Item).title == "cream hanging heart t-light holder"
    assert json.decode(line, type=Item).price == 2.75


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ('" POLKADOT  RAIN HAT "', "polkadot rain hat"),
        ('"BIRTHDAY CARD, RETRO SPOT"', "birthday card, retro spot"),
        ('"KEY FOB , FRONT DOOR"', "key fob, front door"),
        ('"DECOUPAGE,GREETING CARD,"', "decoupage, greeting card"),
        ("LUNCH BAG  BLACK SKULL.", "lunch bag black skull"),
    ],
)
def test_title_is_readable(tmp_path, name, title):
    _, log = imported(tmp_path, [f"536365,20685,{name},2.0,2010-12-01 08:26:00,7.95,17850.0,France"])
    ((_, line),) = log.items()
    assert json.decode(line, type=Item).title == title


def test_user_has_the_country_of_most_lines(tmp_path):
    rows = [*TILL, TILL[0].replace("United Kingdom", "Eire").replace("536365", "536370")]
    _, log = imported(tmp_path, rows)
    users = [json.decode(line, type=UserAttributes) for _, line in log.users()]
    assert users == [
        UserAttributes(user_id="12680", attributes={"country": "France"}),
        UserAttributes(user_id="17850", attributes={"country": "United Kingdom"}),
    ]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("1,20685,DOORMAT,1.0,2010-12-01 08:26:00,7.95,,France", "no customer"),
        ("1,20685,DOORMAT,1.0,2010-12-01 08:26:00,7.95,x,France", "customer is no number"),
        ("A1,20685,DOORMAT,1.0,2010-12-01 08:26:00,7.95,1.0,France", "invoice is no number"),
        ("1,M,Manual,1.0,2010-12-01 08:26:00,7.95,1.0,France", "not a product"),
        ("1,gift_0001_40,Dotcomgiftshop Gift Voucher,1.0,2010-12-01 08:26:00,7.95,1.0,France", "not a product"),
        ("1,23444,Next Day Carriage,1.0,2010-12-01 08:26:00,7.95,1.0,France", "not a product"),
        ("1,20685,,1.0,2010-12-01 08:26:00,7.95,1.0,France", "no product name"),
        ("1,20685,damaged,1.0,2010-12-01 08:26:00,7.95,1.0,France", "a stock-taker's note for a name"),
        ("1,20685,DOORMAT,1.0,yesterday,7.95,1.0,France", "date is no time"),
        ("1,20685,DOORMAT,1.0,2010-12-01 08:26:00,0.0,1.0,France", "price is no amount above 0"),
        ("1,20685,DOORMAT,1.0,2010-12-01 08:26:00,nan,1.0,France", "price is no amount above 0"),
        ("1,20685,DOORMAT,0.0,2010-12-01 08:26:00,7.95,1.0,France", "quantity is no number of pieces"),
        ("1,20685,DOORMAT,1.5,2010-12-01 08:26:00,7.95,1.0,France", "quantity is no number of pieces"),
        ("1,20685,DOORMAT,inf,2010-12-01 08:26:00,7.95,1.0,France", "quantity is no number of pieces"),
        ("1,20685,DOORMAT,-1.0,2010-12-01 08:26:00,7.95,1.0,France", "sign of the quantity contradicts the invoice"),
        ("C1,20685,DOORMAT,1.0,2010-12-01 08:26:00,7.95,1.0,France", "sign of the quantity contradicts the invoice"),
        ("1,20685,DOORMAT", "not 8 cells"),
    ],
)
def test_bad_row_is_counted_with_its_line_and_the_rest_is_imported(tmp_path, row, reason):
    summary, log = imported(tmp_path, [TILL[0], row, row])
    assert [(entry.reason, entry.rows, entry.first_lines) for entry in summary.dropped] == [(reason, 2, (3, 4))]
    assert len(events_of(log)) == summary.about.events == 2


def test_import_twice_gives_the_same_bytes(tmp_path):
    till = write_till(tmp_path / "till.csv", TILL)
    for name in ("one", "two"):
        import_online_retail(till, tmp_path / name)
    for file in (tmp_path / "one").iterdir():
        assert file.read_bytes() == (tmp_path / "two" / file.name).read_bytes()


def test_import_of_an_xz_file_gives_the_same_log(tmp_path):
    plain = write_till(tmp_path / "till.csv", TILL)
    packed = tmp_path / "till.csv.xz"
    packed.write_bytes(lzma.compress(plain.read_bytes()))
    import_online_retail(plain, tmp_path / "one")
    import_online_retail(packed, tmp_path / "two")
    assert (tmp_path / "one/events.jsonl.zst").read_bytes() == (tmp_path / "two/events.jsonl.zst").read_bytes()


def test_truncated_xz_file_names_file_and_line(tmp_path):
    plain = write_till(tmp_path / "till.csv", TILL * 200)
    packed = tmp_path / "till.csv.xz"
    packed.write_bytes(lzma.compress(plain.read_bytes())[:-40])
    with pytest.raises(LogError, match=r"till\.csv\.xz: cannot be read"):
        import_online_retail(packed, tmp_path / "log")
    assert not (tmp_path / "log/about.json").exists()


def test_file_of_another_shape_names_the_missing_columns(tmp_path):
    path = tmp_path / "other.csv"
    path.write_text("InvoiceNo,Quantity\n1,2\n")
    with pytest.raises(LogError, match=r"other\.csv: lacks the columns StockCode, Description"):
        import_online_retail(path, tmp_path / "log")


def test_file_without_a_usable_row_writes_no_log(tmp_path):
    with pytest.raises(LogError, match="no row could be used"):
        imported(tmp_path, [])


CELLS = st.one_of(
    st.text(max_size=300),
    st.floats().map(str),
    st.sampled_from(
        ["1", "C1", "-1", "20685", "DOORMAT", "DOORMAT, RED", "2010-12-01", "0001-01-01", "9999-12-31", "1" * 5000]
    ),
)


@given(rows=st.lists(st.lists(CELLS, min_size=7, max_size=9), max_size=4))
@settings(max_examples=20, deadline=None)
def test_no_row_can_break_an_import_or_make_an_invalid_record(rows):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with (folder / "till.csv").open("w", newline="", encoding="utf-8", errors="surrogatepass") as file:
            writer = csv.writer(file)
            writer.writerows([HEADER.split(","), *(row.split(",") for row in TILL), *rows])
        summary = import_online_retail(folder / "till.csv", folder / "log")
        log = RecordedLog(folder / "log")
        assert len(events_of(log)) == summary.about.events >= 6
        assert len([json.decode(line, type=Item) for _, line in log.items()]) == summary.about.items
        assert len([json.decode(line, type=UserAttributes) for _, line in log.users()]) == summary.about.users
