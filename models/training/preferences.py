"""What alignment learns from: pairs of titles of which one was judged better, or titles judged one by one.

Titles may be search queries: the task is in the data. Knows nothing about files, tokens or networks.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from models.alignment.records import AlignmentSample, PreferencePair
from models.entities import Digest

# Of the distilled classifier: a sample it thinks less likely than not to be serendipitous is noise.
_LIKELY = 0.5


class Pair(Struct, frozen=True, kw_only=True):
    """Of two titles for one digest, the one that was judged better, and the other."""

    digest: Digest
    chosen: str
    rejected: str


class Judged(Struct, frozen=True, kw_only=True):
    """One title for one digest, and whether it was judged to be serendipitous."""

    digest: Digest
    title: str
    wanted: bool


def pairs_of(records: Iterable[PreferencePair]) -> list[Pair]:
    """The pairs as alignment reads them."""
    return [Pair(digest=one.digest, chosen=one.chosen, rejected=one.rejected) for one in records]


def judged_of_pairs(pairs: Iterable[Pair]) -> list[Judged]:
    """Both titles of each pair, the chosen one first."""
    return [
        Judged(digest=pair.digest, title=title, wanted=wanted)
        for pair in pairs
        for title, wanted in ((pair.chosen, True), (pair.rejected, False))
    ]


def judged_of_samples(samples: Iterable[AlignmentSample]) -> list[Judged]:
    """The samples of the half that alignment may see; supervised fine-tuning had the other."""
    return [Judged(digest=one.digest, title=one.title, wanted=is_wanted(one)) for one in samples if one.split == "ipo"]


def is_wanted(sample: AlignmentSample) -> bool:
    """Whether a sample survives denoising: a person's word, else the judge's, else the classifier's, else Definition 1's."""
    for label in (sample.person_label, sample.verdict):
        if label is not None:
            return label
    return sample.classifier_score is None or sample.classifier_score >= _LIKELY


def without_profile(digest: Digest) -> Digest:
    """A digest with its recent history alone: what the ablation "without cognition profile" asks with."""
    return Digest(history=digest.history)
