"""The rubric of 1 to 6 by which titles for one prompt are compared, for a teacher in words and for the local judge in bounds.

The paper names the scale and its two aspects, unexpected and relevant, and no anchors; these are ours. Knows nothing about how
scores become pairs.

Source: papers.md 1.5.3, 1.5.4.
"""

from __future__ import annotations

from dataclasses import dataclass

from models.judging.pairs import Judgement

# score -> what earns it, as a teacher is told
ANCHORS: dict[int, str] = {
    6: "of a kind that is new to the person and one step of reasoning from something that they clearly care about; useful "
    "now; a specific thing that exists",
    5: "of a new kind; good evidence that they would want it; a small doubt about time or price",
    4: "of a new kind next to one that they often have; plausible evidence",
    3: "of a familiar kind, another make or style; wanted",
    2: "surprising, but the link to the person is weak or the title is too general",
    1: "had or seen already, or against what is known of them, unsafe, or no thing that exists",
}


@dataclass(frozen=True, kw_only=True)
class RubricPolicy:
    """Where the local judge sets its marks. Relevance and unexpectedness in [0, 1], as it gives them.

    With the shipped SerenGPT as adviser, quartiles of relevance on the Online Retail validation part are 0.37, 0.48, 0.55 for
    Definition-1 items and 0.18, 0.26, 0.39 for drawn items of unseen categories.
    """

    new_at: float = 0.8  # unexpectedness of a kind that counts as new; one sighting of a category in ten things is 0.35
    strong_at: float = 0.55  # relevance of a 6
    good_at: float = 0.45  # of a 5
    plausible_at: float = 0.35  # of a 4, and of a 3 among familiar kinds

    def __post_init__(self) -> None:
        if not self.plausible_at <= self.good_at <= self.strong_at:
            message = f"plausible_at, good_at, strong_at: {self.plausible_at}, {self.good_at}, {self.strong_at} must rise"
            raise ValueError(message)


def local_score(judgement: Judgement, policy: RubricPolicy, *, is_had: bool, is_real: bool) -> int:
    """The local judge's score in 1..6.

    Args:
        judgement: of the title, as an item of the leaf category that the catalogue gives it.
        policy: the marks.
        is_had: the person has had exactly this.
        is_real: the catalogue holds something of the kind.

    Example:
        >>> wanted = Judgement(serendipity=0.8, relevance=0.7, unexpectedness=0.9, reason="")
        >>> [local_score(wanted, RubricPolicy(), is_had=had, is_real=real) for had, real in ((0, 1), (1, 1), (0, 0))]
        [6, 1, 1]
    """
    if is_had or not is_real:
        return 1
    is_new = judgement.unexpectedness is None or judgement.unexpectedness >= policy.new_at
    if judgement.relevance < policy.plausible_at:
        return 2 if is_new else 1
    if not is_new:
        return 3
    return 4 + (judgement.relevance >= policy.good_at) + (judgement.relevance >= policy.strong_at)
