"""What a score log knows of people's digests, as lessons for the distilled scorer, and what it is asked for beside.

A slate's candidates are titles that SerenGPT itself looked for, so they are likely ones; a scorer that saw no others would not
know what unlikely means. So some of the whole catalogue are asked for each person as well, through the same log: a second
training asks nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from models.catalogue import Catalogue
from models.entities import Digest, Item
from models.errors import SerenError
from models.serengpt.address import Asked, Decoding, cue_of, prompt_address
from models.serengpt.engine import Engine, Scored, ScoreRequest
from models.training.distil import Lesson, lessons_of
from streams.scores.engine import LoggedEngine
from streams.scores.log import ScoreLog

_PEOPLE_AT_ONCE = 8  # in one call of the engine


class Teacher:
    """SerenGPT behind its score log.

    Args:
        engine: asked for what the log does not know.
        log: what was answered before.
        catalogue: the items that titles belong to; of several with one title the first by id.
    """

    def __init__(self, engine: Engine, log: ScoreLog, catalogue: Catalogue) -> None:
        self._asked = Asked(engine.model_id, engine.prompt_version)
        self._reading = Decoding.of().reading
        self._engine = LoggedEngine(engine, log, decoding=Decoding.of())
        self._log = log
        self._items: dict[str, Item] = {}
        for item in sorted(catalogue.items, key=lambda item: item.item_id):
            self._items.setdefault(item.title, item)

    def known(self, digest: Digest) -> list[tuple[Item, Scored]]:
        """What the log has of the digest's prompt, by titles of the catalogue."""
        found = self._log.scored(prompt_address(self._asked, self._reading, cue_of(digest)))
        return [(self._items[title], one) for title, one in sorted(found.items()) if title in self._items]

    def lessons(
        self,
        digests: Mapping[str, Digest],
        *,
        drawn: int,
        advance: Callable[[int], None],
    ) -> list[Lesson]:
        """One lesson a person: what is known, and so many titles of the catalogue, drawn by the person's id.

        Raises:
            SerenError: the engine failed for somebody.
        """
        people = sorted(digests)
        asked: list[tuple[str, Digest, Sequence[tuple[Item, Scored]]]] = []
        for start in range(0, len(people), _PEOPLE_AT_ONCE):
            some = people[start : start + _PEOPLE_AT_ONCE]
            asked.extend((user_id, digests[user_id], self.known(digests[user_id])) for user_id in some)
            titles = [self._drawn(user_id, drawn) for user_id in some] if drawn else []
            requests = [ScoreRequest(digest=digests[u], titles=t) for u, t in zip(some, titles, strict=False)]
            for user_id, request, scored in zip(some, requests, self._engine.score(requests), strict=False):
                if isinstance(scored, SerenError):
                    raise scored
                pairs = [(self._items[title], one) for title, one in zip(request.titles, scored, strict=True)]
                asked.append((user_id, request.digest, pairs))
            advance(start + len(some))
        return lessons_of(asked)

    def _drawn(self, user_id: str, count: int) -> tuple[str, ...]:
        seed = int.from_bytes(hashlib.blake2b(user_id.encode(), digest_size=8).digest(), "big")
        titles = list(self._items)
        places = np.random.default_rng(seed).choice(len(titles), min(count, len(titles)), replace=False)
        return tuple(titles[place] for place in places)
