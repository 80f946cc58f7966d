"""The leaf category of an Online Retail product, from its name alone.

Knows nothing about prices, customers or files. The data set has no category column, so the product type is read from the name:

1. the name is brought into the form that `streams.importers.phrases` describes: small, singular, mended;
2. the rows of `leaf_table.TABLE` are tried from the top; the first row that has one of its phrases in the name gives the leaf;
3. a name that no row knows becomes `OTHER`.

Codes, pack sizes, colours and patterns play no part: they stand in no phrase. The same name has the same leaf in every process
and release of the table; a change of the table is a new version of the importer.
"""

from __future__ import annotations

from functools import cache

from streams.importers.leaf_table import TABLE
from streams.importers.phrases import Phrase, haystack, occurs, table_rows

OTHER = ("other gifts", "other gift")


@cache
def _rows() -> tuple[tuple[tuple[str, str], tuple[Phrase, ...]], ...]:
    rows = []
    for path, phrases in table_rows(TABLE):
        department, _, leaf = path.partition(" / ")
        rows.append(((department, leaf), phrases))
    return tuple(rows)


def leaf_path(name: str) -> tuple[str, str]:
    """The category path of a product name.

    Args:
        name: the product's name as the till prints it.

    Returns:
        Department and leaf.

    Example:
        >>> leaf_path("WHITE HANGING HEART T-LIGHT HOLDER")
        ('candles and lighting', 't-light holder')
        >>> leaf_path("SET OF 6 3D KIT CARDS FOR KIDS")
        ('stationery and craft', 'card and stamp kit')
    """
    text = haystack(name)
    for path, phrases in _rows():
        if any(occurs(phrase, text) for phrase in phrases):
            return path
    return OTHER
