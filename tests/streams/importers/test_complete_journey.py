"""Laws of the Complete Journey importer, on a store of a few products."""

import csv
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import json

from models.entities import Event, Item, UserAttributes
from models.errors import LogError
from streams.importers.complete_journey import import_complete_journey
from streams.importers.shop_exposures import EXPOSE_CAP
from streams.recorded.logs import RecordedLog

T0 = int(datetime(2017, 1, 28, 19, 6, 53, tzinfo=UTC).timestamp() * 1000)
NOON = int(datetime(2017, 2, 1, 12, tzinfo=UTC).timestamp() * 1000)

TABLES = {
    "products": [
        "product_id,manufacturer_id,department,brand,product_category,product_type,package_size",
        "10,69,GROCERY,Private,FROZEN  PIZZA,PIZZA/PREMIUM,12 OZ",
        "11,151,GROCERY,National,SOFT DRINKS,SOFT DRINKS,",
        "12,7,PASTRY,National,,BREAD:ITALIAN/FRENCH,1 LB",
        "13,7,FUEL,National,COUPON/MISC ITEMS,GASOLINE-REG UNLEADED,",
        "14,2,MISCELLANEOUS,National,,,",
        "15,7,PASTRY,National,,BREAD:ITALIAN/FRENCH,2 LB",
    ],
    "transactions_sample": [
        "household_id,store_id,basket_id,product_id,quantity,sales_value,week,transaction_timestamp",
        "1,309,500,10,2.0,6.0,5,2017-01-28 19:06:53",
        "1,309,500,13,900.0,20.0,5,2017-01-28 19:06:53",
        "1,309,500,11,1.0,1.5,5,2017-01-28 19:06:53",
        "2,310,501,11,0.0,1.5,5,2017-01-28 19:06:54",
        "2,310,501,11,1.0,2.5,5,2017-01-28 19:06:54",
    ],
    "promotions_sample": [
        "product_id,store_id,display_location,mailer_location,week",
        "10,309,0,A,5",  # an inside page
        "11,309,1,0,5",  # the store front wins
        "12,309,0,0,5",  # nowhere
        "12,309,0,D,6",  # a week in which nobody came
        "12,310,0,D,6",
        "14,309,0,D,5",  # no described goods
    ],
    "demographics": [
        "household_id,age,income,home_ownership,marital_status,household_size,household_comp,kids_count",
        "1,65+,35-49K,,Married,2,2 Adults No Kids,0",
        "9,65+,35-49K,,Married,2,2 Adults No Kids,0",
    ],
    "coupons": ["coupon_upc,product_id,campaign_id", "77,12,3", "77,11,3", "77,15,3", "78,13,3", "79,10,3", "79,11,3"],
    "coupon_redemptions": ["household_id,coupon_upc,campaign_id,redemption_date"],
}


def imported(tmp_path, **changes):
    tables = tmp_path / "tables"
    tables.mkdir()
    for name, rows in (TABLES | changes).items():
        (tables / f"{name}.csv").write_text("\n".join(rows) + "\n")
    summary = import_complete_journey(tables, tmp_path / "log")
    return summary, RecordedLog(tmp_path / "log")


def events_of(log):
    return [json.decode(line, type=Event) for _, line in log.events()]


def redeemed(*rows):
    return [*TABLES["coupon_redemptions"], *rows]


def test_basket_becomes_visit_exposures_and_purchases(tmp_path):
    _, log = imported(tmp_path)
    assert [(e.event_id, e.type, e.user_id, e.ts_ms, e.item_id, e.quantity, e.slot) for e in events_of(log)] == [
        ("v-500", "visit", "1", T0, None, None, None),
        ("e-500-0", "expose", "1", T0, "11", None, 0),
        ("e-500-1", "expose", "1", T0, "10", None, 1),
        ("500-1", "purchase", "1", T0, "10", 2, None),
        ("500-3", "purchase", "1", T0, "11", 1, None),
        ("v-501", "visit", "2", T0 + 1000, None, None, None),
        ("501-2", "purchase", "2", T0 + 1000, "11", 1, None),
    ]


def test_exposures_are_only_of_the_store_and_week_that_the_household_visited(tmp_path):
    _, log = imported(tmp_path)
    exposures = [event for event in events_of(log) if event.type == "expose"]
    assert {event.user_id for event in exposures} == {"1"}
    assert {(event.item_id, event.surface) for event in exposures} == {("11", "display"), ("10", "mailer")}


def test_exposures_of_a_visit_are_capped_and_the_most_prominent_come_first(tmp_path):
    products = [
        *TABLES["products"],
        *(f"{n},7,GROCERY,National,SOUP,SOUP {n},1 LB" for n in range(100, 100 + 3 * EXPOSE_CAP)),
    ]
    # Inside pages for all but the last two, which are on the front page.
    pages = ["A"] * (3 * EXPOSE_CAP - 2) + ["D", "D"]
    promotions = [TABLES["promotions_sample"][0], *(f"{100 + n},309,0,{page},5" for n, page in enumerate(pages))]
    _, log = imported(tmp_path, products=products, promotions_sample=promotions)
    exposures = [event for event in events_of(log) if event.type == "expose"]
    assert [event.slot for event in exposures] == list(range(EXPOSE_CAP))
    front = {str(100 + 3 * EXPOSE_CAP - 2), str(100 + 3 * EXPOSE_CAP - 1)}
    assert {event.item_id for event in exposures[:2]} == front
    assert len({event.item_id for event in exposures}) == EXPOSE_CAP


def test_coupon_becomes_clicks_on_its_products_that_were_bought_that_day(tmp_path):
    _, log = imported(tmp_path, coupon_redemptions=redeemed("1,79,3,2017-01-28"))
    clicks = [(event.event_id, event.item_id, event.ts_ms) for event in events_of(log) if event.type == "click"]
    assert clicks == [("r2-1", "10", T0), ("r2-2", "11", T0)]


def test_coupon_of_a_day_without_a_basket_becomes_one_click_at_noon_on_its_typical_product(tmp_path):
    # 12 and 15 share a category, 11 has its own: the typical product is the lower of the two.
    _, log = imported(tmp_path, coupon_redemptions=redeemed("1,77,3,2017-02-01"))
    clicks = [(event.event_id, event.item_id, event.ts_ms) for event in events_of(log) if event.type == "click"]
    assert clicks == [("r2-1", "12", NOON)]


def test_item_has_path_without_empty_or_repeated_levels_and_its_maker_as_seller(tmp_path):
    _, log = imported(tmp_path, coupon_redemptions=redeemed("1,77,3,2017-02-01"))
    pizza, drink, bread = (json.decode(line, type=Item) for _, line in log.items())
    assert pizza == Item(
        item_id="10",
        title="pizza/premium, 12 oz",
        category=("grocery", "frozen pizza", "pizza/premium"),
        seller="m69",
        price=3.0,
        tags=("attribute:private label",),
    )
    # Sold for 1.5 and 2.5 a piece.
    assert (drink.category, drink.title, drink.price) == (("grocery", "soft drinks"), "soft drinks", 2.0)
    # Never sold in this log: named by a coupon alone.
    assert (bread.category, bread.price) == (("pastry", "bread:italian/french"), None)
    assert all(item.brand is None for item in (pizza, drink, bread))


def test_users_are_the_households_with_an_event_and_their_known_facts(tmp_path):
    _, log = imported(tmp_path)
    facts = {"age": "65+", "income": "35-49K", "marital_status": "Married", "household_size": "2"}
    assert [json.decode(line, type=UserAttributes) for _, line in log.users()] == [
        UserAttributes(user_id="1", attributes=facts | {"household_comp": "2 Adults No Kids", "kids_count": "0"}),
        UserAttributes(user_id="2", attributes={}),
    ]


def test_dropped_rows_are_counted_by_table_and_reason(tmp_path):
    summary, _ = imported(tmp_path, coupon_redemptions=redeemed("1,78,3,2017-02-01", "1,77,3,soon"))
    assert [(entry.file, entry.reason, entry.rows, entry.first_lines) for entry in summary.dropped] == [
        ("coupon_redemptions.csv", "coupon without a described product", 1, (2,)),
        ("coupon_redemptions.csv", "household or day is malformed", 1, (3,)),
        ("coupons.csv", "product is no described goods", 1, (5,)),
        ("demographics.csv", "household without an event", 1, (3,)),
        ("products.csv", "fuel, coupon or till entry", 1, (5,)),
        ("products.csv", "no description", 1, (6,)),
        ("promotions_sample.csv", "neither in the mailer nor on display", 1, (4,)),
        ("promotions_sample.csv", "product is no described goods", 1, (7,)),
        ("transactions_sample.csv", "product is no described goods", 1, (3,)),
        ("transactions_sample.csv", "quantity is no number of pieces", 1, (5,)),
    ]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("1,309,500,ten,2.0,6.0,5,2017-01-28 19:06:53", "ids are no numbers"),
        ("1,309,500,10,two,6.0,5,2017-01-28 19:06:53", "quantity, value or time is malformed"),
        ("1,309,500,10,2.0,6.0,5,monday", "quantity, value or time is malformed"),
        ("1,309,500,10,1.5,6.0,5,2017-01-28 19:06:53", "quantity is no number of pieces"),
        ("1,309,500,10,nan,6.0,5,2017-01-28 19:06:53", "quantity is no number of pieces"),
        ("1,309,500,10,1.0,nan,5,2017-01-28 19:06:53", "value or time is out of bounds"),
        ("1,309,500,10,1.0,-1,5,2017-01-28 19:06:53", "value or time is out of bounds"),
        ("1,309", "not 8 cells"),
    ],
)
def test_bad_line_is_counted_with_its_line_number(tmp_path, row, reason):
    header, first, *_ = TABLES["transactions_sample"]
    summary, log = imported(tmp_path, transactions_sample=[header, first, row])
    dropped = [entry for entry in summary.dropped if entry.file == "transactions_sample.csv"]
    assert [(entry.reason, entry.rows, entry.first_lines) for entry in dropped] == [(reason, 1, (3,))]
    assert [event.event_id for event in events_of(log) if event.type == "purchase"] == ["500-1"]


def test_import_says_that_it_has_impressions_and_counts_what_it_wrote(tmp_path):
    summary, log = imported(tmp_path)
    assert log.about == summary.about
    assert log.about.impressions
    assert log.about.events_by_type == {"expose": 2, "purchase": 3, "visit": 2}
    assert (log.about.events, log.about.items, log.about.users) == (7, 2, 2)


def test_import_twice_gives_the_same_bytes(tmp_path):
    imported(tmp_path)
    import_complete_journey(tmp_path / "tables", tmp_path / "again")
    for file in (tmp_path / "log").iterdir():
        assert file.read_bytes() == (tmp_path / "again" / file.name).read_bytes()


def test_missing_table_is_named(tmp_path):
    with pytest.raises(LogError, match=r"has no table products\.csv"):
        import_complete_journey(tmp_path, tmp_path / "log")


CELLS = st.one_of(
    st.text(max_size=20),
    st.floats().map(str),
    st.sampled_from(["1", "10", "309", "5", "D", "A", "77", "3", "GROCERY", "2017-01-28", "2017-01-28 19:06:53", "1" * 5000]),
)


@given(table=st.sampled_from(sorted(TABLES)), rows=st.lists(st.lists(CELLS, min_size=8, max_size=8), max_size=4))
@settings(max_examples=25, deadline=None)
def test_no_row_can_break_an_import_or_make_an_invalid_record(table, rows):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        width = TABLES[table][0].count(",") + 1
        for file_name, lines in TABLES.items():
            with (folder / f"{file_name}.csv").open("w", newline="", encoding="utf-8", errors="surrogatepass") as file:
                writer = csv.writer(file)
                writer.writerows(line.split(",") for line in lines)
                writer.writerows(row[:width] for row in rows if file_name == table)
        summary = import_complete_journey(folder, folder / "log")
        log = RecordedLog(folder / "log")
        assert len(events_of(log)) == summary.about.events >= 7
        assert len([json.decode(line, type=Item) for _, line in log.items()]) == summary.about.items
        assert len([json.decode(line, type=UserAttributes) for _, line in log.users()]) == summary.about.users
