"""What shapes a judgement: every weight, anchor and bound of the judge, in one place for the configuration.

Knows nothing about how they are used; the functions that do are named by the room's other files.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from models.combine import CombinePolicy


@dataclass(frozen=True, kw_only=True)
class TastePolicy:
    """How ratings and times are read."""

    # The top of the rating scale; 0: the least usual one (5, 10, 100) that holds the person's highest rating, or 1 where all
    # things are rated and none over 1. A person of many 1 of 5 looks like one who gives thumbs: who knows the scale should
    # say it.
    rating_max: float = 0.0
    usual_share: float = 0.6  # of the scale: what most people give on average (3.5 of 5, 6 of 10)
    usual_count: float = 20.0  # ratings that this counts as against the person's own average
    spread_share: float = 0.4  # of the scale: this far from the average is liked or disliked wholly
    chosen: float = 0.4  # like of what got the average rating: it was chosen, after all
    unrated: float = 0.8  # like of what was had and not rated
    # After which a past thing counts half as much as the newest: a year. At a season a history of years was hardly any.
    half_life_days: float = 365.0
    oldest_share: float = 0.5  # it never counts less: tastes last


@dataclass(frozen=True, kw_only=True)
class PortraitPolicy:
    """What each kind of evidence counts for."""

    history_count: int = 10_000  # past things, the newest; they are what memory and time of a judgement grow with; 200 MB, 1 s
    query_count: float = 1.0  # a search counts as a thing that was had
    fact_count: float = 0.5  # a fact about the person says less than what they did
    tastes: TastePolicy = field(default_factory=TastePolicy)


@dataclass(frozen=True, kw_only=True)
class HomePolicy:
    """When SerenGPT is at home. Figures are of the shipped model: its own shop's titles against groceries, films and books."""

    # Tokens a word of a title that it may know. Its own: median 1.0, 95 % under 1.5; others: medians 2.2 to 3.7.
    known_tokens: float = 1.8
    # Loss of a title in nats a token, before anything is known of the person. Its own: median 1.8, 95 % under 6.8; of others
    # 95 % are over 7.3. Not at home from the first on, wholly at home up to the second.
    foreign_loss: float = 7.0
    native_loss: float = 4.0
    history_count: int = 24  # things that it reads, the newest; as many as a digest has
    liked: float = 0.5  # what was liked less is no part of its prompt, which knows no ratings

    def __post_init__(self) -> None:
        if self.native_loss >= self.foreign_loss:
            message = f"native_loss: {self.native_loss}, must be below foreign_loss: {self.foreign_loss}"
            raise ValueError(message)


@dataclass(frozen=True, kw_only=True)
class JudgePolicy:
    """How a judgement is made of what is known."""

    # Relevance to someone of whom nothing is known: under one half, most things are not for most people. With the
    # doubt below, what is tied to nothing ends near one half of serendipity, however unexpected.
    prior: float = 0.25
    prior_count: float = 0.3  # alike things that the prior counts as: one thing exactly alike outweighs it
    doubt_count: float = 0.1  # times ln(1 + things) that are not alike count against: 0.2 at 10 things, 0.7 at 1,000
    # Times the difference between how alike things and all things were liked: 0 for histories without ratings. At 0, 300
    # simulated film ratings moved relevance half as much as their genres moved unexpectedness; at 1 about as much.
    contrast: float = 1.0
    label_share: float = 0.5  # likeness of two things with the same category and no word in common
    nearness: float = 1.5  # exponent of likeness: what is half as alike says a third as much
    # Exponent of unexpectedness: above 1 what is partly known is nearer to the wholly known, and more of the same ends
    # below one half of serendipity, however relevant.
    surprise: float = 1.5
    category_share: float = 0.75  # of unexpectedness, the rest is distance; as in a slate (0.6 to 0.2)
    # Strength of one sighting of a category label: the more, the deeper the step from none (unexpectedness 1) to one (of 10
    # things 0.33 at 100, 0.48 at 10, 0.71 at 1). Definition 1 knows only that step; shares of a long history count, too.
    # At 100 against 10: AUC against drawn things of seen and unseen categories .586 for .551 on Online Retail (validation
    # part, without SerenGPT), .729 for .534 on Complete Journey.
    sighting: float = 100.0
    # Of one thing exactly alike, what the nearest things in meaning say together. At 0.3 the same AUC rose on to .643 and .753
    # (0.15: .639 and .750; 0.6: .634 and .753); each thing on its own, without a count, drowned what shared words say.
    # Since likeness says more (`nearness`), 0.2 is as good.
    related_share: float = 0.2
    related_count: int = 3  # how many those are
    # Of unexpectedness, what the next thing of a series loses; half of it on another shelf. Who had the one expects the other.
    series_share: float = 0.6
    # Of the score of what the person has had already. At 0.1 it is below that of anything that they have not, which is 0.06 at
    # the least; and of two that they have had, one is still ahead of the other.
    had_share: float = 0.1
    model_share: float = 0.5  # of relevance at most, where SerenGPT is at home
    home: HomePolicy = field(default_factory=HomePolicy)
    portrait: PortraitPolicy = field(default_factory=PortraitPolicy)
    combine: CombinePolicy = field(default_factory=CombinePolicy)
