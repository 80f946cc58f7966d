"""The profiling stage: questions in, approved tags out.

    decode -> pieces -> questions -> model -> parse -> approve -> `ProfileTags`

Everything but the model is a function of the request, the catalogue and the policies, so the same texts give the same answer.
Knows nothing about topics or connections.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable, Sequence

import msgspec
from msgspec import Struct

from models.catalogue import Catalogue
from models.errors import DecodeError, MalformedAnswer, RequestError, SerenError, UnknownVersion
from models.profiles import Profile, ProfilePolicy, QueryTags, decode, digest
from models.profiles.exchange import MAX_SHOWN, Finding, ProfileTags, ProfilingRequest, Trait
from models.profiling.answers import parse_answer
from models.profiling.approval import Approval, approve, pool_of
from models.profiling.model import Level, ProfileModel, Question
from models.profiling.pieces import Piece, lasting, tag_pieces, touched
from models.profiling.policy import StagePolicy
from models.profiling.question import long_term_text, short_term_text, system_text
from models.profiling.relevance import Relevance

_POSITIVE = frozenset({"click", "favourite", "cart", "purchase", "search"})


class Prepared(Struct, frozen=True, kw_only=True):
    """A request with everything that its answer is held against."""

    request: ProfilingRequest
    profile: Profile
    short: Question
    long: Question | None


class ProfilingStage:
    """The walk with what it needs.

    Args:
        model: infers.
        catalogue: titles and tags.
        queries: finds the catalogue's tags in queries.
        profile: the policy of the profile workers that ask.
        policy: of the stage.
        relevance: of tags to pieces.
    """

    def __init__(
        self,
        *,
        model: ProfileModel,
        catalogue: Catalogue,
        queries: QueryTags,
        profile: ProfilePolicy,
        policy: StagePolicy,
        relevance: Relevance,
    ) -> None:
        self.model_id = model.model_id
        self._model = model
        self._catalogue = catalogue
        self._queries = queries
        self._profile = profile
        self._policy = policy
        self._relevance = relevance

    def answer(self, requests: Sequence[ProfilingRequest]) -> list[ProfileTags | SerenError]:
        """One outcome for each request, in order.

        Raises:
            EngineError: the model failed as a whole; nothing was answered.
            UnknownVersion: a newer release wrote one of the profiles.
        """
        prepared = [self._prepare_or_refuse(request) for request in requests]
        asked = [one for one in prepared if isinstance(one, Prepared)]
        short = self._approved(asked, lambda one: one.short)
        long = self._approved([one for one in asked if one.long is not None], lambda one: one.long or one.short)
        outcomes = iter(zip(asked, short, strict=True))
        summaries = iter(long)
        found: list[ProfileTags | SerenError] = []
        for one in prepared:
            if isinstance(one, SerenError):
                found.append(one)
                continue
            known, tags = next(outcomes)
            summary = next(summaries) if known.long is not None else None
            found.append(tags if isinstance(tags, SerenError) else self._tags(known, tags, summary))
        return found

    def prepare(self, request: ProfilingRequest) -> Prepared:
        """The request's questions.

        Raises:
            DecodeError: its bytes are no profile.
            RequestError: the profile shows nothing to rest on.
        """
        profile = decode(request.profile)
        pieces = touched(profile, self._catalogue, self._queries, request.as_of_ms, self._profile)
        if not pieces:
            message = f"user {request.user_id!r}: the profile shows nothing to infer from"
            raise RequestError(message)
        reading = digest(profile, self._catalogue.get, request.as_of_ms, self._profile)

        def question(level: Level, text: str, rests_on: Sequence[Piece]) -> Question:
            system = system_text(level, self._policy.question, max_tag_chars=self._policy.approval.max_tag_chars)
            seed = zlib.crc32(f"{level}|{request.user_id}|{request.as_of_ms}".encode())
            return Question(level=level, system=system, user=text, pieces=tuple(rests_on), digest=reading, seed=seed)

        window = short_term_text(pieces, reading.static, request.as_of_ms, self._policy.question)
        admitted = lasting(profile, self._profile) if self._is_summary_due(profile) else []
        summary = None
        if len(admitted) >= self._policy.min_admitted:
            summary = question(
                "long_term", long_term_text(admitted, reading.static, self._policy.question), tag_pieces(admitted)
            )
        return Prepared(request=request, profile=profile, short=question("short_term", window, pieces), long=summary)

    def _prepare_or_refuse(self, request: ProfilingRequest) -> Prepared | SerenError:
        try:
            return self.prepare(request)
        except UnknownVersion:
            raise
        except (DecodeError, RequestError) as error:
            return error

    def _is_summary_due(self, profile: Profile) -> bool:
        answers = 0 if profile.inference is None else profile.inference.answers
        return (answers + 1) % self._policy.summary_every == 0

    def _approved(self, asked: Sequence[Prepared], question_of: Callable[[Prepared], Question]) -> list[Approval | SerenError]:
        """What the model's texts come to; a text that is none is asked for again, with another seed."""
        found: list[Approval | SerenError] = [RequestError("not asked")] * len(asked)
        waiting = list(range(len(asked)))
        for attempt in range(self._policy.attempts):
            questions = [_again(question_of(asked[place]), attempt) for place in waiting]
            texts = self._model.infer(questions) if questions else []
            for place, text in zip(waiting, texts, strict=True):
                found[place] = text if isinstance(text, SerenError) else self._approve(asked[place], question_of, text)
            waiting = [place for place in waiting if isinstance(found[place], MalformedAnswer)]
        return found

    def _approve(self, one: Prepared, question_of: Callable[[Prepared], Question], text: str) -> Approval | MalformedAnswer:
        try:
            parsed = parse_answer(text)
        except MalformedAnswer as error:
            return error
        pool = pool_of(one.profile, one.request.as_of_ms, self._profile)
        approval = approve(parsed.candidates, question_of(one).pieces, pool, self._policy.approval, self._relevance)
        return approval._replace(refused=approval.refused + parsed.refused)

    def _tags(self, one: Prepared, short: Approval, long: Approval | SerenError | None) -> ProfileTags:
        refused = Counter(short.refused)
        traits: tuple[Trait, ...] | None = None
        if isinstance(long, SerenError):
            refused["summary_failed"] += 1
        elif long is not None and one.long is not None:
            refused.update({f"summary_{reason}": count for reason, count in long.refused.items()})
            names = [piece.tags[0] for piece in one.long.pieces]
            traits = tuple(
                Trait(
                    family=tag.family,
                    text=tag.text,
                    score=round(tag.score, 4),
                    sources=tuple(names[place] for place in tag.evidence),
                    reason=tag.reason,
                )
                for tag in long.tags
            )
        wanted, matched = self._since_last_answer(one)
        return ProfileTags(
            user_id=one.request.user_id,
            asked_ms=one.request.as_of_ms,
            model_id=self.model_id,
            shown=tuple(piece.shown for piece in one.short.pieces if piece.shown is not None),
            short_term=tuple(
                Finding(family=tag.family, text=tag.text, score=round(tag.score, 4), evidence=tag.evidence, reason=tag.reason)
                for tag in short.tags
            ),
            long_term=traits,
            wanted=wanted,
            matched=matched,
            refused=dict(sorted(refused.items())),
        )

    def _since_last_answer(self, one: Prepared) -> tuple[int, dict[str, int]]:
        """How many behaviours are newer than the last answer, and how many of them go with each tag that it left."""
        inference = one.profile.inference
        if inference is None or inference.answered_ms < 0:
            return 0, {}
        counts = [
            (piece, sum(deed.ts_ms > inference.answered_ms and deed.type in _POSITIVE for deed in piece.deeds))
            for piece in one.short.pieces
        ]
        least = self._policy.matched_relevance
        matched = {
            name: sum(count for piece, count in counts if count and self._relevance.of(name.partition(":")[2], piece) >= least)
            for name in inference.short_term
        }
        wanted = min(MAX_SHOWN, sum(count for _, count in counts))
        return wanted, {name: min(wanted, count) for name, count in matched.items() if count}


def _again(question: Question, attempt: int) -> Question:
    """The same question with another seed, from the second attempt on."""
    return msgspec.structs.replace(question, seed=(question.seed + attempt) & 0xFFFFFFFF) if attempt else question
