"""A recorded log through the profiling stage: who is asked about, what was approved and refused, and the tags at the end.

Questions are asked every 15 days up to the start of the test part, as a worker would, and folded in as a worker would.
Rule-made tags come from profiles of their own, that have no language model's beside them. Knows nothing of the model itself.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from models.entities import POSITIVE_EVENTS, Event, fingerprint
from models.errors import DecodeError, LogError, SerenError
from models.profiles import Profile, ProfilePolicy, digest, encode, update
from models.profiles import inference as inferring
from models.profiles.exchange import ProfileTags, ProfilingRequest
from models.profiles.policy import DAY_MS
from models.profiling.pieces import Piece
from streams.codec import decode_event, decode_item
from streams.knowledge import Knowledge
from streams.recorded.logs import RecordedLog

Answer = Callable[[Sequence[ProfilingRequest]], list[ProfileTags | SerenError]]
Progress = Callable[[int, int], None]  # questions answered, of how many in this round


@dataclass(frozen=True, kw_only=True)
class Course:
    """How a log is gone through."""

    cut_ms: int  # where the past ends, and the last questions are asked
    rounds: int = 1  # of questions, `refresh_days` apart
    period_days: float = 28.0  # of the next period, which tags are held against
    limit: int = 300  # users, drawn evenly from those with a past and a next period
    batch: int = 8  # questions that are asked together


@dataclass(kw_only=True)
class Inferred:
    """What came of the questions of all rounds, and the tags (texts without family) of every user at the end, by maker."""

    users: int = 0  # drawn
    asked: int = 0
    answered: int = 0
    covered: int = 0  # answers with at least one tag
    failed: Counter[str] = field(default_factory=Counter)
    approved: Counter[str] = field(default_factory=Counter)  # by family, short-term
    refused: Counter[str] = field(default_factory=Counter)  # by reason
    folded: Counter[str] = field(default_factory=Counter)  # what the profiles made of it
    traits: int = 0
    new_tags: int = 0  # of `approved` in the last round: no rule-made tag says the same
    last_tags: int = 0
    most_bytes: int = 0  # of a profile
    tags: dict[str, dict[str, list[str]]] = field(default_factory=dict)  # maker -> user -> texts
    later: dict[str, list[Piece]] = field(default_factory=dict)

    @property
    def valid_evidence_ratio(self) -> float:
        """Of the candidates with a text, those whose evidence exists."""
        bad = self.refused["no_evidence"] + self.refused["unknown_evidence"]
        passed_over = sum(self.refused[reason] for reason in ("na", "malformed", "family", "too_many"))
        candidates = self.approved.total() + self.refused.total() - passed_over
        return 1.0 - bad / candidates if candidates else 0.0


def read_knowledge(log: RecordedLog, policy: ProfilePolicy) -> Knowledge:
    """The log's catalogue.

    Raises:
        LogError: it holds no items.
    """
    items = []
    for _, line in log.items():
        try:
            items.append(decode_item(line))
        except DecodeError:
            continue
    if not items:
        message = f"{log.folder}: items: 0 could be read, must be at least 1"
        raise LogError(message)
    return Knowledge(items, max_tag_bytes=policy.short_term.max_tag_bytes)


def infer_over_log(
    log: RecordedLog,
    knowledge: Knowledge,
    answer: Answer,
    *,
    policy: ProfilePolicy,
    course: Course,
    progress: Progress,
) -> Inferred:
    """Replays a log up to `cut_ms` with questions every `refresh_days`, the last one at `cut_ms`.

    Args:
        log: a log folder.
        knowledge: its catalogue.
        answer: the profiling stage.
        policy: of the profiles, with inference enabled.
        course: how far, and whom.
        progress: told how far a round is.
    """
    cut_ms, end_ms = course.cut_ms, course.cut_ms + int(course.period_days * DAY_MS)
    drawn = _drawn(log, cut_ms, end_ms, policy, course.limit)
    found = Inferred(users=len(drawn))
    asked = {user: Profile() for user in drawn}
    ruled = {user: Profile() for user in drawn}
    later: defaultdict[str, dict[str, None]] = defaultdict(dict)
    gap_ms = int(policy.inference.refresh_days * DAY_MS)
    moments = [cut_ms - gap_ms * number for number in range(course.rounds - 1, -1, -1)]
    for offset, event in _events(log):
        while moments and event.ts_ms >= moments[0]:
            _ask_all(found, asked, answer, moments.pop(0), policy, batch=course.batch, progress=progress)
        if event.ts_ms >= end_ms:
            break
        if event.user_id not in asked:
            continue
        if event.ts_ms >= cut_ms:
            if event.type in POSITIVE_EVENTS and event.item_id in knowledge.features:
                later[event.user_id][event.item_id] = None
            continue
        for profiles in (asked, ruled):
            _update(profiles[event.user_id], event, offset, knowledge, policy)
    for moment in moments:  # the log ends before
        _ask_all(found, asked, answer, moment, policy, batch=course.batch, progress=progress)
    found.later = {user: [_piece(item_id, knowledge) for item_id in items] for user, items in later.items()}
    _compare(found, asked, ruled, cut_ms, policy)
    return found


def _drawn(log: RecordedLog, cut_ms: int, end_ms: int, policy: ProfilePolicy, limit: int) -> set[str]:
    """Users with enough of a past in the window and something in the next period, drawn by their names alone."""
    recent: Counter[str] = Counter()
    later: set[str] = set()
    since_ms = cut_ms - int(policy.inference.window_days * DAY_MS)
    for _, event in _events(log):
        if event.ts_ms >= end_ms:
            break
        if event.type not in POSITIVE_EVENTS:
            continue
        if event.ts_ms >= cut_ms:
            later.add(event.user_id)
        elif event.ts_ms >= since_ms:
            recent[event.user_id] += 1
    fit = [user for user in later if recent[user] >= policy.inference.first_positives]
    return set(sorted(fit, key=lambda user: (fingerprint(user), user))[:limit])


def _ask_all(
    found: Inferred,
    profiles: Mapping[str, Profile],
    answer: Answer,
    at_ms: int,
    policy: ProfilePolicy,
    *,
    batch: int,
    progress: Progress,
) -> None:
    requests = []
    for user, profile in sorted(profiles.items()):
        reason = inferring.ask(profile, at_ms, policy)
        if reason is not None:
            packed = encode(profile)
            requests.append(
                ProfilingRequest(
                    user_id=user,
                    reason=reason,
                    as_of_ms=at_ms,
                    epoch=0,
                    partition=0,
                    offset=profile.offset,
                    profile=packed,
                )
            )
    found.asked += len(requests)
    for start in range(0, len(requests), batch):
        some = requests[start : start + batch]
        for request, outcome in zip(some, answer(some), strict=True):
            _note(found, profiles[request.user_id], outcome, policy)
        progress(start + len(some), len(requests))


def _note(found: Inferred, profile: Profile, outcome: ProfileTags | SerenError, policy: ProfilePolicy) -> None:
    if isinstance(outcome, SerenError):
        found.failed[type(outcome).__name__] += 1
        return
    found.answered += 1
    found.covered += bool(outcome.short_term)
    found.approved.update(tag.family for tag in outcome.short_term)
    found.refused.update(outcome.refused)
    found.traits += len(outcome.long_term or ())
    found.folded.update(inferring.fold(profile, outcome, found.answered, policy))
    found.most_bytes = max(found.most_bytes, len(encode(profile)))


def _compare(
    found: Inferred, asked: Mapping[str, Profile], ruled: Mapping[str, Profile], cut_ms: int, policy: ProfilePolicy
) -> None:
    """Everybody's tags at the end: the model's, the rules' in full, and as many of these, the best, as the model has."""
    model: dict[str, list[str]] = {}
    rules: dict[str, list[str]] = {}
    best: dict[str, list[str]] = {}
    joined: dict[str, list[str]] = {}
    for user, profile in asked.items():
        inferred = [] if profile.inference is None else inferring.ranked(profile.inference, cut_ms, policy.inference)[1]
        model[user] = [name.partition(":")[2] for name, _, _ in inferred]
        rules[user] = [tag.text for tag in digest(ruled[user], lambda _: None, cut_ms, policy).short_term]
        best[user] = rules[user][: len(model[user])]
        joined[user] = [tag.text for tag in digest(profile, lambda _: None, cut_ms, policy).short_term]
        found.last_tags += len(model[user])
        found.new_tags += len(set(model[user]) - set(rules[user]))
    found.tags = {
        "language model": model,
        "rules, as many tags": best,
        "rules, all tags": rules,
        "digest, both": joined,
    }


def _events(log: RecordedLog) -> Iterator[tuple[int, Event]]:
    for number, line in log.events():
        try:
            yield number, decode_event(line)
        except DecodeError:
            continue


def _update(profile: Profile, event: Event, offset: int, knowledge: Knowledge, policy: ProfilePolicy) -> None:
    item = knowledge.features.get(event.item_id) if event.item_id else None
    tags = knowledge.query_tags.find(event.query) if item is None and event.query else ()
    update(profile, event, item, tags, offset=offset, policy=policy)


def _piece(item_id: str, knowledge: Knowledge) -> Piece:
    item = knowledge.catalogue.get(item_id)
    tags = knowledge.features[item_id].tags
    return Piece(number=1, title=item.title if item else item_id, tags=tags, weight=1.0)
