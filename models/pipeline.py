"""The judging side as one walk: requests in, answers out, nothing moved that is not named.

Knows nothing about topics, stores or clocks; the agent, the replay and the evaluation all call `serve_batch`, so they cannot
drift apart. Steps 4 to 8: imagine, retrieve, filter, score, pre-rank, select.

An answer is a function of its request, the catalogue, the tower and the model. Batch mates, processes and numbers of threads
change none of its numbers: everything but the model's two calls is computed per request, sums that a processor may reorder
are of whole numbers (models.retrieval.vectors), and scores are cut to six digits before anything depends on their order.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import msgspec
from msgspec import Struct

from models.catalogue import Catalogue
from models.entities import Candidate, Filtered, Item, PackedRequest, Request, ScoredItem, Tier, Trace, TriggerReason
from models.errors import DecodeError, RequestError, SerenError, UnknownVersion, UnsoundAnswer
from models.evidence import EvidencePolicy, reason
from models.imagining import ImaginePolicy, Wish, imagine
from models.prerank import Promise, SlatePolicy, prerank, shortlist
from models.profiles import ProfilePolicy, unpack
from models.retrieval import RetrievalPolicy, Retriever, distinct, filters, retrieve
from models.retrieval.filters import FilterPolicy
from models.season import Season
from models.selection import Selection, SelectionPolicy, select
from models.serengpt.aligned import aligned_score
from models.serengpt.answers import read_titles
from models.serengpt.asking import ask
from models.serengpt.engine import Engine, Scored, ScoreRequest
from models.serengpt.tokens import is_readable
from models.unexpectedness import UnexpectednessPolicy, likenesses, unexpectedness

_SEED_BYTES = 4
# Whose questions an engine with a queue takes first: those of a user who is here, before those of one whose profile moved.
PRIORITIES: dict[TriggerReason, int] = {"visit": 0, "search": 0, "drift": 1}


@dataclass(frozen=True, kw_only=True)
class ServePolicy:
    """Everything that shapes an answer beside the request, the catalogue and the models."""

    imagine_count: int = 30  # titles per request (papers.md 1.5.6)
    imagine: ImaginePolicy = field(default_factory=ImaginePolicy)
    score_limit: int = 60  # candidates that SerenGPT scores: a slate of 50 and a few to lose to the category cap
    retrieval: RetrievalPolicy = field(default_factory=RetrievalPolicy)
    filters: FilterPolicy = field(default_factory=FilterPolicy)
    unexpectedness: UnexpectednessPolicy = field(default_factory=UnexpectednessPolicy)
    combine: SlatePolicy = field(default_factory=SlatePolicy)
    selection: SelectionPolicy = field(default_factory=SelectionPolicy)
    evidence: EvidencePolicy = field(default_factory=EvidencePolicy)


class Answer(Struct, frozen=True, kw_only=True):
    """A slate before it is dated and published, and why it is what it is."""

    items: tuple[ScoredItem, ...]
    trace: Trace
    tier: Tier
    model_id: str


class Shortlisted(Struct, frozen=True, kw_only=True):
    """One request on its way between the model's two calls."""

    imagined: tuple[str, ...]
    candidates: tuple[Candidate, ...]
    promises: tuple[Promise, ...]
    filtered: tuple[Filtered, ...]
    likeness: dict[str, float | None]
    malformed: tuple[str, ...] = ()


def serve_batch(
    requests: Sequence[Request],
    *,
    engine: Engine,
    retriever: Retriever,
    catalogue: Catalogue,
    policy: ServePolicy,
    season: Season | None = None,
) -> list[Answer | SerenError]:
    """The answer to each request, or what was wrong with it.

    Args:
        requests: any users, any mix of reasons.
        engine: SerenGPT; asked once for the titles of all requests and once for all their scores, and once more where the
            policy chooses among samples.
        retriever: built from the catalogue; may be somewhat older, then its newest items are not found yet.
        catalogue: as it is now.
        policy: counts, weights and thresholds.
        season: what everybody wants these days; it counts where the policy gives timeliness a weight.

    Returns:
        One outcome per request, in order. A request that fails takes nothing from its batch mates.

    Raises:
        EngineError: the engine failed as a whole; no request has an answer, and `retriable` says what to do.
    """
    wishes = [
        Wish(request.digest, seed_of(request), request.seen.categories, PRIORITIES[request.reason]) for request in requests
    ]
    is_within = policy.imagine.is_within_catalogue and retriever.items_count <= policy.imagine.most_titles
    titles = retriever.titles if is_within else None
    imagined = imagine(wishes, count=policy.imagine_count, engine=engine, titles=titles, policy=policy.imagine)
    shortlisted = [
        _shortlisted(request, titles, retriever, catalogue, policy) for request, titles in zip(requests, imagined, strict=True)
    ]
    score = [
        one if isinstance(one, SerenError) else _score_request(request, one, catalogue)
        for request, one in zip(requests, shortlisted, strict=True)
    ]
    scored = _score(engine, score)
    return [
        _judged(request, one, scores, catalogue=catalogue, policy=policy, model_id=engine.model_id, season=season)
        for request, one, scores in zip(requests, shortlisted, scored, strict=True)
    ]


def serve_packed(
    packed: Sequence[PackedRequest],
    *,
    engine: Engine,
    retriever: Retriever,
    catalogue: Catalogue,
    policy: ServePolicy,
    profile: ProfilePolicy,
    season: Season | None = None,
) -> list[Answer | SerenError]:
    """`serve_batch` of requests as they come on their topic; `profile` is the policy of the workers that sent them.

    Raises:
        EngineError: see `serve_batch`.
        UnknownVersion: a newer release wrote one of the profiles; nothing was answered.
    """
    walk = partial(serve_batch, engine=engine, retriever=retriever, catalogue=catalogue, policy=policy, season=season)
    return serve_unpacked(packed, walk, catalogue=catalogue, profile=profile)


def serve_unpacked(
    packed: Sequence[PackedRequest],
    walk: Callable[[Sequence[Request]], list[Answer | SerenError]],
    *,
    catalogue: Catalogue,
    profile: ProfilePolicy,
) -> list[Answer | SerenError]:
    """Any walk over requests as they come on their topic; see `serve_packed`."""
    read = [_unpacked(one, catalogue, profile) for one in packed]
    answers = iter(walk([one for one in read if isinstance(one, Request)]))
    return [one if isinstance(one, SerenError) else next(answers) for one in read]


def _unpacked(packed: PackedRequest, catalogue: Catalogue, policy: ProfilePolicy) -> Request | DecodeError:
    try:
        return unpack(packed, catalogue, policy)
    except UnknownVersion:
        raise
    except DecodeError as error:
        return error


def seed_of(request: Request) -> int:
    """The request's own seed: the same wherever and however often it is answered.

    The epoch is left out: it says which worker's life asked, and a replay asks in another life.

    Returns:
        A whole number in [0, 2**31), which every sampler takes.
    """
    text = f"{request.user_id}|{request.offset}|{request.as_of_ms}"
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=_SEED_BYTES).digest(), "big") >> 1


def _score(engine: Engine, asks: Sequence[ScoreRequest | SerenError]) -> list[tuple[Scored, ...] | SerenError]:
    """The scores of all shortlists in one call; a request that failed or found nothing is not asked for."""
    outcomes: list[tuple[Scored, ...] | SerenError] = [ask if isinstance(ask, SerenError) else () for ask in asks]
    places = [place for place, ask in enumerate(asks) if not isinstance(ask, SerenError) and ask.titles]
    replies = ask(engine.score, [ask for ask in asks if not isinstance(ask, SerenError) and ask.titles])
    for place, reply in zip(places, replies, strict=True):
        outcomes[place] = reply
    return outcomes


def _shortlisted(
    request: Request, answer: Sequence[str] | SerenError, retriever: Retriever, catalogue: Catalogue, policy: ServePolicy
) -> Shortlisted | SerenError:
    """What the model wrote, read and looked for; an error where none of it is a title."""
    if isinstance(answer, SerenError):
        return answer
    read = read_titles(answer)
    if read.malformed and not read.titles:
        return read.malformed[0]
    found = shortlist_of(request, read.titles, retriever, catalogue, policy)
    return msgspec.structs.replace(found, malformed=tuple(error.text for error in read.malformed))


def shortlist_of(
    request: Request, titles: Sequence[str], retriever: Retriever, catalogue: Catalogue, policy: ServePolicy
) -> Shortlisted:
    """From titles to look for to the candidates that are worth a judge's time."""
    imagined = distinct(titles)
    candidates = retrieve(imagined, request.digest, retriever=retriever, policy=policy.retrieval)
    readable, unreadable = _readable(candidates, catalogue)
    kept, dropped = filters.apply(
        readable, request.exclusions, catalogue=catalogue, vector=retriever.item_vector, policy=policy.filters
    )
    items = [_item(catalogue, candidate.item_id) for candidate in kept]
    likeness = likenesses([retriever.item_vector(item) for item in items], retriever.history(request.digest))
    unexpected = [
        unexpectedness(item, request.seen, likeness=like, policy=policy.unexpectedness)
        for item, like in zip(items, likeness, strict=True)
    ]
    promises, passed_over = shortlist(kept, unexpected, limit=policy.score_limit)
    return Shortlisted(
        imagined=imagined,
        candidates=candidates,
        promises=promises,
        filtered=(*unreadable, *dropped, *passed_over),
        likeness={item.item_id: like for item, like in zip(items, likeness, strict=True)},
    )


def _readable(candidates: Sequence[Candidate], catalogue: Catalogue) -> tuple[tuple[Candidate, ...], tuple[Filtered, ...]]:
    """The candidates whose titles say something, and the others: one blank title must not fail the whole request."""
    found = ((one.item_id, catalogue.get(one.item_id)) for one in candidates)
    blank = {item_id for item_id, item in found if item is not None and not is_readable(item.title)}
    kept = tuple(one for one in candidates if one.item_id not in blank)
    return kept, tuple(Filtered(one.item_id, filters.UNREADABLE) for one in candidates if one.item_id in blank)


def _judged(
    request: Request,
    one: Shortlisted | SerenError,
    scores: tuple[Scored, ...] | SerenError,
    *,
    catalogue: Catalogue,
    policy: ServePolicy,
    model_id: str,
    season: Season | None,
) -> Answer | SerenError:
    """What is published for one request that SerenGPT has judged."""
    if isinstance(one, SerenError):
        return one
    if isinstance(scores, SerenError):
        return scores
    if len(scores) != len(one.promises):
        return RequestError(f"score: {len(scores)} scores of {len(one.promises)} titles; must be one each")
    try:
        aligned = [aligned_score(score) for score in scores]
    except ValueError as error:
        return UnsoundAnswer(f"score: {error}")
    return answered(
        request, one, aligned, catalogue=catalogue, policy=policy, tier="serengpt", model_id=model_id, season=season
    )


def answered(
    request: Request,
    one: Shortlisted,
    aligned: Sequence[float],
    *,
    catalogue: Catalogue,
    policy: ServePolicy,
    tier: Tier,
    model_id: str,
    season: Season | None = None,
) -> Answer:
    """What is published for one request whose candidates were judged.

    Args:
        request: the question.
        one: its candidates.
        aligned: what the judge says of each, in [0, 1].
        catalogue: as it is now.
        policy: weights, places, cap, temperature.
        tier: who the judge is; an answer without an item is of the tier `nothing`, whoever gave it.
        model_id: which judge.
        season: what everybody wants these days; None: not known.
    """
    judged = prerank(one.promises, aligned, policy=policy.combine, timeliness=season.timeliness if season else None)
    selection = select(
        judged,
        seed=seed_of(request),
        category=lambda item_id: _item(catalogue, item_id).leaf,
        policy=policy.selection,
    )
    items = _scored_items(selection, request, one.likeness, catalogue, policy.evidence)
    tier = tier if items else "nothing"
    trace = _trace(request, one, items, (*one.filtered, *selection.filtered), tier)
    return Answer(items=items, trace=trace, tier=tier, model_id=model_id)


def _scored_items(
    selection: Selection,
    request: Request,
    likeness: dict[str, float | None],
    catalogue: Catalogue,
    policy: EvidencePolicy,
) -> tuple[ScoredItem, ...]:
    return tuple(
        ScoredItem(
            item_id=judged.item_id,
            serendipity=judged.serendipity,
            relevance=judged.relevance,
            unexpectedness=judged.unexpectedness,
            aligned=judged.aligned,
            propensity=propensity,
            reason=reason(_item(catalogue, judged.item_id), request.digest, likeness=likeness[judged.item_id], policy=policy),
        )
        for judged, propensity in selection.drawn
    )


def _trace(
    request: Request, one: Shortlisted, items: tuple[ScoredItem, ...], filtered: tuple[Filtered, ...], tier: Tier
) -> Trace:
    return Trace(
        user_id=request.user_id,
        surface=request.surface,
        reason=request.reason,
        as_of_ms=request.as_of_ms,
        offset=request.offset,
        digest=request.digest,
        imagined=one.imagined,
        candidates=one.candidates,
        filtered=filtered,
        kept=items,
        tier=tier,
        malformed=one.malformed,
    )


def _score_request(request: Request, one: Shortlisted, catalogue: Catalogue) -> ScoreRequest:
    titles = tuple(_item(catalogue, promise.candidate.item_id).title for promise in one.promises)
    return ScoreRequest(digest=request.digest, titles=titles, priority=PRIORITIES[request.reason])


def _item(catalogue: Catalogue, item_id: str) -> Item:
    """An item that the catalogue is known to have."""
    return catalogue.at(catalogue.index(item_id))
