"""Denoising: which samples are judged, what people said of them, and what the small judges say of all the rest.

Knows nothing about files, or about who gave the verdicts.

Source: papers.md 1.4.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence

from msgspec import structs

from models.alignment.decisions import Decision, by_criterion, majority, sample_key
from models.alignment.records import AlignmentSample
from models.alignment.verdicts import Verdict
from models.errors import RequestError
from models.judging.buffer import Labelled

WHOLE = "serendipity"  # the criterion of who rejects without naming one
_TRAINING = frozenset({"sft", "ipo"})


def drawn(samples: Sequence[AlignmentSample], *, count: int, seed: int) -> list[int]:
    """Places of at most `count` samples of the training parts, in an order that a hash decides.

    The validation and test parts are not judged: no judge is to choose what anything is tested on.
    """
    places = [place for place, sample in enumerate(samples) if sample.split in _TRAINING]
    return sorted(places, key=lambda place: (_hash(sample_key(samples[place]), seed), place))[:count]


def with_verdicts(samples: Sequence[AlignmentSample], heard: Mapping[int, Verdict | RequestError]) -> list[AlignmentSample]:
    """The samples with the verdicts on those at these places; an error leaves none."""
    found = list(samples)
    for place, verdict in heard.items():
        if isinstance(verdict, Verdict):
            found[place] = structs.replace(found[place], verdict=verdict.is_serendipitous, verdict_reason=verdict.reason)
    return found


def with_people(samples: Sequence[AlignmentSample], decisions: Iterable[Decision]) -> list[AlignmentSample]:
    """The samples with what most people said of each."""
    said = majority(decisions)
    return [structs.replace(sample, person_label=said.get(sample_key(sample), sample.person_label)) for sample in samples]


def with_scores(samples: Sequence[AlignmentSample], scores: Sequence[float]) -> list[AlignmentSample]:
    """The samples with the small judges' scores, one each."""
    return [
        structs.replace(sample, classifier_score=round(float(score), 4)) for sample, score in zip(samples, scores, strict=True)
    ]


def labelled(
    samples: Sequence[AlignmentSample],
    inputs: Mapping[str, tuple[float, ...]],
    decisions: Sequence[Decision],
    *,
    number: int,
) -> list[Labelled]:
    """What people said in one round, a row for each criterion and sample of which something is known.

    Besides the criteria there is `WHOLE`: what most people said of the sample as such.

    Args:
        samples: those that may have been decided.
        inputs: of the small judges, by the sample's key.
        decisions: of the round.
        number: of the round.
    """
    users = {sample_key(sample): sample.user_id for sample in samples}
    known: dict[str, Mapping[str, bool]] = {WHOLE: majority(one for one in decisions if one.kind == "sample")}
    known.update(by_criterion(decisions).items())
    return [
        Labelled(criterion=criterion, case_id=name, user_id=users[name], inputs=inputs[name], label=label, round=number)
        for criterion, labels in sorted(known.items())
        for name, label in sorted(labels.items())
        if name in users and name in inputs
    ]


def _hash(text: str, seed: int) -> bytes:
    return hashlib.blake2b(f"{seed}|{text}".encode(), digest_size=8).digest()
