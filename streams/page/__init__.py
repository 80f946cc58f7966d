"""The page that `seren demo` leaves behind: a run, and users from events to blended page, in one HTML file."""

from __future__ import annotations

from streams.page.render import render
from streams.page.report import ItemCard, PageReport, PlacedCard, RunSummary, SlateStamp, TimelineEvent, UserPage

__all__ = ["ItemCard", "PageReport", "PlacedCard", "RunSummary", "SlateStamp", "TimelineEvent", "UserPage", "render"]
