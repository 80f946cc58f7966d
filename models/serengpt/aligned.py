"""The aligned score: how much likelier a title is for this user than a reference that knows nothing of them.

Knows nothing about engines, items, or the other factors of serendipity.
"""

from __future__ import annotations

import math

from models.serengpt.engine import Scored

# The reference lies between what everybody likes (the prior) and every title alike, as a weighted geometric mean. At a share
# of one, popularity would not count at all: on the validation part that ranked hardly better than chance (NDCG@10 0.06,
# against 0.25 at shares of 0 and 0.25, and 0.23 at 0.5). A quarter keeps the order and takes off what everybody gets anyway.
PRIOR_SHARE = 0.25
# Titles among which "every title alike" is meant: a catalogue of a few thousand. It moves all scores, never their order.
TITLES = 4096
# Log-odds beyond this are 0 or 1 in double precision; it keeps the exponential from overflowing.
_FAR = 60.0


def aligned_score(scored: Scored) -> float:
    """The title's probability for the user, against that and its probability in the reference.

        aligned = p / (p + r),  r = prior^share * (1 / titles)^(1 - share)

    One half: the user makes the title as likely as the reference does. It rises with `logprob` and falls with `prior_logprob`.
    Both are sums over the same tokens of one title, so a long title needs no correction.

    Args:
        scored: one title's log-probabilities.

    Raises:
        ValueError: a log-probability is not finite.

    Example:
        Nobody in particular wants it (1 / 4096); this user is three times as likely to, so 3 / (3 + 1):

        >>> nobody = math.log(1 / 4096)
        >>> round(aligned_score(Scored(logprob=nobody + math.log(3), prior_logprob=nobody, tokens=2)), 6)
        0.75
    """
    return 1.0 / (1.0 + math.exp(-max(-_FAR, min(_FAR, log_odds(scored)))))


def log_odds(scored: Scored) -> float:
    """The same before the logistic function: ln(p / r), 0 where the user makes the title as likely as the reference does.

    Raises:
        ValueError: a log-probability is not finite.
    """
    if not (math.isfinite(scored.logprob) and math.isfinite(scored.prior_logprob)):
        message = f"scored: log-probabilities {scored.logprob} and {scored.prior_logprob}, must be finite"
        raise ValueError(message)
    reference = PRIOR_SHARE * scored.prior_logprob - (1 - PRIOR_SHARE) * math.log(TITLES)
    return scored.logprob - reference
