"""The records of alignment: a sample of what came to be wanted, and a pair of titles of which one is better.

Knows nothing about where they are kept.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from msgspec import Struct

from models.entities import Digest

Source = Literal["accuracy", "serendipity"]
Split = Literal["sft", "ipo", "validation", "test"]
JudgedBy = Literal["judge", "person", "teacher", "none"]


class AlignmentSample(Struct, frozen=True, kw_only=True):
    """One item that became serendipitous by Definition 1, with the profile from before its visit day.

    `source` is the recommender that showed it: the accuracy-oriented one, or the serendipity channel. `verdict` is the
    judge's, `person_label` a person's, each None where nobody was asked; `classifier_score` in [0, 1] is None before
    denoising.
    """

    event_id: str
    user_id: str
    ts_ms: int
    item_id: str
    title: str
    category: str
    digest: Digest
    source: Source
    visit_days: int
    verdict: bool | None = None
    verdict_reason: str = ""
    person_label: bool | None = None
    classifier_score: float | None = None
    split: Split


class PreferencePair(Struct, frozen=True, kw_only=True):
    """Two titles for one prompt, the better one first. Scores in 1..6; None where nobody scored (`judged_by` "none")."""

    user_id: str
    ts_ms: int
    digest: Digest
    chosen: str
    rejected: str
    chosen_score: float | None
    rejected_score: float | None
    judged_by: JudgedBy


class Candidate(NamedTuple):
    """A title for a prompt, with its score in 1..6 and its leaf category (None: nothing of the kind is sold)."""

    title: str
    score: int
    leaf: str | None
