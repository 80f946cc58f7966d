"""What every engine takes and refuses: the bounds of a request, its titles as token ids, and what may not go out.

Knows nothing about runtimes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from models.errors import RequestError, UnsoundAnswer
from models.serengpt.engine import ImagineRequest, Scored, ScoreRequest
from models.serengpt.prior import Title
from models.serengpt.prompt import title_ids
from models.serengpt.tokens import SPECIAL_TOKENS, TitleTokenizer

TEMPERATURE = 0.95  # of samples; this and the penalty: papers.md 1.5.6
REPETITION_PENALTY = 1.05  # on the logits of tokens that the title already has
MAX_SEED = 2**32 - 1
PRIORS_KEPT = 65_536  # titles of which an engine remembers the prior; about 150 bytes each
_MAX_TITLES_IMAGINED = 256  # of one request; the paper takes 30
_MAX_TITLES_SCORED = 1024  # of one request; a slate has 50 candidates


def check_imagine(request: ImagineRequest, *, can_choose: bool = False) -> None:
    """Refuses what no engine, or this one, can answer.

    Args:
        request: as it was asked.
        can_choose: whether the engine decodes within a catalogue; one that does not must not answer as if it did.

    Raises:
        RequestError: a count or a seed is out of bounds, or a catalogue is named in vain.
    """
    _check_range("n", request.n, 1, _MAX_TITLES_IMAGINED)
    _check_range("seed", request.seed, 0, MAX_SEED)
    if request.within is not None and not can_choose:
        message = f"within: catalogue {request.within.name}: this engine cannot decode within a catalogue"
        raise RequestError(message)


def asked_titles(request: ScoreRequest, tokenizer: TitleTokenizer) -> list[Title]:
    """The titles of a request as token ids, in its order.

    Raises:
        RequestError: there are too many, or one has no visible text.
    """
    _check_range("titles", len(request.titles), 0, _MAX_TITLES_SCORED)
    titles = [title_ids(title, tokenizer) for title in request.titles]
    for place, ids in enumerate(titles):
        if not ids:
            message = f"titles[{place}]: {request.titles[place][:40]!r} has no visible text"
            raise RequestError(message)
    return titles


def scored_titles(
    request: ScoreRequest, titles: list[Title], logprobs: Mapping[Title, float], priors: Mapping[Title, float]
) -> tuple[Scored, ...]:
    """The answer to a request, title by title.

    Args:
        request: as it was asked.
        titles: the same as token ids.
        logprobs: after the request's prompt, by title.
        priors: after the prompt of nobody, by title.

    Raises:
        UnsoundAnswer: a log-probability is not finite, as a broken weight makes it.
    """
    scored = tuple(Scored(logprobs[ids], priors[ids], len(ids) + 1) for ids in titles)
    for place, value in enumerate(scored):
        if not (math.isfinite(value.logprob) and math.isfinite(value.prior_logprob)):
            message = f"titles[{place}]: {request.titles[place][:40]!r} has no finite log-probability"
            raise UnsoundAnswer(message)
    return scored


def written_title(ids: Sequence[int], tokenizer: TitleTokenizer) -> str:
    """The text of one sample: up to its first delimiter, which ends it, or the first end of a line. May be empty."""
    end = next((place for place, token in enumerate(ids) if token < len(SPECIAL_TOKENS)), len(ids))
    return next(iter(tokenizer.decode(ids[:end]).splitlines()), "").strip()


def _check_range(name: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        message = f"{name}: {value}, must be from {least} to {most}"
        raise RequestError(message)
