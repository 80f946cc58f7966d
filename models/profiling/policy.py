"""Every number of the profiling stage, named, with its unit and reason.

What the papers leave open (papers.md 1.9) is decided here. Imports nothing that is heavy: the configuration is made of these.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class QuestionPolicy:
    """How much is asked for, and how much is shown."""

    max_tags: int = 12
    max_title_chars: int = 96  # of a piece; catalogue titles have 35 at most, a query may be pasted
    # Characters of the compressed window: 2,048 tokens of four each. The least valuable pieces go first.
    window_chars: int = 8_192


def _families() -> dict[str, float]:
    return {"category": 1.0, "brand": 1.0, "attribute": 0.9, "interest": 0.8, "scenario": 0.8}


@dataclass(frozen=True, kw_only=True)
class ApprovalPolicy:
    """Every threshold of an approval."""

    max_tag_chars: int = 32  # the paper's 16 characters are Chinese ones, which say about twice as much
    min_posterior: float = 0.04  # that of the rule-made tags
    min_prior: float = 0.5  # likewise: credible for about one half-life after the last approval
    posterior_weight: float = 0.6  # the weights of the rule-made tags, so that scores can be compared...
    prior_weight: float = 0.2
    evidence_weight: float = 0.15  # ...with a little of repetition's for the family
    family_weight: float = 0.05
    evidence_full: int = 3  # pieces of evidence after which more adds no score
    # What a family is worth before anything is known: the further a tag lies from what can be seen, the more was guessed.
    family_prior: dict[str, float] = field(default_factory=_families)
    family_cap: int = 4
    top: int = 12
    # Words of traits that nobody asked to be inferred about them (papers.md part 4, 17); a tag with one is refused.
    forbidden: str = (
        "pregnant pregnancy disease illness cancer diabetes depression disability medication "
        "religion religious muslim jewish catholic gay lesbian transgender sexuality "
        "politics political ethnicity immigrant debt bankrupt"
    )


@dataclass(frozen=True, kw_only=True)
class RelevancePolicy:
    """When words or vectors count as relevant."""

    min_coverage: float = 0.6  # share of the words that must be common: "home baking" is about what is tagged "baking"
    # Cosine of the tower below which a tag is not about an item: vectors of one department are alike to begin with.
    min_cosine: float = 0.6


@dataclass(frozen=True, kw_only=True)
class LocalPolicy:
    """How the small model's titles become tags."""

    titles: int = 30  # imagined for a question, as for a slate
    min_votes: int = 2  # titles that must name a tag: one alone is chance
    max_evidence: int = 4  # the heaviest pieces
    max_per_family: int = 4


@dataclass(frozen=True, kw_only=True)
class StagePolicy:
    """How questions are asked and answers approved."""

    question: QuestionPolicy = field(default_factory=QuestionPolicy)
    approval: ApprovalPolicy = field(default_factory=ApprovalPolicy)
    relevance: RelevancePolicy = field(default_factory=RelevancePolicy)
    attempts: int = 2  # tries of a question whose answer is none, each with another seed
    summary_every: int = 2  # answers between two long-term summaries (papers.md suggests 2 short-term cycles)
    min_admitted: int = 2  # tags that must have been admitted: of one alone nothing can be summarised
    matched_relevance: float = 0.6  # of a later behaviour to a tag, above which the two go together
