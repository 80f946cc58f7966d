"""Every number that shapes a cognition profile, named, with its unit and reason.

What the papers leave open (papers.md 1.9) is decided here. The byte budgets add up to less than `PROFILE_BYTES`, so a
profile is bounded by construction and never has to be cut when it is written.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from models.entities import EventType
from models.errors import ConfigError

DAY_MS: Final = 86_400_000
PROFILE_BYTES = 4096
LAST_DAY: Final = 0xFFFF  # days are written in two bytes: the year 2149
MAX_VISIT_DAYS = 14  # a written day is one of 15 places: the window and today

# What a written profile spends on one tag and on one line of history beside the text itself.
BELIEF_OVERHEAD_BYTES = 52  # weight 9, positives 5, five counters and days 3 each, two offsets 9 each, headers 5
DEED_OVERHEAD_BYTES = 23  # offset 9, time 9, type 1, headers 4

MIN_INFERENCE_BYTES = 128  # a question that waits takes up to 64, one tag as many

# Most bytes of all that no policy bounds: headers, counters, timestamps (9 bytes each), the trigger's state.
_FIXED_BYTES = 148


def day_of(ts_ms: int) -> int:
    """The day of an event time, counted from 1970; at least 1, because 0 stands for never, and at most `LAST_DAY`.

    Example:
        >>> day_of(0), day_of(86_400_000 * 20_000 + 5), day_of(2**53 - 1)
        (1, 20000, 65535)
    """
    day = ts_ms // DAY_MS
    if 1 <= day <= LAST_DAY:  # nearly always; min and max would take half of the time of this function
        return day
    return 1 if day < 1 else LAST_DAY


def _weights() -> dict[EventType, float]:
    return {
        "purchase": 1.0,
        "cart": 0.6,
        "favourite": 0.6,
        "search": 0.5,
        "click": 0.3,
        "cancel": -1.0,
        "hide": -1.0,
    }


@dataclass(frozen=True, kw_only=True)
class WindowPolicy:
    """The visit-day window of Definition 1 (papers.md 1.2)."""

    visit_days: int = 10  # the paper's N; days on which the user visited, not calendar days
    min_visit_days: int = 3  # below, "unseen" says little and the label is unknown (papers.md suggests 3)
    impressions: bool = False  # True: only `expose` counts as seen; False: what was clicked or bought was seen
    max_categories: int = 80  # 5 bytes each; past it those seen longest ago go first, and the window is that much shorter
    max_brands: int = 24
    max_sellers: int = 24

    def __post_init__(self) -> None:
        """Refuses a window that a profile cannot write down."""
        if not 1 <= self.visit_days <= MAX_VISIT_DAYS:
            message = f"visit_days = {self.visit_days} is not within 1 <= visit_days <= {MAX_VISIT_DAYS}"
            raise ConfigError(message)

    @property
    def written_bytes(self) -> int:
        """Upper bound of the window's part of a written profile: 3 bytes a visit day, 5 a name."""
        return 3 * (self.visit_days + 1) + 5 * (self.max_categories + self.max_brands + self.max_sellers)


@dataclass(frozen=True, kw_only=True)
class ShortTermPolicy:
    """Tags with half-life decay, approval and rank (papers.md 1.3.1)."""

    half_life_days: float = 14.0  # the paper's short-term window is 2-4 weeks: half of a tag's weight is gone after two
    event_weight: dict[EventType, float] = field(default_factory=_weights)
    top: int = 20  # tags that form the level; the paper leaves K open
    family_cap: int = 8  # of them per family, so that no family crowds out the others
    min_posterior: float = 0.04  # share of the decayed behaviour that carries the tag: approves a tag by behaviour
    min_prior: float = 0.5  # decayed credibility: approves a tag by the pool for about one half-life after the last approval
    posterior_weight: float = 0.6
    prior_weight: float = 0.2
    count_weight: float = 0.2
    count_full: int = 8  # events after which more repetition adds no score
    pool_bytes: int = 1900  # about 30 tags
    max_tag_bytes: int = 48  # a longer tag is cut; one tag may not fill the pool

    @property
    def half_life_ms(self) -> int:
        """The half-life in whole milliseconds."""
        return int(self.half_life_days * DAY_MS)


@dataclass(frozen=True, kw_only=True)
class LongTermPolicy:
    """Admission to the long-term level over cycles (papers.md 1.3.2)."""

    cycle_days: float = 15.0  # the paper's profile refresh
    cycles: int = 6  # how many of the user's active cycles are looked at
    min_cycles: int = 3  # frequency: in the short-term level in at least 3 of 6
    max_gap_variation: float = 0.5  # regularity: deviation / mean of the gaps between them; of six cycles none is over 0.6
    min_effectiveness: float = 1.0  # matched behaviour since it was first approved, against the mean of the approved tags
    top: int = 10

    @property
    def cycle_ms(self) -> float:
        """The length of a cycle in milliseconds."""
        return self.cycle_days * DAY_MS


@dataclass(frozen=True, kw_only=True)
class HistoryPolicy:
    """The recent history, kept beside the levels because short-term tags lag."""

    top: int = 24
    bytes: int = 700
    max_query_bytes: int = 64


@dataclass(frozen=True, kw_only=True)
class PossessionPolicy:
    """What the user owns, has in the cart, or rejected: 6 bytes an item, the oldest go first."""

    max_owned: int = 40
    max_in_cart: int = 8
    max_rejected: int = 16
    reject_days: float = 90.0  # a cancelled or hidden item stays away for a season

    @property
    def written_bytes(self) -> int:
        """Upper bound of the possessions' part of a written profile."""
        return 6 * (self.max_owned + self.max_in_cart + self.max_rejected)


@dataclass(frozen=True, kw_only=True)
class InferencePolicy:
    """What a language model is asked about a user, when, and how its tags live in the profile (papers.md 1.3)."""

    enabled: bool = False  # off: nothing is asked, and no profile holds a byte for it
    first_positives: int = 3  # behaviours that somebody must have before anything is inferred of them
    drift_ratio: float = 0.5  # share of the decayed behaviour that is newer than the last question: the profile moved enough
    cool_down_days: float = 3.0  # between two questions about one user: a model's answer costs more than a slate
    refresh_days: float = 15.0  # ask again after this where anything is new (the paper's refresh)
    window_days: float = 28.0  # what is shown to the model (the paper: 2 to 4 weeks)
    max_shown: int = 32  # items and queries that are shown; the history holds fewer
    # Of a written profile, taken from the tag pool's budget of users who have such tags: the others pay nothing.
    bytes: int = 640
    evidence_per_tag: int = 3  # the newest; 5 to 14 bytes each
    half_life_days: float = 14.0  # of a tag's score since its last approval: that of the rule-made tags
    min_score: float = 0.05  # of the decayed score; below it a tag says nothing any more
    ttl_days: float = 60.0  # a tag that was in no answer for this long goes: four refreshes
    top: int = 8  # tags that join the short-term level, and traits that join the long-term level
    family_cap: int = 4  # of them per family

    @property
    def half_life_ms(self) -> int:
        """The half-life in whole milliseconds."""
        return int(self.half_life_days * DAY_MS)


@dataclass(frozen=True, kw_only=True)
class ProfilePolicy:
    """All of the above, for the one function that folds an event through every level."""

    window: WindowPolicy = field(default_factory=WindowPolicy)
    short_term: ShortTermPolicy = field(default_factory=ShortTermPolicy)
    long_term: LongTermPolicy = field(default_factory=LongTermPolicy)
    history: HistoryPolicy = field(default_factory=HistoryPolicy)
    possessions: PossessionPolicy = field(default_factory=PossessionPolicy)
    inference: InferencePolicy = field(default_factory=InferencePolicy)
    attribute_bytes: int = 192
    recent_event_ids: int = 16  # 4 bytes each: a producer's retry of one of the user's last events is not applied twice

    def __post_init__(self) -> None:
        """Refuses budgets that together could break `PROFILE_BYTES`."""
        if self.written_bytes > PROFILE_BYTES:
            message = f"the budgets of a profile add up to {self.written_bytes} bytes; the bound is {PROFILE_BYTES}"
            raise ConfigError(message)
        if self.inference.enabled and not MIN_INFERENCE_BYTES <= self.inference.bytes <= self.short_term.pool_bytes // 2:
            message = (
                f"inference.bytes = {self.inference.bytes} is not within {MIN_INFERENCE_BYTES} and half of "
                f"short_term.pool_bytes = {self.short_term.pool_bytes}"
            )
            raise ConfigError(message)

    @property
    def written_bytes(self) -> int:
        """Upper bound of a written profile, whatever the events were."""
        return (
            _FIXED_BYTES
            + self.attribute_bytes
            + self.short_term.pool_bytes
            + self.history.bytes
            + self.window.written_bytes
            + self.possessions.written_bytes
            + 4 * self.recent_event_ids
        )
