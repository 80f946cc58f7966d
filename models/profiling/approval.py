"""Which of a model's tags are believed: evidence that exists, the user's own pool (prior), what they touched (posterior).

Source: papers.md 1.3.1, where the checks are named and every number is open; ours are `ApprovalPolicy`:

    prior      = max over the pool's credible tags of  likeness(tag, pool tag) x credibility, which halves every 14 days
    posterior  = the share of the decayed behaviour that the tag is relevant to
    credible   = prior >= min_prior  or  posterior >= min_posterior
    score      = weights . (posterior, prior, evidence, family), in [0, 1]

What is credible is ranked by score: at most `family_cap` of a family, `top` in all.

Knows nothing about models or prompts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from models.entities import TagFamily
from models.profiles import Profile, ProfilePolicy
from models.profiles.policy import DAY_MS
from models.profiling.answers import Candidate, is_na
from models.profiling.pieces import Piece
from models.profiling.policy import ApprovalPolicy
from models.profiling.relevance import Relevance
from models.retrieval.text import words


class Approved(NamedTuple):
    """One tag that is believed; `evidence` are places of pieces, from 0."""

    family: TagFamily
    text: str
    score: float
    evidence: tuple[int, ...]
    reason: str


class Approval(NamedTuple):
    """What was approved, best first, and how many were not, by reason."""

    tags: tuple[Approved, ...]
    refused: Counter[str]


def approve(
    candidates: Iterable[Candidate],
    pieces: Sequence[Piece],
    pool: Mapping[str, float],
    policy: ApprovalPolicy,
    relevance: Relevance,
) -> Approval:
    """Holds candidates against evidence, pool and behaviour.

    Reasons of refusal: `na`, `long`, `forbidden`, `duplicate`, `no_evidence` (it cites none), `unknown_evidence` (it cites a
    piece that does not exist), `irrelevant` (neither prior nor posterior), `family_cap`, `top`.

    Args:
        candidates: as parsed.
        pieces: what the model was shown, in order; number n is `pieces[n - 1]`.
        pool: credibility in [0, 1] by `family:text`.
        policy: thresholds.
        relevance: of tags to pieces and to each other.
    """
    refused: Counter[str] = Counter()
    scored: list[Approved] = []
    known: set[frozenset[str]] = set()
    for candidate in candidates:
        fault = _fault(candidate, len(pieces), known, policy)
        if fault:
            refused[fault] += 1
            continue
        known.add(frozenset(words(candidate.text)))
        score = _score(candidate, pieces, pool, policy, relevance)
        if score is None:
            refused["irrelevant"] += 1
        else:
            places = tuple(sorted(number - 1 for number in candidate.evidence))
            scored.append(Approved(candidate.family, candidate.text, score, places, candidate.reason))
    return _ranked(scored, policy, refused)


def pool_of(profile: Profile, as_of_ms: int, policy: ProfilePolicy) -> dict[str, float]:
    """The user's credible tags, rule-made and inferred, each with what is left of its credibility."""
    found: dict[str, float] = {}
    for name, belief in profile.pool.items():
        if belief.approved_day:
            found[name] = _halved(as_of_ms, belief.approved_day, policy.short_term.half_life_days)
    if profile.inference is not None:
        for name, tag in profile.inference.short_term.items():
            left = _halved(as_of_ms, tag.day, policy.inference.half_life_days)
            found[name] = max(found.get(name, 0.0), left)
    return found


def _halved(as_of_ms: int, day: int, half_life_days: float) -> float:
    return float(2.0 ** -min(64.0, max(0.0, as_of_ms / DAY_MS - day) / half_life_days))


def _fault(candidate: Candidate, count: int, known: set[frozenset[str]], policy: ApprovalPolicy) -> str:
    of_tag = words(candidate.text)
    if is_na(candidate.text) or not of_tag:
        return "na"
    if len(candidate.text) > policy.max_tag_chars:
        return "long"
    if not _forbidden(policy.forbidden).isdisjoint(of_tag):
        return "forbidden"
    if not candidate.evidence:
        return "no_evidence"
    if any(not 1 <= number <= count for number in candidate.evidence):
        return "unknown_evidence"
    return "duplicate" if frozenset(of_tag) in known else ""


@lru_cache(maxsize=8)
def _forbidden(text: str) -> frozenset[str]:
    return frozenset(words(text))


def _score(
    candidate: Candidate, pieces: Sequence[Piece], pool: Mapping[str, float], policy: ApprovalPolicy, relevance: Relevance
) -> float | None:
    """None for a tag that neither the pool nor behaviour speaks for."""
    posterior = min(1.0, sum(piece.weight * relevance.of(candidate.text, piece) for piece in pieces))
    prior = max((left * relevance.between(candidate.text, name.partition(":")[2]) for name, left in pool.items()), default=0.0)
    if posterior < policy.min_posterior and prior < policy.min_prior:
        return None
    evidence = min(1.0, len(set(candidate.evidence)) / policy.evidence_full)
    score = (
        policy.posterior_weight * posterior
        + policy.prior_weight * prior
        + policy.evidence_weight * evidence
        + policy.family_weight * policy.family_prior.get(candidate.family, 0.0)
    )
    return min(1.0, score)


def _ranked(scored: list[Approved], policy: ApprovalPolicy, refused: Counter[str]) -> Approval:
    taken: list[Approved] = []
    per_family: Counter[str] = Counter()
    for tag in sorted(scored, key=lambda tag: (-tag.score, tag.family, tag.text)):
        if per_family[tag.family] == policy.family_cap:
            refused["family_cap"] += 1
        elif len(taken) == policy.top:
            refused["top"] += 1
        else:
            per_family[tag.family] += 1
            taken.append(tag)
    return Approval(tuple(taken), refused)
