"""Milestones and the gate: a judge is held against people's labels, and is not used below its bounds.

Knows nothing about how the judge scores.

Source: papers.md 2.7 (milestone supervision; deployed only above a threshold, whose value the paper does not give).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from msgspec import Struct

from models.errors import JudgeRefused
from models.evaluation.agreement import auc, average_precision, kappa, over_users
from models.metrics import Interval

PASSES_AT = 0.5  # a score from which a case passes


@dataclass(frozen=True, kw_only=True)
class GatePolicy:
    """What a judge must reach on labels that it was not trained on."""

    cases: int = 40  # labels; with fewer an AUC's interval is wider than what it is to show
    each_label: int = 8  # of either kind
    auc: float = 0.6  # a sixth of the way from chance to certainty: below, denoising is throwing dice
    kappa: float = 0.1  # better than chance at the bound at which it is used
    worse_by: float = 0.05  # of AUC: so much below its last milestone is worse, where its interval says so, too


class Milestone(Struct, frozen=True, kw_only=True):
    """A judge against people's labels. An interval is None where the figure is not defined."""

    criterion: str
    cases: int
    positives: int
    accuracy: float
    auc: Interval | None
    ap: Interval | None
    kappa: Interval | None


def milestone(
    criterion: str, scores: Sequence[float], labels: Sequence[bool], users: Sequence[str], *, seed: int
) -> Milestone:
    """How a judge does on people's labels.

    Args:
        criterion: what was judged.
        scores: the judge's, in [0, 1].
        labels: people's.
        users: whose case each is; intervals resample them.
        seed: of the intervals.
    """
    passes = [score >= PASSES_AT for score in scores]
    wanted = np.asarray(labels, dtype=bool)
    return Milestone(
        criterion=criterion,
        cases=len(wanted),
        positives=int(wanted.sum()),
        accuracy=float(np.mean(wanted == np.asarray(passes))) if len(wanted) else 0.0,
        auc=over_users(lambda weights: auc(scores, labels, weights), users, seed=seed),
        ap=over_users(lambda weights: average_precision(scores, labels, weights), users, seed=seed),
        kappa=over_users(lambda weights: kappa(passes, labels, weights), users, seed=seed),
    )


def require(found: Milestone, policy: GatePolicy) -> None:
    """Lets a judge pass that reaches all bounds.

    Raises:
        JudgeRefused: names the criterion, the metric, its value and the bound.
    """
    fewest = min(found.positives, found.cases - found.positives)
    measured = (
        ("people's labels", found.cases, policy.cases),
        ("labels of the rarer kind", fewest, policy.each_label),
        ("auc", found.auc.mean if found.auc else 0.0, policy.auc),
        ("kappa", found.kappa.mean if found.kappa else 0.0, policy.kappa),
    )
    for metric, value, bound in measured:
        if value < bound:
            message = f"judge of {found.criterion}: {metric} {value:.4g} is below the bound {bound:g}; it is not used"
            raise JudgeRefused(message)


def is_clearly_worse(now: Milestone, before: Milestone, policy: GatePolicy) -> bool:
    """Whether a judge lost ground since its last milestone: by more than `worse_by`, and beyond its interval."""
    if now.auc is None or before.auc is None:
        return False
    return now.auc.mean < before.auc.mean - policy.worse_by and now.auc.high < before.auc.mean
