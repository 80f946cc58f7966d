"""The page that `seren demo` leaves behind: one HTML file that shows a run, and users from their events to their blended page."""

from __future__ import annotations

from streams.page.render import render
from streams.page.report import ItemCard, PageReport, PlacedCard, RunSummary, SlateStamp, TimelineEvent, UserPage

__all__ = ["ItemCard", "PageReport", "PlacedCard", "RunSummary", "SlateStamp", "TimelineEvent", "UserPage", "render"]
