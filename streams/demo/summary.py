"""What `seren demo` ends with in the terminal: the run in a few lines, and a few users with what surprised them.

Titles and tags come from outside: they are written as plain text, so that brackets in them are no markup, and control
characters move no cursor. Knows nothing about how the numbers came about.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct
from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from streams.page.report import RunSummary

SEREN = "bold magenta"
SOFT = "dim"
BAR_CELLS = 5  # width of a full serendipity score
WIDE_COLUMNS = 90  # below, two columns go so that titles need not be cut into pieces


class SummaryRow(Struct, frozen=True, kw_only=True):
    """One user in one line; None stays empty.

    `serendipity` is that of `item_title`, in [0, 1]; `took_ms` is from the event that asked to the slate in Redis.
    """

    user_id: str
    reason: str
    trait: str | None = None
    imagined: str | None = None
    item_title: str | None = None
    serendipity: float | None = None
    took_ms: float | None = None


def print_summary(console: Console, run: RunSummary, rows: Sequence[SummaryRow]) -> None:
    """Prints the end of a run.

    Args:
        console: where to; made for 80 columns and more.
        run: the totals.
        rows: users, in the order in which they shall stand; about eight fit a screen.
    """
    parts: list[RenderableType] = [_headline(run), Padding(_totals(run), (1, 0))]
    if rows:
        bar = "=" if console.options.ascii_only else "━"
        parts.append(Padding(_users(rows, is_wide=console.width >= WIDE_COLUMNS, bar=bar), (0, 0, 1, 0)))
    parts.extend(Text(_clean(note), style=SOFT) for note in run.notes)
    console.print(Padding(Group(*parts), (1, 2)))
    if run.html_path is not None:
        # Not wrapped: a path that is broken over two lines cannot be opened with a click.
        console.print(_pointer(run.html_path), soft_wrap=True)


def _headline(run: RunSummary) -> Text:
    text = Text()
    text.append("seren ", style=SEREN)
    text.append(f"{run.events:,} events in, {run.slates:,} slates of surprises out", style="bold")
    text.append(f"\n{_clean(run.log_name)}, in {duration(run.seconds)}", style=SOFT)
    return text


def _totals(run: RunSummary) -> Table:
    by_count = sorted(run.triggers.items(), key=lambda pair: (-pair[1], pair[0]))
    triggers = ", ".join(f"{count:,} {_clean(reason)}" for reason, count in by_count if count)
    left = [
        ("users", f"{run.users:,}"),
        ("asked after", triggers or "nothing"),
        ("slates", f"{run.items_per_slate:.1f} items each, by {_clean(run.model_id)}"),
        ("labels", f"{run.labels:,} things wanted of a new kind"),
    ]
    right = [
        ("speed", f"{run.events_per_second:,.0f} events/s"),
        ("event to slate", f"{duration(run.event_to_slate_s_median)}, 99 % {duration(run.event_to_slate_s_p99)}"),
        ("in Redis", f"{size(run.redis_bytes)}, slate {size(run.slate_bytes_median)}"),
        ("dead letters", f"{run.dead_letters:,}"),
    ]
    table = Table.grid(padding=(0, 2))
    for style in (SOFT, "", SOFT, ""):
        table.add_column(style=style, overflow="fold", no_wrap=style == SOFT)
    for (name, value), (other, also) in zip(left, right, strict=True):
        table.add_row(name, value, other, also)
    return table


def _users(rows: Sequence[SummaryRow], *, is_wide: bool, bar: str) -> Table:
    """The users, a line or two each; the trigger and the duration only where there is room for them."""
    table = Table(box=SIMPLE_HEAD, padding=(0, 2, 0, 0), show_edge=False, expand=True, header_style=SOFT, border_style=SOFT)
    table.add_column("user", no_wrap=True, overflow="ellipsis", max_width=12)
    if is_wide:
        table.add_column("after", no_wrap=True, style=SOFT)
    table.add_column("trait", ratio=3, min_width=8, overflow="fold")
    table.add_column("imagined", ratio=5, style="italic", overflow="fold")
    table.add_column("found for it", ratio=5, style="bold", overflow="fold")
    table.add_column("serendipity", no_wrap=True)
    if is_wide:
        table.add_column("ms", justify="right", no_wrap=True, style=SOFT)
    for row in rows:
        cells = [
            Text(_clean(row.user_id)),
            Text(_clean(row.reason)),
            Text(_clean(row.trait or "")),
            Text(_clean(row.imagined or "")),
            Text("nothing", style=f"not bold {SOFT}") if row.item_title is None else Text(_clean(row.item_title)),
            _score(row.serendipity, bar=bar),
            Text("" if row.took_ms is None else f"{row.took_ms:,.0f}"),
        ]
        table.add_row(*(cells if is_wide else [cells[0], *cells[2:6]]))
    return table


def _score(serendipity: float | None, *, bar: str) -> Text:
    if serendipity is None:
        return Text("")
    filled = round(min(max(serendipity, 0.0), 1.0) * BAR_CELLS)
    return Text.assemble((f"{serendipity:.3f} ", SEREN), (bar * filled, "magenta"))


def _pointer(path: str) -> Text:
    return Text.assemble("  Every step behind these lines, user by user:\n  ", (_clean(path), "bold underline"), "\n")


def duration(seconds: float | None) -> str:
    """A duration in the unit that suits it.

    >>> duration(0.0042), duration(0.41), duration(7.25), duration(39.735), duration(754), duration(None)
    ('4.2 ms', '410 ms', '7.2 s', '39.7 s', '12 min 34 s', '-')
    """
    if seconds is None:
        return "-"
    if seconds < 0.01:
        return f"{seconds * 1000:.1f} ms"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 120:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s"


def size(count: float | None) -> str:
    """A number of bytes in the unit that suits it.

    >>> size(757), size(31_400_000), size(None)
    ('757 B', '31.4 MB', '-')
    """
    if count is None:
        return "-"
    if count < 10_000:
        return f"{count:,.0f} B"
    return f"{count / 1e3:.1f} kB" if count < 1e6 else f"{count / 1e6:.1f} MB"


def _clean(text: str) -> str:
    """The text on one line, without characters that a terminal obeys."""
    return "".join(character if character.isprintable() else " " for character in text)
