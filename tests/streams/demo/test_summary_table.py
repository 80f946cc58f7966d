"""The end of a run in the terminal: every number is there, nothing is cut off, and titles are plain text."""

from __future__ import annotations

import io

import msgspec
import pytest
from rich.console import Console

from streams.demo.summary import SummaryRow, print_summary
from streams.page import RunSummary

RUN = RunSummary(
    log_name="Online Retail",
    first_ts_ms=0,
    last_ts_ms=1,
    impressions=False,
    notes=("This log has no impressions.",),
    events=423_176,
    users=4_362,
    triggers={"drift": 213, "visit": 16_530, "search": 0},
    slates=4_361,
    items_per_slate=49.64,
    labels=58_036,
    serendipity_related_strict=1,
    serendipity_related_loose=2,
    unknown_items=0,
    dead_letters=7,
    seconds=39.735,
    events_per_second=10_650.4,
    event_to_slate_s_median=0.412,
    event_to_slate_s_p99=1.93,
    redis_bytes=31_400_000,
    slate_bytes_median=1_480.0,
    model_id="m1",
    workers=1,
    partitions=4,
    python="3.11.2",
    versions={},
    html_path="seren-demo.html",
)
ROW = SummaryRow(
    user_id="17841",
    reason="visit",
    trait="baking",
    imagined="red tin",
    item_title="cake tin",
    serendipity=0.643,
    took_ms=412.4,
)


def printed(*rows: SummaryRow, width: int = 100, run: RunSummary = RUN) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=False, color_system=None)
    print_summary(console, run, rows)
    file = console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue()


def test_summary_names_every_total() -> None:
    text = printed(ROW)
    for part in (
        "423,176 events in, 4,361 slates",
        "16,530 visit, 213 drift",
        "49.6 items each",
        "58,036",
        "10,650 events/s",
        "412 ms, 99 % 1.9 s",
        "31.4 MB, slate 1,480 B",
        "dead letters    7",
        "This log has no impressions.",
        "seren-demo.html",
    ):
        assert part in text


def test_summary_of_a_user_is_one_line_from_trigger_to_duration() -> None:
    line = next(line for line in printed(ROW).splitlines() if "17841" in line)
    assert line.split() == ["17841", "visit", "baking", "red", "tin", "cake", "tin", "0.643", "━━━", "412"]


def test_summary_says_nothing_where_nothing_was_found() -> None:
    line = next(line for line in printed(SummaryRow(user_id="u1", reason="search")).splitlines() if "u1" in line)
    assert line.split() == ["u1", "search", "nothing"]


@pytest.mark.parametrize("width", [80, 100, 140])
def test_summary_stays_within_the_width_and_keeps_every_word_of_a_title(width: int) -> None:
    title = "assorted colour bird ornament with bells"
    text = printed(msgspec.structs.replace(ROW, item_title=title), width=width)
    assert all(len(line) <= width for line in text.splitlines())
    assert all(word in text for word in title.split())


def test_summary_writes_brackets_as_they_are_and_no_control_characters() -> None:
    hostile = msgspec.structs.replace(ROW, item_title="[red]tin[/red]", imagined="a\x1b[2Jb\r\nc", trait="[/]")
    text = printed(hostile)
    assert "[red]tin[/red]" in text
    assert "[/]" in text
    assert "\x1b" not in text
    assert "\r" not in text


def test_summary_without_measurements_or_users_is_printed() -> None:
    bare = msgspec.structs.replace(
        RUN, event_to_slate_s_median=None, event_to_slate_s_p99=None, redis_bytes=None, html_path=None
    )
    text = printed(run=bare)
    assert "event to slate  -, 99 % -" in text
    assert "imagined" not in text


def test_summary_path_is_never_broken_over_two_lines() -> None:
    path = "/a" * 120 + ".html"
    assert path in printed(ROW, run=msgspec.structs.replace(RUN, html_path=path))
