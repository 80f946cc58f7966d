"""Every ranker that SerenGPT is compared with, each tuned on the validation part where it has something to tune.

Knows nothing about engines. A `Ranked` is one row of the table before it is measured.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from models.evaluation import rankers
from models.evaluation.choice import choose
from models.evaluation.neighbours import PLANS, NeighbourPlan, Neighbours, by_neighbours
from models.evaluation.past import seasons
from models.evaluation.rankers import Scores
from models.profiles.policy import DAY_MS
from models.retrieval import RetrievalPolicy, Retriever
from streams.evaluation.questions import Asked, Questions

RECENT_DAYS = 28  # of the train part, for the popularity of the season
HALF_LIVES_DAYS = (2.0, 4.0, 7.0, 14.0, 28.0, 56.0)  # of the popularity on the eve; validation chooses

EVE = "popularity on the eve"
EVE_DAYS = 4.0  # half-life of it where nothing is chosen: what validation chose for ranking
TOWER = "trained tower"

Answer = Callable[[Asked], Scores]


@dataclass(frozen=True, kw_only=True)
class Ranked:
    """One ranker's scores of all reported cases.

    `chosen`: the variant that validation chose, empty where there was no choice. `is_baseline`: somebody to beat.
    """

    name: str
    scores: Scores
    chosen: str = ""
    model_id: str | None = None
    is_baseline: bool = True
    half_life_days: float = 0.0  # of the season that the row follows, if it does
    validation: Scores = field(default_factory=list)  # the same variant's, for what is combined with others


def baselines(questions: Questions, *, tower: Path | None, seed: int) -> Iterator[Ranked]:
    """The rankers that need no language model and no torch.

    Args:
        questions: of one log.
        tower: a model folder with a tower that was trained on this log; None: there is none, and no row of it.
        seed: of the random ranker, and of ties in choices.

    Yields:
        Rows as they are ready.
    """
    yield Ranked(name="random", scores=rankers.by_chance(questions.reported.cases, seed=seed))
    yield from _popularity(questions)
    yield _eve(questions, seed=seed)
    yield Ranked(name="category rule", scores=rankers.by_category(questions.reported.cases, questions.log.catalogue))
    yield tuned("item-kNN", _neighbours(questions), questions, seed=seed)
    if tower is not None:
        yield by_tower(questions, Retriever.build(questions.log.catalogue, tower))


def tuned(name: str, variants: Mapping[str, Answer], questions: Questions, *, seed: int) -> Ranked:
    """The variant that ranks the validation part best, on the reported part."""
    tried = {variant: answer(questions.validation) for variant, answer in variants.items()}
    chosen = choose(questions.validation.cases, tried, seed=seed)
    return Ranked(name=name, scores=variants[chosen](questions.reported), chosen=chosen, validation=tried[chosen])


def by_tower(questions: Questions, retriever: Retriever) -> Ranked:
    """The cosine of an item and the user's recent history."""
    decay = RetrievalPolicy().history_decay
    asked = (questions.reported.cases, questions.validation.cases)
    scores, validation = (rankers.by_tower(given, retriever, decay=decay) for given in asked)
    return Ranked(name=TOWER, scores=scores, validation=validation)


def _popularity(questions: Questions) -> Iterator[Ranked]:
    train, given = questions.train, questions.reported.cases
    since_ms = questions.log.split.train_end_ms - RECENT_DAYS * DAY_MS
    yield Ranked(name="popularity", scores=rankers.by_popularity(given, rankers.popularity_counts(train)))
    recent = rankers.popularity_counts(train, since_ms=since_ms)
    yield Ranked(name=f"popularity, last {RECENT_DAYS} days", scores=rankers.by_popularity(given, recent))


def _eve(questions: Questions, *, seed: int) -> Ranked:
    """Popularity as it stands on the eve of each case, with the half-life that validation chose."""
    variants = {f"half-life {days:g} days": days for days in HALF_LIVES_DAYS}
    row = tuned(EVE, _eves(questions), questions, seed=seed)
    return replace(row, half_life_days=variants[row.chosen])


def _eves(questions: Questions) -> dict[str, Answer]:
    return {f"half-life {days:g} days": _eve_of(questions, days) for days in HALF_LIVES_DAYS}


def _eve_of(questions: Questions, half_life_days: float) -> Answer:
    """What a counter that never stops would say."""

    def scores(asked: Asked) -> Scores:
        found = seasons(asked.cases, questions.log.samples, questions.log.catalogue, half_life_days=half_life_days)
        return [season[items].tolist() for season, items in zip(found, asked.items, strict=True)]

    return scores


def _neighbours(questions: Questions) -> dict[str, Answer]:
    sets = {
        together: Neighbours(questions.train, questions.log.catalogue, together=together)
        for together in {plan.together for plan in PLANS}
    }

    def answer(plan: NeighbourPlan) -> Answer:
        return lambda asked: by_neighbours(sets[plan.together], asked.past, asked.items, plan)

    return {named(plan): answer(plan) for plan in PLANS}


def named(plan: NeighbourPlan) -> str:
    """A plan in words, as the table tells which one was chosen."""
    return f"together in a {plan.together}, shrinkage {plan.shrinkage:g}, decay {plan.decay:g}, newest {plan.history}"


def slate_fillers(questions: Questions, *, tower: Path, seed: int) -> dict[str, Answer]:
    """The rankers that can fill a slate from the whole catalogue, by name, as far as they need no choice.

    The two that know no user are there a second time with what any shop could add to them: no category that the user knows.
    """
    train, log = questions.train, questions.log
    since_ms = log.split.train_end_ms - RECENT_DAYS * DAY_MS
    recent = rankers.popularity_counts(train, since_ms=since_ms)
    retriever, decay = Retriever.build(log.catalogue, tower), RetrievalPolicy().history_decay
    pairs = Neighbours(train, log.catalogue, together=NeighbourPlan().together)

    def chance(asked: Asked) -> Scores:  # cases come in parts; each part has draws of its own
        return rankers.by_chance(asked.cases, seed=seed ^ asked.cases[0].as_of_ms)

    eve = _eve_of(questions, EVE_DAYS)
    return {
        "random": chance,
        "random, unseen categories": lambda asked: rankers.unseen_first(asked.cases, chance(asked), log.catalogue),
        EVE: eve,
        f"{EVE}, unseen categories": lambda asked: rankers.unseen_first(asked.cases, eve(asked), log.catalogue),
        f"popularity, last {RECENT_DAYS} days": lambda asked: rankers.by_popularity(asked.cases, recent),
        "category rule": lambda asked: rankers.by_category(asked.cases, log.catalogue),
        "item-kNN": lambda asked: by_neighbours(pairs, asked.past, asked.items, NeighbourPlan()),
        TOWER: lambda asked: rankers.by_tower(asked.cases, retriever, decay=decay),
    }
