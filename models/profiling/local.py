"""SerenGPT in the place of a large model: its two verbs, and tags that the catalogue knows.

The small model writes titles and nothing else, so it is not asked for JSON: it imagines what would please the user, the
catalogue's tags in those titles are counted as votes, and a tag is told when something in the window speaks for it. The JSON
around them is written here, so it can have no other form. It infers little that rules would not; any engine of the judging
workers can serve it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

import msgspec

from models.errors import SerenError
from models.profiles import QueryTags
from models.profiles.features import FAMILIES
from models.profiling.model import Question
from models.profiling.pieces import Piece
from models.profiling.policy import LocalPolicy
from models.retrieval.text import tag_text, words
from models.serengpt.engine import Engine, ImagineRequest


class LocalProfileModel:
    """An engine of the judging workers as a profile model.

    Args:
        engine: any that imagines.
        tags: finds the catalogue's tags in titles.
        policy: thresholds.
    """

    def __init__(self, engine: Engine, tags: QueryTags, policy: LocalPolicy) -> None:
        self.model_id = f"local/{engine.model_id}"
        self._engine = engine
        self._tags = tags
        self._policy = policy

    def infer(self, questions: Sequence[Question]) -> list[str | SerenError]:
        """See `ProfileModel`. A summary of admitted tags is those tags, the most lasting first: it cannot summarise."""
        asked = [question for question in questions if question.level == "short_term"]
        requests = [ImagineRequest(digest=question.digest, n=self._policy.titles, seed=question.seed) for question in asked]
        imagined = iter(self._engine.imagine(requests) if requests else [])
        answers: list[str | SerenError] = []
        for question in questions:
            if question.level == "long_term":
                answers.append(_written([(piece.tags[0], [piece.number]) for piece in question.pieces], self._policy))
                continue
            titles = next(imagined)
            answers.append(titles if isinstance(titles, SerenError) else self._answer(titles, question.pieces))
        return answers

    def _answer(self, titles: Sequence[str], pieces: Sequence[Piece]) -> str:
        votes: Counter[str] = Counter()
        for title in titles:
            votes.update(self._tags.find(title))
        ordered = sorted(votes, key=lambda tag: (-votes[tag], tag))
        entries = [(tag, self._evidence(tag, pieces)) for tag in ordered if votes[tag] >= self._policy.min_votes]
        return _written([(tag, evidence) for tag, evidence in entries if evidence], self._policy)

    def _evidence(self, tag: str, pieces: Sequence[Piece]) -> list[int]:
        """The heaviest pieces that carry the tag, or, where none does, whose titles have all of its words."""
        of_tag = set(words(tag_text(tag)))
        speaking = [piece for piece in pieces if tag in piece.tags] or [
            piece for piece in pieces if of_tag and of_tag <= set(words(piece.title))
        ]
        speaking.sort(key=lambda piece: (-piece.weight, piece.number))
        return sorted(piece.number for piece in speaking[: self._policy.max_evidence])


def _written(entries: Sequence[tuple[str, list[int]]], policy: LocalPolicy) -> str:
    found: defaultdict[str, list[dict[str, object]]] = defaultdict(list)
    for tag, evidence in entries:
        family, _, text = tag.partition(":")
        if len(found[family]) < policy.max_per_family:
            found[family].append({"tag": text, "evidence": evidence})
    return msgspec.json.encode({family: found[family] or "NA" for family in FAMILIES}).decode()
