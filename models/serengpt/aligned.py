"""The aligned score: how much of a title's likelihood is this user's own doing.

Knows nothing about engines, items, or the other factors of serendipity.
"""

from __future__ import annotations

import math

from models.serengpt.engine import Scored

# Log-odds beyond this are 0 or 1 in single precision anyway; it keeps the exponential from overflowing.
_FAR = 60.0


def aligned_score(scored: Scored) -> float:
    """The probability of the title after the user's prompt, against that and its probability after the reference prompt.

        aligned = p / (p + q) = sigmoid(log p - log q)

    One half: the profile says nothing about the title. Near one: it is far more likely for this user than for anybody. It
    rises with `logprob` and falls with `prior_logprob`. Both are sums over the same tokens, so a long title is not at a
    disadvantage and no normalisation by `tokens` is needed.

    Args:
        scored: one title's log-probabilities.

    Raises:
        ValueError: a log-probability is not finite.

    Example:
        Three times as likely for the user as for anybody, 3 / (3 + 1):

        >>> round(aligned_score(Scored(logprob=math.log(0.03), prior_logprob=math.log(0.01), tokens=2)), 6)
        0.75
    """
    if not (math.isfinite(scored.logprob) and math.isfinite(scored.prior_logprob)):
        message = f"scored: log-probabilities {scored.logprob} and {scored.prior_logprob}, must be finite"
        raise ValueError(message)
    log_odds = max(-_FAR, min(_FAR, scored.logprob - scored.prior_logprob))
    return 1.0 / (1.0 + math.exp(-log_odds))
