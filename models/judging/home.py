"""SerenGPT's word on an item, and how far it can be trusted: a small model is at home in the shop that it was trained on.

Measured, not declared. A tokenizer cuts words of its own domain into few pieces, and a model finds titles of its own domain
likely before it knows anything of the person. Knows nothing about how a judgement is made of it.
"""

from __future__ import annotations

from collections.abc import Sequence

from models.entities import Behaviour, Digest
from models.errors import SerenError
from models.judging.pairs import Offer, Person, facts
from models.judging.policy import HomePolicy, TastePolicy
from models.judging.portrait import Opinion, newest
from models.judging.tastes import likes
from models.retrieval.text import words
from models.serengpt.aligned import aligned_score
from models.serengpt.engine import Engine, Scored, ScoreRequest
from models.serengpt.prompt import TITLE_TOKENS
from models.serengpt.tokens import TitleTokenizer, clean


class Adviser:
    """Asks an engine about items, where it may know them.

    Args:
        engine: SerenGPT.
        tokenizer: of the same checkpoint.
        policy: where it is at home.
        tastes: how ratings are read.
    """

    def __init__(self, engine: Engine, tokenizer: TitleTokenizer, *, policy: HomePolicy, tastes: TastePolicy) -> None:
        self._engine = engine
        self._tokenizer = tokenizer
        self._policy = policy
        self._tastes = tastes

    def opinions(self, asks: Sequence[tuple[Person, Offer]]) -> list[Opinion | None]:
        """One opinion per ask, in order; None where it is not at home at all.

        Raises:
            EngineError: the engine failed as a whole.
        """
        found: list[Opinion | None] = [None] * len(asks)
        shares = [self._known_share(person) if self._knows(offer.title) else 0.0 for person, offer in asks]
        places = [place for place, share in enumerate(shares) if share > 0.0]
        requests = [
            ScoreRequest(digest=self._digest(person), titles=(offer.title,))
            for person, offer in (asks[place] for place in places)
        ]
        for place, outcome in zip(places, self._engine.score(requests) if requests else [], strict=True):
            if not isinstance(outcome, SerenError):  # a title of which it makes nothing: it has no word on it
                found[place] = self._opinion(outcome[0], shares[place])
        return found

    def _opinion(self, scored: Scored, share: float) -> Opinion | None:
        policy = self._policy
        under = policy.foreign_loss + scored.prior_logprob / scored.tokens
        at_home = share * max(0.0, min(1.0, under / (policy.foreign_loss - policy.native_loss)))
        return Opinion(aligned_score(scored), at_home) if at_home > 0.0 else None

    def _known_share(self, person: Person) -> float:
        """The share of a person's past that it may know; 1 for none."""
        recent = newest(person, self._policy.history_count)
        return sum(self._knows(past.title) for past in recent) / len(recent) if recent else 1.0

    def _knows(self, title: str) -> bool:
        found = words(clean(title))
        return bool(found) and len(self._tokenizer.encode(title, TITLE_TOKENS)) <= self._policy.known_tokens * len(found)

    def _digest(self, person: Person) -> Digest:
        past = newest(person, len(person.history or ()))
        liked = likes([one.rating for one in past], self._tastes)
        told = [
            Behaviour("purchase", one.title, int(one.ts_ms or 0), place)
            for place, (one, like) in enumerate(zip(past, liked, strict=True))
            if like >= self._policy.liked
        ]
        searched = [Behaviour("search", query, 0, 0) for query in person.queries or ()]
        return Digest(static=facts(person.static), history=tuple((*searched, *told)[-self._policy.history_count :]))
