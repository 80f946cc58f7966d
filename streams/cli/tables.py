"""What the commands print for people: tables and instants, safe whatever the words in them are.

Knows nothing about slates or profiles.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from rich.console import Console
from rich.table import Table
from rich.text import Text


def show_table(title: str, columns: tuple[str, ...], rows: Iterable[tuple[str, ...]], *, caption: str = "") -> None:
    """Prints a table with every cell as plain text."""
    table = Table(title=Text(plain(title)), caption=Text(plain(caption)) if caption else None, title_justify="left")
    for column in columns:
        table.add_column(column)
    for row in rows:
        table.add_row(*(Text(plain(cell)) for cell in row))
    Console().print(table)


def plain(text: str) -> str:
    r"""`text` without what would move a terminal's cursor, colour it or turn its writing direction.

    >>> plain("a [red]lamp\x1b[31m")
    'a [red]lamp�[31m'
    """
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


def moment(at_ms: int) -> str:
    """An instant in UTC, to the second.

    >>> moment(1_291_191_960_000)
    '2010-12-01 08:26:00'
    """
    try:
        return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
    except (OverflowError, ValueError):  # beyond the year 9999
        return f"{at_ms} ms"
