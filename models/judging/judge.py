"""One judgement: what the history says for and against an item, how far it is from what it holds, and why.

Knows nothing about models; SerenGPT's word, where it has one, comes in as an `Opinion`.

Relevance is an average of how much alike things were liked, weighed by how alike they are and by their age, between two
anchors: the prior, which stands in for what is not known, and a slowly growing doubt when much is known and nothing is alike.
Things whose words mean much the same say a little, however different the words: the nearest few, as one piece of evidence
together, so that a long history of vaguely related things proves nothing. How much better or worse alike things were liked
than the rest counts once more: averages over many ratings lie close together.
Unexpectedness is how rare the item's category labels are in the history (new ones count 1: Definition 1, papers.md 1.2), and
how far its words are from the nearest thing in it, drawn towards the known; less for the next thing of a series.
What the person has had already is held against the rest of the history, and its score is below that of anything else: it is
no discovery.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from models.combine import Parts, combine
from models.judging.bags import Bag, Rarity, bag, cosine, labels_of, shared, telling_labels
from models.judging.pairs import Judgement, Offer
from models.judging.policy import JudgePolicy
from models.judging.portrait import Opinion, Portrait, Related, Trait
from models.judging.reasons import Evidence, reason
from models.serengpt.tokens import clean

DIGITS = 6
_RELATED = 0.4  # nearness in meaning that a reason names: three of four drawn pairs of groceries are below
_TELLING = 0.01  # what a reason names says at least this much: a tenth of the likeness, squared


def judge(offer: Offer, portrait: Portrait, opinion: Opinion | None, policy: JudgePolicy) -> Judgement:
    """How serendipitous an item would be to a person.

    Args:
        offer: the item.
        portrait: the person.
        opinion: SerenGPT's; None where it was not asked.
        policy: weights and anchors.

    Example:
        >>> from models.judging.pairs import Past, Person
        >>> baker = Portrait(Person(history=(Past(title="Rye bread flour", category="baking"),)), JudgePolicy().portrait)
        >>> same, new = (Offer(title="Rye bread", category=name) for name in ("baking", "books"))
        >>> judge(same, baker, None, JudgePolicy()).serendipity < judge(new, baker, None, JudgePolicy()).serendipity
        True
    """
    title, labels = clean(offer.title), labels_of(offer.category)
    features = portrait.rarity.weigh(bag(title, labels))
    alike = [_alike(trait, features, labels, portrait.label_rarity, policy) for trait in portrait.traits]
    related = portrait.related(title, labels, count=policy.related_count)
    relevance = _relevance(portrait, alike, related, policy)
    if opinion is not None:
        share = policy.model_share * opinion.at_home
        relevance = (1.0 - share) * relevance + share * opinion.aligned
    telling = telling_labels(offer.category)
    kin = portrait.kin(title, labels)
    others = [trait for place, trait in enumerate(portrait.had) if place not in kin.same]
    new = _unexpectedness(others, features, telling, policy)
    new = None if new is None else new * (1.0 - policy.series_share * kin.series)
    score = combine(Parts(relevance=relevance, unexpectedness=new, novelty=0.0 if kin.same else None), policy.combine)
    if kin.same:
        score, new = policy.had_share * score, policy.had_share**policy.surprise * (new or 0.0)
    same = portrait.had[min(kin.same)] if kin.same else None
    return Judgement(
        serendipity=round(score, DIGITS),
        relevance=round(relevance, DIGITS),
        unexpectedness=None if new is None else round(new, DIGITS),
        reason=reason(_evidence(portrait, alike, related, telling, opinion)._replace(same=same)),
    )


def _alike(trait: Trait, features: Bag, labels: tuple[str, ...], rarity: Rarity, policy: JudgePolicy) -> float:
    """How much a trait says about the item, in [0, 1]: 1 for the same thing."""
    same_labels = policy.label_share * shared(trait.labels, labels, rarity)
    return float((1.0 - (1.0 - same_labels) * (1.0 - cosine(trait.features, features))) ** policy.nearness)


def _relevance(portrait: Portrait, alike: Sequence[float], related: Sequence[Related], policy: JudgePolicy) -> float:
    said = [trait.weight * near for trait, near in zip(portrait.traits, alike, strict=True)]
    liked = math.fsum(one * trait.like for trait, one in zip(portrait.traits, said, strict=True))
    better = math.fsum(
        one * (trait.like - portrait.usual_like)
        for trait, one in zip(portrait.traits, said, strict=True)
        if trait.kind == "had"
    )
    shares = [policy.related_share * one.nearness / policy.related_count for one in related]
    liked += math.fsum(share * one.trait.like for share, one in zip(shares, related, strict=True))
    count = policy.prior_count + math.fsum((*said, *shares)) + policy.doubt_count * math.log1p(len(portrait.had))
    return max(0.0, min(1.0, (policy.prior_count * policy.prior + liked + policy.contrast * better) / count))


def _unexpectedness(had: Sequence[Trait], features: Bag, labels: tuple[str, ...], policy: JudgePolicy) -> float | None:
    """None where there is no history, or nothing of the item that could be held against it."""
    parts = []
    sorted_out = [(set(trait.labels), trait.weight) for trait in had if trait.labels]
    if labels and sorted_out:
        parts.append((policy.category_share, _rareness(labels, sorted_out, policy.sighting)))
    named = [trait.features for trait in had if trait.features]
    if features and named:
        nearest = max(cosine(one, features) for one in named)
        parts.append((1.0 - policy.category_share, 1.0 - nearest**policy.nearness))
    total = math.fsum(weight for weight, _ in parts)
    return float((math.fsum(weight * value for weight, value in parts) / total) ** policy.surprise) if total else None


def _rareness(labels: tuple[str, ...], past: Sequence[tuple[set[str], float]], sighting: float) -> float:
    """How new labels are to a history: 0 when all of it has them, 1 when none has.

    The mean of three readings that are one for a single label: all labels, the rarest one, and all of them together.
    """
    whole = math.fsum(count for _, count in past)

    def rare(wanted: set[str]) -> float:
        found = math.fsum(count for has, count in past if wanted <= has)
        return 1.0 - math.log1p(sighting * found) / math.log1p(sighting * whole)

    single = [rare({label}) for label in labels]
    return (math.fsum(single) / len(single) + max(single) + rare(set(labels))) / 3.0


def _evidence(
    portrait: Portrait,
    alike: Sequence[float],
    related: Sequence[Related],
    labels: tuple[str, ...],
    opinion: Opinion | None,
) -> Evidence:
    best = worst = None
    strongest = weakest = 0.0
    for trait, near in zip(portrait.traits, alike, strict=True):
        if near * trait.weight * trait.like > strongest and trait.like > 0.5:
            best, strongest = trait, near * trait.weight * trait.like
        if near * trait.weight * (1.0 - trait.like) > weakest and trait.like < 0.5:
            worst, weakest = trait, near * trait.weight * (1.0 - trait.like)
    sorted_out = [trait.labels for trait in portrait.had if trait.labels]
    return Evidence(
        had=len(portrait.had),
        for_it=best if strongest >= _TELLING else None,
        against_it=worst if weakest >= _TELLING else None,
        about=next((one.trait for one in related if one.nearness >= _RELATED and one.trait.like > 0.5), None),
        labels=tuple((label, sum(label in has for has in sorted_out)) for label in labels),
        sorted_out=len(sorted_out),
        opinion=opinion,
    )
