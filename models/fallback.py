"""The judging walk without SerenGPT: the tiers that answer while it is away or too slow.

Instead of imagined titles, the profile's own evidence is looked for: what the user lately wanted, what their tags say, and
the leaf categories next to theirs that they have not seen. From there the walk is SerenGPT's (`models.pipeline`): retrieve,
filter, shortlist, judge, select; the judge is a distilled scorer or the category rule.

Knows nothing about when a tier is used, nor about what went wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

from models import category_rule
from models.catalogue import Catalogue
from models.entities import Digest, Item, PackedRequest, Request, Seen, Tier, Trace, fingerprint
from models.errors import SerenError, UnsoundAnswer
from models.pipeline import Answer, ServePolicy, answered, shortlist_of
from models.retrieval import Retriever, distinct
from models.retrieval.retriever import UNWANTED

MODEL_ID = "category-rule"  # what slates of the category tier say made them
NO_MODEL_ID = "none"  # and those of the tier `nothing`, where the tiers below SerenGPT had no item


class Judge(NamedTuple):
    """Who says what a candidate is worth: `aligned` gives one number in [0, 1] for each item, for the user of a digest."""

    tier: Tier
    model_id: str
    aligned: Callable[[Digest, Sequence[Item]], list[float]]


@dataclass(frozen=True, kw_only=True)
class FallbackPolicy:
    """How much of each kind of evidence is looked for; together no more than the 30 titles that SerenGPT imagines."""

    history_count: int = 8  # the newest things wanted: their neighbours in the vector space are often in other categories
    tag_count: int = 8  # interests and attributes go across categories
    leaf_count: int = 14  # unseen leaves of the departments that the user likes best: what Definition 1 calls unexpected


class Departments:
    """The leaf categories by department, of a catalogue that may change.

    Args:
        catalogue: is looked at again when its version has moved on.
    """

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._version = -1
        self._by_leaf: dict[str, str] = {}

    def by_leaf(self) -> dict[str, str]:
        """The department of each leaf, in the order of the leaves' names."""
        version = self._catalogue.version
        if version != self._version:
            self._by_leaf = dict(sorted(category_rule.departments_of(self._catalogue).items()))
            self._version = version
        return self._by_leaf


def category_judge(departments: Departments) -> Judge:
    """The category rule, which always can."""

    def aligned(digest: Digest, items: Sequence[Item]) -> list[float]:
        return category_rule.aligned(digest, items, departments=departments.by_leaf())

    return Judge("category", MODEL_ID, aligned)


def nothing_for(request: PackedRequest) -> Answer:
    """The answer where no tier has an item for the user: so that readers can tell it from one that is still being made.

    Its trace has no digest: the profile may be what could not be read.
    """
    trace = Trace(
        user_id=request.user_id,
        surface=request.surface,
        reason=request.reason,
        as_of_ms=request.as_of_ms,
        offset=request.offset,
        digest=Digest(),
        imagined=(),
        candidates=(),
        filtered=(),
        kept=(),
        tier="nothing",
    )
    return Answer(items=(), trace=trace, tier="nothing", model_id=NO_MODEL_ID)


def serve_without_model(
    requests: Sequence[Request],
    *,
    judge: Judge,
    departments: Departments,
    retriever: Retriever,
    catalogue: Catalogue,
    policy: ServePolicy,
    fallback: FallbackPolicy,
) -> list[Answer | SerenError]:
    """The answer to each request, or what was wrong with it; a function of the request, the catalogue and the judge.

    Args:
        requests: any users.
        judge: says what each candidate is worth to the user; its tier is the answers'.
        departments: of the same catalogue.
        retriever: built from the catalogue; may be somewhat older.
        catalogue: as it is now.
        policy: as for SerenGPT's own answers.
        fallback: what is looked for.

    Returns:
        One outcome per request, in order.
    """

    def answer(request: Request) -> Answer | SerenError:
        sought = evidence(request.digest, request.seen, departments=departments.by_leaf(), policy=fallback)
        one = shortlist_of(request, sought, retriever, catalogue, policy)
        items = [catalogue.at(catalogue.index(promise.candidate.item_id)) for promise in one.promises]
        aligned = judge.aligned(request.digest, items)
        if len(aligned) != len(items) or not all(0.0 <= value <= 1.0 for value in aligned):
            return UnsoundAnswer(f"{judge.tier}: {len(aligned)} scores of {len(items)} items; must be one each, in 0..1")
        return answered(request, one, aligned, catalogue=catalogue, policy=policy, tier=judge.tier, model_id=judge.model_id)

    return [answer(request) for request in requests]


def evidence(digest: Digest, seen: Seen, *, departments: dict[str, str], policy: FallbackPolicy) -> tuple[str, ...]:
    """What to look for instead of imagined titles: most telling first, once each.

    Args:
        digest: the profile.
        seen: the visit-day window: leaf categories in it are not looked for.
        departments: by leaf category.
        policy: how much of each kind.

    Example:
        >>> from models.entities import Behaviour, Tag
        >>> plate = Behaviour(type="click", title="blue plate", ts_ms=0, offset=0, category="plates")
        >>> digest = Digest(short_term=(Tag("striped", "attribute", 0.5),), history=(plate,))
        >>> window = Seen(categories=(fingerprint("plates"),), visit_days=1)
        >>> departments = {"mugs": "kitchen", "plates": "kitchen", "spades": "garden"}
        >>> evidence(digest, window, departments=departments, policy=FallbackPolicy())
        ('blue plate', 'striped', 'mugs')
    """
    wanted = (behaviour.title for behaviour in reversed(digest.history) if behaviour.type not in UNWANTED)
    tags = sorted(
        (tag for tag in (*digest.short_term, *digest.long_term) if tag.family != "category"),
        key=lambda tag: (-tag.score, tag.text),
    )
    titles = (
        *islice(distinct(wanted), policy.history_count),
        *islice(distinct(tag.text for tag in tags), policy.tag_count),
        *islice(_neighbours(digest, seen, departments), policy.leaf_count),
    )
    return distinct(titles)


def _neighbours(digest: Digest, seen: Seen, departments: dict[str, str]) -> list[str]:
    """The unseen leaves of the departments that the user likes, one of each department in turn, the most liked first.

    Of a user who likes none yet, those of all departments.
    """
    liked = category_rule.department_weights(category_rule.leaf_weights(digest), departments)
    known = {name for name in liked if liked[name] > 0} or set(departments.values())
    unseen: dict[str, list[str]] = {name: [] for name in sorted(known, key=lambda name: (-liked[name], name))}
    for leaf, department in departments.items():
        if department in unseen and fingerprint(leaf) not in seen.categories:
            unseen[department].append(leaf)
    ranked = [(turn, place, leaf) for place, found in enumerate(unseen.values()) for turn, leaf in enumerate(found)]
    return [leaf for _, _, leaf in sorted(ranked)]
