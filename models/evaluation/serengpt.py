"""SerenGPT as a ranker: its log-probabilities of the titles, read in several ways, the best of which validation chooses.

Knows nothing about what the engine runs on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from models.catalogue import Catalogue
from models.errors import SerenError
from models.evaluation.rankers import Scores
from models.evaluation.ranking import Case
from models.serengpt.aligned import PRIOR_SHARE
from models.serengpt.engine import Engine, Scored, ScoreRequest

Reading = Callable[[Scored], float]
BATCH_CASES = 8  # per call of the engine: 800 titles, so that progress moves every second or so


def _less_prior(share: float) -> Reading:
    return lambda scored: scored.logprob - share * scored.prior_logprob


def _per_token(reading: Reading) -> Reading:
    return lambda scored: reading(scored) / scored.tokens


# A title's likelihood also says how long and how common it is; the readings take off more or less of that.
READINGS: dict[str, Reading] = {
    "logprob": _less_prior(0.0),
    "logprob - 0.25 prior": _less_prior(PRIOR_SHARE),  # orders as the aligned score of a slate does
    "logprob - 0.5 prior": _less_prior(0.5),
    "logprob - 0.75 prior": _less_prior(0.75),
    "logprob - prior": _less_prior(1.0),
    "logprob per token": _per_token(_less_prior(0.0)),
    "logprob - 0.5 prior, per token": _per_token(_less_prior(0.5)),
    "logprob - prior, per token": _per_token(_less_prior(1.0)),
}
ALIGNED = "logprob - 0.25 prior"


def scored_batches(given: Sequence[Case], *, engine: Engine, catalogue: Catalogue) -> Iterator[list[tuple[Scored, ...]]]:
    """Every case's titles as the engine scores them, a few cases at a time, in order.

    Raises:
        SerenError: the engine failed, wholly or for one case; an evaluation with holes would flatter it.
    """
    for start in range(0, len(given), BATCH_CASES):
        requests = [
            ScoreRequest(
                digest=case.digest,
                titles=tuple(catalogue.at(catalogue.index(item_id)).title for item_id in case.items),
            )
            for case in given[start : start + BATCH_CASES]
        ]
        batch = []
        for outcome in engine.score(requests):
            if isinstance(outcome, SerenError):
                raise outcome
            batch.append(outcome)
        yield batch


def read(scored: Sequence[Sequence[Scored]], reading: Reading) -> Scores:
    """One number per title of each case."""
    return [[reading(one) for one in case] for case in scored]


def prior(scored: Sequence[Sequence[Scored]]) -> Scores:
    """What the titles are worth to nobody in particular: the same network without a profile."""
    return [[one.prior_logprob for one in case] for case in scored]


def readings(scored: Sequence[Sequence[Scored]]) -> dict[str, Scores]:
    """Every reading of the same answers, by name."""
    return {name: read(scored, reading) for name, reading in READINGS.items()}
