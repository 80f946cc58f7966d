"""The short-term level: tags with half-life decay, approved by the user's tag pool and by behaviour, scored and ranked.

Source: papers.md 1.3.1; formulas and thresholds are ours (`ShortTermPolicy`). Two moments matter: `learn` folds one event
into the pool of candidate tags; `rank` says which of them are credible now, best first.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final, NamedTuple, cast

from models import decay
from models.entities import TagFamily
from models.profiles.belief import Belief
from models.profiles.policy import DAY_MS, ShortTermPolicy, day_of
from models.profiles.state import Profile, belief_bytes

_COUNT_MAX: Final = 0xFFFF
_KEEP_RATIO: Final = 0.75  # a full pool is pruned to this share of its bytes, so that pruning is rare


class Ranked(NamedTuple):
    """A credible tag with what its score was made of."""

    tag: str
    family: TagFamily
    score: float
    posterior: float
    prior: float
    evidence: tuple[int, ...]


_Fields = tuple[str, TagFamily, float, float, float, tuple[int, ...]]
_ranked: Callable[[_Fields], Ranked] = partial(tuple.__new__, Ranked)  # half the time of Ranked(...)


def learn(profile: Profile, tags: tuple[str, ...], weight: float, ts_ms: int, offset: int, policy: ShortTermPolicy) -> None:
    """Folds one event's tags into the pool.

    A negative weight takes weight away from its own tags; it adds no tag, and no other tag gains by it: `mass` sums what was
    given, never what was taken.
    """
    half_life_ms = policy.half_life_ms
    if (ts_ms - profile.landmark_ms) / half_life_ms > decay.MAX_EXPONENT:
        _move_landmark(profile, ts_ms, half_life_ms)
    gain = weight * decay.gain(ts_ms, landmark_ms=profile.landmark_ms, half_life_ms=half_life_ms)
    pool = profile.pool
    if gain <= 0.0:
        for tag in tags:
            if tag in pool:
                pool[tag].weight = max(0.0, pool[tag].weight + gain)
        return
    profile.mass += gain
    day = day_of(ts_ms)
    for tag in tags:
        belief = pool.get(tag)
        if belief is None:
            pool[tag] = Belief(gain, 1, day, offset)
            profile.pool_bytes += belief_bytes(tag)
            continue
        belief.weight += gain
        if belief.count < _COUNT_MAX:
            belief.count += 1
        belief.last_day = max(belief.last_day, day)
        belief.back = offset - belief.newest
        belief.newest = offset
    if profile.pool_bytes + profile.inferred_bytes > policy.pool_bytes:
        prune(profile, policy)


def rank(profile: Profile, as_of_ms: int, policy: ShortTermPolicy) -> list[Ranked]:
    """The credible tags at `as_of_ms`, best first, at most `top` in all and `family_cap` of a family. Changes nothing."""
    priors: dict[int, float] = {0: 0.0}
    approved: list[tuple[float, str, float, float]] = []
    mass, full = profile.mass, policy.count_full
    least, least_prior = policy.min_posterior, policy.min_prior
    for tag, belief in profile.pool.items():
        weight, day = belief.weight, belief.approved_day
        if weight <= 0.0:
            continue
        posterior = weight / mass if mass > 0.0 else 0.0
        if day not in priors:
            priors[day] = _prior(day, as_of_ms, policy)
        prior = priors[day]
        if posterior >= least or prior >= least_prior:
            repetition = 1.0 if belief.count >= full else belief.count / full
            score = policy.posterior_weight * posterior + policy.prior_weight * prior + policy.count_weight * repetition
            approved.append((-score, tag, posterior, prior))
    approved.sort()
    taken: list[Ranked] = []
    per_family: dict[str, int] = {}
    for negative, tag, posterior, prior in approved:
        family = tag[: tag.index(":")]
        count = per_family.get(family, 0)
        if count < policy.family_cap:
            per_family[family] = count + 1
            evidence = profile.pool[tag].evidence
            taken.append(_ranked((tag, cast("TagFamily", family), -negative, posterior, prior, evidence)))
            if len(taken) == policy.top:
                break
    return taken


def approve(profile: Profile, ranked: list[Ranked], as_of_ms: int, policy: ShortTermPolicy) -> None:
    """Makes the tags that behaviour approved credible in the pool from now on (the prior of later approvals)."""
    day = day_of(as_of_ms)
    for entry in ranked:
        if entry.posterior < policy.min_posterior:
            continue
        belief = profile.pool[entry.tag]
        if not belief.approved_day:
            belief.issued_count = belief.count
            belief.issued_positives = profile.positives
        belief.approved_day = max(belief.approved_day, day)


def _prior(approved_day: int, as_of_ms: int, policy: ShortTermPolicy) -> float:
    """The credibility that is left of an approval on that day."""
    age_days = max(0.0, as_of_ms / DAY_MS - approved_day)
    return float(2.0 ** (-min(age_days / policy.half_life_days, 64.0)))


def _move_landmark(profile: Profile, ts_ms: int, half_life_ms: int) -> None:
    """Rescales the pool before a gain would grow too large for a double; for most users this happens once."""
    scale = decay.at(1.0, ts_ms, landmark_ms=profile.landmark_ms, half_life_ms=half_life_ms) if profile.pool else 0.0
    profile.landmark_ms = ts_ms
    profile.mass *= scale
    profile.asked_mass *= scale
    if profile.inference is not None:
        profile.inference.asked_mass *= scale
    for belief in profile.pool.values():
        belief.weight *= scale


def prune(profile: Profile, policy: ShortTermPolicy) -> None:
    """Lets the weakest tags go; those that long-term admission counts on (in two cycles or more) stay the longest.

    A quarter of the tags goes, so looking for the weakest one again and again is less work than sorting all (compiled).
    """
    pool, enough = profile.pool, (policy.pool_bytes - profile.inferred_bytes) * _KEEP_RATIO
    tags, beliefs = list(pool), list(pool.values())
    while tags and profile.pool_bytes > enough:
        place = _weakest(tags, beliefs)
        tag = tags[place]
        del pool[tag]
        profile.pool_bytes -= belief_bytes(tag)
        tags[place], beliefs[place] = tags[-1], beliefs[-1]
        tags.pop()
        beliefs.pop()


def _weakest(tags: list[str], beliefs: list[Belief]) -> int:
    """Where the tag lies that goes first; of those that weigh the same the first in the alphabet."""
    found, weight, lasting = 0, beliefs[0].weight, _lasts(beliefs[0])
    for place in range(1, len(beliefs)):
        belief = beliefs[place]
        if belief.weight > weight and not lasting:
            continue
        lasts = _lasts(belief)
        if lasts == lasting:
            if belief.weight > weight or (belief.weight == weight and tags[place] > tags[found]):
                continue
        elif lasts:
            continue
        found, weight, lasting = place, belief.weight, lasts
    return found


def _lasts(belief: Belief) -> bool:
    return bool(belief.cycles & (belief.cycles - 1))
