"""Laws of the leaf categories: the product type is found whatever stands around it."""

import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import json

from models.entities import Item
from streams.importers.leaf_category import OTHER, leaf_path
from streams.importers.leaf_table import TABLE
from streams.importers.phrases import table_rows
from streams.importers.product_tags import TAGS, product_tags
from streams.recorded.logs import shipped_log

FAMILIES = {"attribute", "interest", "scenario"}


@pytest.mark.parametrize(
    ("name", "leaf"),
    [
        ("WHITE HANGING HEART T-LIGHT HOLDER", "t-light holder"),
        ("EMBOSSED GLASS TEALIGHT HOLDER", "t-light holder"),
        ("PEARL CRYSTAL PUMPKIN T-LIGHT HLDR", "t-light holder"),
        ("SET OF 6 T-LIGHTS SANTA", "t-light candles"),
        ("LUNCH BAG RED RETROSPOT", "lunch bag"),
        ("STRAWBERRY LUNCH BOX WITH CUTLERY", "lunch box"),
        ("JUMBO SHOPPER VINTAGE RED PAISLEY", "jumbo bag"),
        ("REGENCY CAKESTAND 3 TIER", "cake stand"),
        ("MINI CAKE STAND T-LIGHT HOLDER", "t-light holder"),
        ("TEA TIME CAKE STAND IN GIFT BOX", "cake stand"),
        ("WRAP VINTAGE LEAF DESIGN", "wrapping paper"),
        ("PINK POLKADOT WRAP", "wrapping paper"),
        ("PACK OF 72 RETROSPOT CAKE CASES", "cake cases"),
        ("SET 36 COLOURING PENCILS DOILY", "pencils"),
        ("PARTY TIME PENCIL ERASERS", "erasers and sharpeners"),
        ("METAL SIGN,CUPCAKE SINGLE HOOK", "metal sign"),
        ("BLUE DIAMANTE PEN IN GIFT BOX", "pens"),
        ("CAT WITH SUNGLASSES BLANK CARD", "greeting card"),
        ("GREEN CHRISTMAS TREE CARD HOLDER", "card holder"),
        ("BANK ACCOUNT  GREETING CARD", "greeting card"),
        ("DOORSTOP RACING CAR DESIGN", "doorstop"),
        ("DOORMAT UNION FLAG", "doormat"),
        ("WALL ART HORSE & PONY", "wall art"),
        ("BLACKCHRISTMAS TREE 30CM", "christmas tree"),
        ("RED ROSE AND LACE C/COVER", "cushion cover"),
        ('FLOWER GLASS GARLD NECKL36"AMETHYST', "necklace"),
        ("SET OF 4 JAM JAR MAGNETS", "fridge magnet"),
        ("WATERING CAN GARDEN MARKER", "garden marker"),
    ],
)
def test_leaf_of_a_name_is_its_product_type(name, leaf):
    assert leaf_path(name)[1] == leaf


@given(
    st.sampled_from([("CAKE STAND", "cake stand"), ("HOT WATER BOTTLE", "hot water bottle"), ("DOORMAT", "doormat")]),
    st.data(),
)
def test_leaf_does_not_depend_on_case_blanks_or_a_plural(pair, data):
    name, leaf = pair
    blanks = data.draw(st.integers(1, 4))
    written = (name + data.draw(st.sampled_from(["", "S"]))).replace(" ", " " * blanks)
    assert leaf_path(data.draw(st.sampled_from([written, written.lower(), f" {written} "])))[1] == leaf


@given(st.text(max_size=80))
def test_leaf_exists_for_every_text(name):
    department, leaf = leaf_path(name)
    assert department
    assert leaf


def test_leaf_of_a_name_without_a_known_type_is_other():
    assert leaf_path("ZYZZYVA") == OTHER


def test_table_gives_each_leaf_one_department_and_every_row_a_phrase():
    rows = list(table_rows(TABLE))
    departments: dict[str, str] = {}
    for path, phrases in rows:
        department, leaf = re.fullmatch(r"([a-z ]+) / ([a-z',& -]+)", path).groups()
        assert departments.setdefault(leaf, department) == department
        assert all(part.strip(" ^") for phrase in phrases for part in phrase)


def test_shipped_items_have_meaningful_leaves():
    # The bounds say what a leaf is for: few departments, leaves that several products share, and nothing left over.
    items = [json.decode(line, type=Item) for _, line in shipped_log("online-retail").items()]
    sizes: dict[tuple[str, ...], int] = {}
    for item in items:
        sizes[item.category] = sizes.get(item.category, 0) + 1
    assert 12 <= len({department for department, _ in sizes}) <= 20
    assert 150 <= len(sizes) <= 400
    assert min(sizes.values()) >= 3
    assert max(sizes.values()) <= len(items) * 0.03
    assert OTHER not in sizes


def test_shipped_items_have_the_category_and_tags_that_their_titles_give():
    # Every seventh, as one takes about a millisecond.
    for _, line in itertools.islice(shipped_log("online-retail").items(), 0, None, 7):
        item = json.decode(line, type=Item)
        path = leaf_path(item.title)
        assert (item.category, item.tags) == (path, product_tags(item.title, path))


def test_tags_carry_their_family():
    assert {row.partition(":")[0] for row, _ in table_rows(TAGS)} == FAMILIES


@pytest.mark.parametrize(
    ("name", "tags"),
    [
        ("RED RETROSPOT CAKE STAND", {"attribute:red", "attribute:retrospot", "interest:baking"}),
        ("WOODEN STAR CHRISTMAS SCANDINAVIAN", {"attribute:wood", "attribute:star", "scenario:christmas"}),
        ("POTTING SHED TWINE", {"interest:gardening"}),
        ("PICNIC BASKET WICKER LARGE", {"attribute:wicker", "attribute:large", "scenario:picnic"}),
        ("TRAVEL SEWING KIT", {"interest:sewing", "scenario:travel"}),
    ],
)
def test_tags_follow_name_and_department(name, tags):
    assert tags <= set(product_tags(name, leaf_path(name)))
