"""Step 8, at the ranker: one page from the personalised items and the slate.

Serendipitous items are raised by a weight and merged into the page under a minimum and a maximum share, which hold not only
for the page but, rounded, for every top part of it: a user who looks at half the page meets about half of the surprises.

Knows nothing about Redis, clocks or how either list was made. Imports nothing beyond the standard library, so a ranker can.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

from models.reasons import REASONS

if TYPE_CHECKING:
    from models.entities import Channel

Rule = Literal["score", "tie", "minimum", "maximum", "fill", "explore"]

# What a person reads behind each rule.
RULES: dict[Rule, str] = {
    "score": "the highest score left",
    "tie": "equal scores, decided by the seed",
    "minimum": "serendipity had less than its minimum share up to here",
    "maximum": "a serendipitous item scored higher, but serendipity has its maximum share up to here",
    "fill": "no personalised item was left",
    "explore": "drawn from the whole slate, to learn about it",
}

# Slack for products such as 0.29 x 100 = 28.999999999999996, which means 29.
_SLACK = 1e-9


@dataclass(frozen=True)
class BlendPolicy:
    """How much serendipity a page takes.

    Shares are of the places that the page has to fill. Precedence, where not all can hold: no item twice and none that was
    exposed; the maximum share; the page's length; the minimum share; the same two shares of every top part; the scores. So
    serendipity never takes more than its `max_share` of the places, though personalised items run out and the page stays
    short; and it has less than `min_share` only when the slate has no more to offer, or both shares round to less.
    """

    # Places of the page; None: as many as the personalised items given.
    length: int | None = None
    # Times a serendipity in [0, 1]; the personalised scores are spread over [0, 1] as well. At 1 an item that is half as
    # serendipitous as can be stands beside the middle of the page's scores, at 2 beside the top.
    boost: float = 1.5
    # Shares of the page's places. At 20 places: 2 at least, 6 at most.
    min_share: float = 0.1
    max_share: float = 0.3
    # Probability that a serendipitous place is drawn evenly from all that is left of the slate, instead of taking the best:
    # the price of an unbiased look at the lower places. 0: never.
    explore_ratio: float = 0.0

    def __post_init__(self) -> None:
        if self.length is not None and self.length < 0:
            message = f"length = {self.length} is below 0"
            raise ValueError(message)
        if not (math.isfinite(self.boost) and self.boost >= 0):
            message = f"boost = {self.boost} is not a finite number of at least 0"
            raise ValueError(message)
        if not 0 <= self.min_share <= self.max_share <= 1:
            message = f"0 <= min_share = {self.min_share} <= max_share = {self.max_share} <= 1 does not hold"
            raise ValueError(message)
        if not 0 <= self.explore_ratio <= 1:
            message = f"explore_ratio = {self.explore_ratio} is not within 0 to 1"
            raise ValueError(message)


class PageItem(NamedTuple):
    """A personalised item, with the ranker's score on any scale."""

    item_id: str
    score: float


class SlateItem(Protocol):
    """What an item of the slate must have; `ScoredItem` and the ranker's `ReadItem` both do."""

    @property
    def item_id(self) -> str:
        """The item."""

    @property
    def serendipity(self) -> float:
        """In [0, 1]."""

    @property
    def propensity(self) -> float:
        """Probability of its place in the slate; 0 when it was not recorded."""

    @property
    def reason(self) -> int:
        """Index into `models.reasons.REASONS`."""


class Placed(NamedTuple):
    """One place of the blended page, counted from 0, and why this item has it.

    `score_before` is as it came in, `score_after` as the channels were compared. `propensity` is the probability of the item's
    place given the places above it (1 for a personalised item, 0 when the slate recorded none).
    """

    place: int
    item_id: str
    channel: Channel
    score_before: float
    score_after: float
    propensity: float
    reason: int | None
    rule: Rule
    why: str


class _Contender(NamedTuple):
    item_id: str
    before: float
    after: float
    propensity: float
    reason: int | None


def blend(
    page: Sequence[PageItem],
    slate_items: Sequence[SlateItem],
    *,
    policy: BlendPolicy,
    exposed: Collection[str],
    seed: int,
) -> list[Placed]:
    """The page with serendipity in it, best place first.

    Both lists keep their own order (without exploration); the scores decide only which list the next place is taken from. An
    item of both lists is personalised where the page would have shown it anyway, and serendipitous where it would not.

    Args:
        page: personalised items, best first; no more than the page's length are looked at.
        slate_items: the slate's items, best first; empty when there is no slate.
        policy: shares, weight and length.
        exposed: items that must not be shown, from either list.
        seed: decides ties and exploration; the same seed gives the same page.

    Returns:
        At most the policy's length of places. When the page has enough items to fill it alone, exactly that many.

    Raises:
        ValueError: a score is not finite.

    Example:
        >>> class Offer(NamedTuple):
        ...     item_id: str
        ...     serendipity: float
        ...     propensity: float = 1.0
        ...     reason: int = 1
        >>> page = [PageItem("a", 9.0), PageItem("b", 8.0), PageItem("c", 5.0), PageItem("d", 1.0)]
        >>> policy = BlendPolicy(boost=1.0, min_share=0.0, max_share=0.5)
        >>> placed = blend(page, [Offer("x", 0.7), Offer("b", 0.6)], policy=policy, exposed={"c"}, seed=1)
        >>> [(place.item_id, place.score_after, place.rule) for place in placed]
        [('a', 1.0, 'score'), ('b', 0.875, 'score'), ('x', 0.7, 'score'), ('d', 0.0, 'score')]
    """
    length = len(page) if policy.length is None else policy.length
    personalised = _personalised(page, length=length, exposed=exposed)
    shown = {contender.item_id for contender in personalised}
    serendipitous = _serendipitous(slate_items, boost=policy.boost, hidden=shown.union(exposed))
    quota = _Quota.of(policy, length=length)
    placed: list[Placed] = []
    taken = 0
    for place in range(length):
        decision = _decide(
            personalised[:1], serendipitous[:1], bounds=quota.at(place, taken), coin=_draw(seed, place, "tie") < 0.5
        )
        if decision is None:
            break
        channel, rule = decision
        if channel == "personalised":
            placed.append(_placed(place, personalised.pop(0), channel=channel, rule=rule))
            continue
        taken += 1
        at, rule, propensity = _pick(
            len(serendipitous), rule, explore_ratio=policy.explore_ratio, draw=_draw(seed, place, "pick")
        )
        chosen = serendipitous.pop(at)
        chosen = chosen._replace(propensity=chosen.propensity * propensity)
        placed.append(_placed(place, chosen, channel=channel, rule=rule))
    return placed


class _Bounds(NamedTuple):
    needed: bool  # a serendipitous item must take this place
    welcome: bool  # one may
    possible: bool  # one may if no personalised item is left


class _Quota(NamedTuple):
    """How many places serendipity has, at least and at most, in the whole page of `length` and in its top parts."""

    length: int
    min_share: float
    max_share: float
    least: int
    most: int

    @classmethod
    def of(cls, policy: BlendPolicy, *, length: int) -> _Quota:
        most = math.floor(policy.max_share * length + _SLACK)
        least = min(math.ceil(policy.min_share * length - _SLACK), most)
        return cls(length, policy.min_share, policy.max_share, least, most)

    def at(self, place: int, taken: int) -> _Bounds:
        """What may happen at `place` when serendipity has taken `taken` of the places above it."""
        top = place + 1
        least = max(math.floor(self.min_share * top + _SLACK), self.least - (self.length - top))
        most = math.ceil(self.max_share * top - _SLACK)
        possible = taken < self.most
        return _Bounds(possible and taken < least, possible and taken < most, possible)


def _decide(
    personalised: Sequence[_Contender], serendipitous: Sequence[_Contender], *, bounds: _Bounds, coin: bool
) -> tuple[Channel, Rule] | None:
    """Which list the place is taken from, each given by its best item, and by which rule; None: the page ends here."""
    if serendipitous and bounds.needed:
        return "serendipity", "minimum"
    if not personalised:
        return ("serendipity", "fill") if serendipitous and bounds.possible else None
    if not serendipitous:
        return "personalised", "score"
    lead = serendipitous[0].after - personalised[0].after
    if not bounds.welcome:
        return "personalised", "maximum" if lead > 0 else "score"
    if lead == 0:
        return ("serendipity" if coin else "personalised"), "tie"
    return ("serendipity" if lead > 0 else "personalised"), "score"


def _pick(count: int, rule: Rule, *, explore_ratio: float, draw: float) -> tuple[int, Rule, float]:
    """Which of `count` serendipitous items takes the place, by which rule, and with what probability it does."""
    even = explore_ratio / count
    at = int(draw / even) if draw < explore_ratio else 0
    at = min(at, count - 1)  # a draw just below the ratio may round up
    return at, ("explore" if at else rule), (even if at else 1 - explore_ratio + even)


def _personalised(page: Iterable[PageItem], *, length: int, exposed: Collection[str]) -> list[_Contender]:
    """The first `length` items that may be shown, their scores spread over [0, 1]; 0.5 each where all scores are equal."""
    scores: dict[str, float] = {}
    for item in page:
        if item.item_id not in exposed:
            scores.setdefault(item.item_id, _finite(item.item_id, item.score))
    first = list(scores.items())[:length]
    # Halves, because the difference of two finite numbers may not be finite.
    low = min((score / 2 for _, score in first), default=0.0)
    width = max((score / 2 for _, score in first), default=0.0) - low
    return [_Contender(item_id, score, (score / 2 - low) / width if width > 0 else 0.5, 1.0, None) for item_id, score in first]


def _serendipitous(slate_items: Iterable[SlateItem], *, boost: float, hidden: set[str]) -> list[_Contender]:
    contenders: dict[str, _Contender] = {}
    for item in slate_items:
        if item.item_id not in hidden and item.item_id not in contenders:
            before = _finite(item.item_id, item.serendipity)
            contenders[item.item_id] = _Contender(item.item_id, before, before * boost, item.propensity, item.reason)
    return list(contenders.values())


def _placed(place: int, contender: _Contender, *, channel: Channel, rule: Rule) -> Placed:
    item_id, before, after, propensity, reason = contender
    why = RULES[rule] if reason is None else f"{RULES[rule]}; {REASONS.get(reason, REASONS[0])}"
    return Placed(place, item_id, channel, before, after, propensity, reason, rule, why)


def _finite(item_id: str, score: float) -> float:
    if not math.isfinite(score):
        message = f"score = {score} of item {item_id!r} is not finite"
        raise ValueError(message)
    return score


def _draw(seed: int, place: int, purpose: str) -> float:
    """A number in [0, 1) that is the same in every process and release."""
    digest = hashlib.blake2b(f"{seed}/{place}/{purpose}".encode(), digest_size=7).digest()
    return (int.from_bytes(digest, "big") >> 3) / 2**53
