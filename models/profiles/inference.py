"""A language model's part in a profile: when to ask about it, what is shown, and how approved tags become state.

    ask       notes a question in the profile, when it moved enough or time has come      (papers.md 1.3: 15 days)
    shown     the items and queries of the last weeks, as the question shows them
    fold      an answer becomes tags; one to another question than the one that waits changes nothing
    retract   what was hidden or cancelled takes the tags with it that rest on nothing else
    ranked    what joins the levels of the digest

Everything is updated from what is new: an answer brings the tags of one window, the profile keeps them with pointers to their
evidence. What `fold` makes of an answer depends on the profile's own question and on what the user rejected, before or after,
and not on how many other events came between the two. Knows nothing about models, prompts or topics.
"""

from __future__ import annotations

import struct
from collections import Counter
from hashlib import blake2b

from models.entities import fingerprint
from models.profiles import possessions, short_term
from models.profiles.exchange import Finding, ProfileTags, ProfilingReason, Shown, Trait
from models.profiles.inferred import Inference, InferredTag, inference_bytes
from models.profiles.policy import DAY_MS, InferencePolicy, ProfilePolicy, day_of
from models.profiles.state import Deed, Profile

SCORE_UNIT = 10_000
_COUNT_MAX = 0xFFFF
_CYCLES_KEPT = 12  # answers that a tag remembers: two bytes
_QUESTION_BYTES = 32  # kept free for the next question and its answer: a sum and an offset of 9 bytes each, two counters
_NEGATIVE = frozenset({"cancel", "hide"})
_SHOWN = struct.Struct(">QI")

Inferred = list[tuple[str, float, tuple[int, ...]]]


def ask(profile: Profile, as_of_ms: int, policy: ProfilePolicy) -> ProfilingReason | None:
    """Notes a question when there is a reason for one, and says which; None changes nothing.

    Args:
        profile: the user's.
        as_of_ms: event time; that of the question.
        policy: of the profile.
    """
    reason = _reason(profile, as_of_ms, policy.inference)
    if reason is None:
        return None
    pieces = shown(profile, as_of_ms, policy)
    if not pieces:
        return None
    if profile.inference is None:
        profile.inference = Inference()
    inference = profile.inference
    inference.asked_ms, inference.asked_mass = as_of_ms, profile.mass
    inference.shown_sum = shown_sum(as_of_ms, pieces)
    _measure(profile, policy)
    return reason


def _reason(profile: Profile, as_of_ms: int, policy: InferencePolicy) -> ProfilingReason | None:
    if not policy.enabled or profile.positives < policy.first_positives or profile.mass <= 0.0:
        return None
    inference = profile.inference
    if inference is None or inference.asked_ms < 0:
        return "first"
    age_days = (as_of_ms - inference.asked_ms) / DAY_MS
    drift = 1.0 - inference.asked_mass / profile.mass
    if drift <= 0.0 or age_days < policy.cool_down_days:
        return None
    if drift >= policy.drift_ratio:
        return "drift"
    return "age" if age_days >= policy.refresh_days else None


def window(profile: Profile, as_of_ms: int, policy: ProfilePolicy) -> list[Deed]:
    """The behaviours of the last weeks that a question may rest on, oldest first: nothing that was taken back or rejected."""
    since_ms = as_of_ms - int(policy.inference.window_days * DAY_MS)
    refused = set(possessions.rejected(profile, day_of(as_of_ms), policy.possessions))
    return [
        deed
        for deed in profile.deeds
        if deed.ts_ms >= since_ms
        and deed.type not in _NEGATIVE
        and deed.text
        and (deed.type == "search" or fingerprint(deed.text) not in refused)
    ]


def pieces_of(deeds: list[Deed], policy: InferencePolicy) -> list[tuple[Shown, list[Deed]]]:
    """Each item and query of a window once, with its behaviours; in the order of their newest ones, the oldest first."""
    by_text: dict[tuple[bool, str], list[Deed]] = {}
    for deed in deeds:
        key = (deed.type == "search", deed.text)
        earlier = by_text.pop(key, [])
        by_text[key] = [*earlier, deed]
    newest = list(by_text.items())[-policy.max_shown :]
    return [(Shown(found[-1].offset, 0 if is_query else fingerprint(text)), found) for (is_query, text), found in newest]


def shown(profile: Profile, as_of_ms: int, policy: ProfilePolicy) -> list[Shown]:
    """What a question asked at `as_of_ms` shows."""
    return [piece for piece, _ in pieces_of(window(profile, as_of_ms, policy), policy.inference)]


def shown_sum(as_of_ms: int, pieces: list[Shown] | tuple[Shown, ...]) -> int:
    """A number that names a question by its time and by all that it shows; never 0."""
    body = b"".join([_SHOWN.pack(piece.offset, piece.name) for piece in pieces])
    return int.from_bytes(blake2b(as_of_ms.to_bytes(8, "big") + body, digest_size=8).digest(), "big") | 1


def fold(profile: Profile, answer: ProfileTags, offset: int, policy: ProfilePolicy) -> Counter[str]:
    """Makes an answer's tags part of the profile.

    Args:
        profile: the user's; it holds the question.
        answer: approved already; what it claims to have been shown is held against the question.
        offset: the answer's place in its topic.
        policy: of the profile.

    Returns:
        How many tags were taken (`taken`), left to the rules (`known`) and refused, by reason; `unasked` 1 where the question
        that waits is another one, or none.
    """
    outcome: Counter[str] = Counter()
    inference = profile.inference
    if inference is None:
        outcome["unasked"] = 1
        return outcome
    inference.offset = offset
    if inference.shown_sum == 0 or inference.shown_sum != shown_sum(answer.asked_ms, answer.shown):
        outcome["unasked"] = 1
        _measure(profile, policy)
        return outcome
    day = day_of(answer.asked_ms)
    refused = set(possessions.rejected(profile, day_of(max(profile.last_ms, answer.asked_ms)), policy.possessions))
    found = {}
    for finding in answer.short_term:
        tag = _tag_of(finding, answer.shown, refused, day, policy.inference, outcome)
        if tag is not None:
            found[f"{finding.family}:{finding.text}"] = tag
    for name, known in inference.short_term.items():
        _age(known, present=name in found, wanted=answer.wanted, matched=answer.matched.get(name, 0))
    _merge(inference.short_term, found, policy.inference)
    if answer.long_term is not None:
        _fold_traits(profile, inference, answer.long_term, day, policy, outcome)
    inference.answers = min(_COUNT_MAX, inference.answers + 1)
    inference.answered_ms, inference.shown_sum = answer.asked_ms, 0
    _expire(inference, day, policy.inference)
    _fit(inference, answer.asked_ms, policy.inference)
    _measure(profile, policy)
    return outcome


def retract(profile: Profile, name: int) -> None:
    """Takes the item of this fingerprint out of all evidence, and every tag with it that rests on nothing else."""
    inference = profile.inference
    if inference is None:
        return
    for level in (inference.short_term, inference.long_term):
        for text, tag in list(level.items()):
            if name in tag.names:
                left = [pair for pair in zip(tag.evidence, tag.names, strict=True) if pair[1] != name]
                tag.evidence, tag.names = tuple([pair[0] for pair in left]), tuple([pair[1] for pair in left])
                if not left:
                    del level[text]
    profile.inferred_bytes = inference_bytes(inference)


def ranked(inference: Inference, as_of_ms: int, policy: InferencePolicy) -> tuple[Inferred, Inferred]:
    """The traits and the tags that join the long-term and the short-term level at `as_of_ms`, best first."""
    return (
        _best([(name, tag.score / SCORE_UNIT, tag.evidence) for name, tag in inference.long_term.items()], policy),
        _best([(name, decayed(tag, as_of_ms, policy), tag.evidence) for name, tag in inference.short_term.items()], policy),
    )


def decayed(tag: InferredTag, as_of_ms: int, policy: InferencePolicy) -> float:
    """What is left of a tag's score."""
    age_ms = max(0, as_of_ms - tag.day * DAY_MS)
    return float(tag.score / SCORE_UNIT * 2.0 ** -min(age_ms / policy.half_life_ms, 64.0))


def _best(tags: Inferred, policy: InferencePolicy) -> Inferred:
    taken: Inferred = []
    per_family: Counter[str] = Counter()
    for entry in sorted(tags, key=lambda entry: (-entry[1], entry[0])):
        family = entry[0].partition(":")[0]
        if entry[1] >= policy.min_score and per_family[family] < policy.family_cap and len(taken) < policy.top:
            per_family[family] += 1
            taken.append(entry)
    return taken


def _tag_of(
    finding: Finding,
    pieces: tuple[Shown, ...],
    refused: set[int],
    day: int,
    policy: InferencePolicy,
    outcome: Counter[str],
) -> InferredTag | None:
    if any(place >= len(pieces) for place in finding.evidence):
        outcome["unknown_evidence"] += 1
        return None
    rests_on = sorted({(pieces[place].offset, pieces[place].name) for place in finding.evidence})
    rests_on = [piece for piece in rests_on if piece[1] not in refused][-policy.evidence_per_tag :]
    if not rests_on:
        outcome["rejected_evidence"] += 1
        return None
    outcome["taken"] += 1
    return _new_tag(finding.score, day, rests_on)


def _new_tag(score: float, day: int, rests_on: list[tuple[int, int]]) -> InferredTag:
    return InferredTag(
        score=round(score * SCORE_UNIT),
        day=day,
        evidence=tuple([offset for offset, _ in rests_on]),
        names=tuple([name for _, name in rests_on]),
    )


def _age(tag: InferredTag, *, present: bool, wanted: int, matched: int) -> None:
    """One more answer has come since the tag was first approved."""
    tag.cycles = (tag.cycles << 1 | present) & ((1 << _CYCLES_KEPT) - 1)
    tag.wanted = min(_COUNT_MAX, tag.wanted + wanted)
    tag.matched = min(_COUNT_MAX, tag.matched + min(matched, wanted))


def _merge(level: dict[str, InferredTag], found: dict[str, InferredTag], policy: InferencePolicy) -> None:
    """Refreshes the tags that are known and adds the others; evidence adds up, the newest stays."""
    for name, tag in found.items():
        known = level.get(name)
        if known is None:
            level[name] = tag
            continue
        pairs = {*zip(known.evidence, known.names, strict=True), *zip(tag.evidence, tag.names, strict=True)}
        newest = sorted(pairs)[-policy.evidence_per_tag :]
        known.score, known.day = tag.score, max(known.day, tag.day)
        known.evidence, known.names = tuple([offset for offset, _ in newest]), tuple([name_ for _, name_ in newest])


def _fold_traits(
    profile: Profile,
    inference: Inference,
    traits: tuple[Trait, ...],
    day: int,
    policy: ProfilePolicy,
    outcome: Counter[str],
) -> None:
    """Replaces the long-term level: a summary is made anew of all that was admitted. Evidence is that of its sources."""
    found = {}
    for trait in traits:
        if f"{trait.family}:{trait.text}" in profile.pool:
            outcome["known"] += 1  # the rules have it, and see for themselves whether it lasts
            continue
        rests_on: set[tuple[int, int]] = set()
        for source in trait.sources:
            rests_on.update(_evidence_of(profile, inference, source))
        newest = sorted(rests_on)[-policy.inference.evidence_per_tag :]
        if newest:
            outcome["taken"] += 1
            found[f"{trait.family}:{trait.text}"] = _new_tag(trait.score, day, newest)
        else:
            outcome["unknown_source"] += 1
    for name, known in inference.long_term.items():
        if name in found:
            found[name].cycles = (known.cycles << 1 | 1) & ((1 << _CYCLES_KEPT) - 1)
    inference.long_term = found


def _evidence_of(profile: Profile, inference: Inference, source: str) -> list[tuple[int, int]]:
    """Offsets and names behind a tag of ours, whoever made it."""
    tag = inference.short_term.get(source)
    if tag is not None:
        return list(zip(tag.evidence, tag.names, strict=True))
    belief = profile.pool.get(source)
    if belief is None:
        return []
    names = {deed.offset: fingerprint(deed.text) for deed in profile.deeds if deed.type != "search"}
    return [(offset, names.get(offset, 0)) for offset in belief.evidence]


def _expire(inference: Inference, day: int, policy: InferencePolicy) -> None:
    for level in (inference.short_term, inference.long_term):
        for name in [name for name, tag in level.items() if day - tag.day > policy.ttl_days]:
            del level[name]


def _fit(inference: Inference, as_of_ms: int, policy: InferencePolicy) -> None:
    """Lets the weakest go until the rest fits: tags that were in the fewest answers, then those of the lowest score."""
    while inference_bytes(inference) > policy.bytes - _QUESTION_BYTES:
        order = [
            (tag.cycles.bit_count() > 1, decayed(tag, as_of_ms, policy), name, level)
            for level, tags in enumerate((inference.short_term, inference.long_term))
            for name, tag in tags.items()
        ]
        if not order:
            return
        _, _, name, level = min(order)
        del (inference.short_term, inference.long_term)[level][name]


def _measure(profile: Profile, policy: ProfilePolicy) -> None:
    """Takes what the tags need out of the pool's budget."""
    profile.inferred_bytes = inference_bytes(profile.inference)
    if profile.pool_bytes + profile.inferred_bytes > policy.short_term.pool_bytes:
        short_term.prune(profile, policy.short_term)
