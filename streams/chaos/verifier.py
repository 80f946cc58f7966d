"""What is held against a run in its end. Every check says what it looked at, so that none passes by looking at nothing.

The oracle (`streams.simulation.oracle.truth`) is one sequential pass over each partition's log as Kafka has it; beside it
stands what the feeder knows by itself: which records it sent, and where the broker put them. Pure: knows nothing about how the
end was reached, nor about connections.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from faust.types import TP

from models.entities import PackedRequest
from models.errors import SerenError
from models.profiles import decode
from streams import codec, topics
from streams.chaos.feeder import Delivered
from streams.simulation.broker import Record
from streams.simulation.model import without_attributes
from streams.simulation.oracle import Truth
from streams.slates.packed import decode_slate
from streams.state import claims_only, decode_profile_state

REASON_BYTES = 1024  # a dead letter's reason is cut there
_NAMED = 5  # failures of one check that are named; the rest is counted
_CONSUMED = (topics.EVENTS, topics.ATTRIBUTES, topics.REQUESTS)


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What was found in Kafka and Redis after the drain.

    Attributes:
        logs: every record of every topic of ours.
        delivered: what the feeder sent, and where the broker put it.
        profiles, slates: the stored values by user.
        checkpoints: next offset of the events and of the attributes, by partition.
        committed: offsets of the groups.
        timers: how many are set, by partition.
    """

    logs: Mapping[TP, Sequence[Record]]
    delivered: Sequence[Delivered]
    profiles: Mapping[str, bytes]
    slates: Mapping[str, bytes]
    checkpoints: Mapping[int, tuple[int, int]]
    committed: Mapping[TP, int]
    timers: Mapping[int, int]
    partitions: int

    def counts(self) -> dict[str, int]:
        """What was found, for the report."""
        sizes = {topic: 0 for topic in sorted({tp.topic for tp in self.logs})}
        for tp, log in self.logs.items():
            sizes[tp.topic] += len(log)
        return {f"records in {topic}": size for topic, size in sizes.items()} | {
            "profiles": len(self.profiles),
            "slates": len(self.slates),
        }


@dataclass(frozen=True)
class Check:
    """One promise. `looked_at`: how many things were held against it."""

    name: str
    looked_at: int
    failures: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether it holds, of something."""
        return not self.failures and self.looked_at > 0


def check(name: str, failures: Iterable[str], *, looked_at: int) -> Check:
    """A check with its first failures named and the others counted."""
    found = list(failures)
    if len(found) > _NAMED:
        found[_NAMED:] = [f"and {len(found) - _NAMED} more"]
    return Check(name, looked_at, tuple(found))


def verify(evidence: Evidence, truth: Truth) -> list[Check]:
    """Every promise about the end."""
    logs, delivered = evidence.logs, evidence.delivered
    letters = [Letter.of(record) for record in logs.get(TP(topics.DEAD_LETTERS, 0), ())]
    malformed = [one for one in delivered if one.kind == "malformed"]
    counts = {user_id: applied(value) for user_id, value in evidence.profiles.items()}
    expected = events_by_user(delivered)
    requests = _requests(evidence)
    applied_ones = sum(expected.values())
    profiles = "profiles equal the sequential oracle's, byte for byte"
    dead = "malformed records are dead letters, with place, reason and bytes"
    lag = "committed offsets are at the ends, and not ahead of the state"
    return [
        check("every record that was sent is in Kafka's log", _missing_records(evidence), looked_at=len(delivered)),
        check("no event is lost", differences(expected, counts, sign=-1), looked_at=applied_ones),
        check("no event is applied twice", differences(expected, counts, sign=1), looked_at=applied_ones),
        check(profiles, _profiles(evidence, truth), looked_at=len(truth.profiles)),
        check(dead, _letters(letters, malformed), looked_at=len(malformed)),
        check("dead letters are the oracle's", _buried(letters, truth), looked_at=len(truth.buried)),
        check("labels are the oracle's", _labels(evidence, truth), looked_at=len(truth.labels)),
        check("checkpoints are at the ends of their partitions", _stuck(evidence), looked_at=len(evidence.checkpoints)),
        check(lag, _lag(evidence), looked_at=len(evidence.committed)),
        check("no timer is left", _timers(evidence), looked_at=len(evidence.timers)),
        check("every user's newest request has its slate", _slates(evidence, requests, letters), looked_at=len(requests)),
        check("the newest requests are the oracle's", _asked(requests, truth), looked_at=len(truth.newest)),
    ]


# ---------------------------------------------------------------------- what was sent


def _missing_records(evidence: Evidence) -> Iterator[str]:
    for tp, log in evidence.logs.items():
        gaps = [place for place, record in enumerate(log) if record.offset != place]
        if gaps:
            yield f"{tp.topic}/{tp.partition}: the log has no offset {gaps[0]}"
            return
    for one in evidence.delivered:
        log = evidence.logs.get(TP(one.topic, one.partition), ())
        record = log[one.offset] if one.offset < len(log) else None
        if record is None or record.key != one.key or _crc(record.value) != one.crc:
            yield f"{one.topic}/{one.partition}/{one.offset}: a {one.kind} was acknowledged there and is not"


def events_by_user(delivered: Iterable[Delivered]) -> Counter[str]:
    """How many events of each user were sent; a retry is none."""
    return Counter((one.key or b"").decode() for one in delivered if one.kind == "event")


def _crc(value: bytes | None) -> int:
    return -1 if value is None else zlib.crc32(value)


# ---------------------------------------------------------------------- profiles


def applied(value: bytes) -> int:
    """How many events a stored state holds."""
    return 0 if claims_only(value) else decode(decode_profile_state(value).profile).events


def differences(expected: Mapping[str, int], found: Mapping[str, int], *, sign: int) -> Iterator[str]:
    """Users of whose events fewer (`sign` -1) or more (1) were applied than were sent."""
    for user_id in sorted(expected.keys() | found.keys()):
        more = found.get(user_id, 0) - expected.get(user_id, 0)
        if more * sign > 0:
            yield f"user {user_id}: {found.get(user_id, 0)} events applied of {expected.get(user_id, 0)}"


def _profiles(evidence: Evidence, truth: Truth) -> Iterator[str]:
    for user_id, expected in sorted(truth.profiles.items()):
        value = evidence.profiles.get(user_id)
        if value is None or claims_only(value):
            yield f"user {user_id}: there is none"
            continue
        found = decode_profile_state(value).profile
        if found != expected:
            yield f"user {user_id}: {_told(found)}; the oracle has {_told(expected)}"
    for user_id in sorted(evidence.profiles.keys() - truth.profiles.keys()):
        yield f"user {user_id}: invented"


def _told(profile: bytes) -> str:
    read = decode(profile)
    return f"offset {read.offset}, {read.events} events"


# ---------------------------------------------------------------------- dead letters and labels


class Letter(NamedTuple):
    """A dead letter as it was found; `reason` as its bytes."""

    topic: str
    partition: int
    offset: int
    error: str
    reason: bytes
    key: bytes | None
    value: bytes | None

    @classmethod
    def of(cls, record: Record) -> Letter:
        """From its record."""
        header = dict(record.headers)
        place = (header["topic"].decode(), int(header["partition"]), int(header["offset"]))
        return cls(*place, header["error"].decode(), header["reason"], record.key, record.value)


def _letters(letters: Sequence[Letter], malformed: Sequence[Delivered]) -> Iterator[str]:
    by_place = {letter[:3]: letter for letter in letters}
    for one in malformed:
        letter = by_place.get((one.topic, one.partition, one.offset))
        if letter is None:
            yield f"{one.topic}/{one.partition}/{one.offset}: malformed, and no dead letter names it"
        elif letter.key != one.key or _crc(letter.value) != one.crc:
            yield f"{one.topic}/{one.partition}/{one.offset}: its dead letter holds other bytes"
        elif not letter.reason or not letter.error:
            yield f"{one.topic}/{one.partition}/{one.offset}: its dead letter gives no reason"


def _buried(letters: Sequence[Letter], truth: Truth) -> Iterator[str]:
    found = {letter[:5] for letter in letters if letter.topic != topics.REQUESTS}
    expected = {
        (one.topic, one.partition, one.offset, one.error, one.reason.encode(errors="replace")[:REASON_BYTES])
        for one in truth.buried
    }
    for place in sorted(expected - found):
        yield f"{place} is missing"
    for place in sorted(found - expected):
        yield f"{place} is invented"


def _labels(evidence: Evidence, truth: Truth) -> Iterator[str]:
    found = {
        codec.decode_label(record.value or b"").event_id
        for number in range(evidence.partitions)
        for record in evidence.logs.get(TP(topics.LABELS, number), ())
    }
    for event_id in sorted(truth.labels - found):
        yield f"{event_id} is missing"
    for event_id in sorted(found - truth.labels):
        yield f"{event_id} is invented"


# ---------------------------------------------------------------------- offsets


def _stuck(evidence: Evidence) -> Iterator[str]:
    for number in range(evidence.partitions):
        places = evidence.checkpoints.get(number, (0, 0))
        for topic, place in zip((topics.EVENTS, topics.ATTRIBUTES), places, strict=True):
            end = len(evidence.logs.get(TP(topic, number), ()))
            if place != end:
                yield f"{topic}/{number}: the checkpoint is at {place}, the log ends at {end}"


def _lag(evidence: Evidence) -> Iterator[str]:
    for topic in _CONSUMED:
        for number in range(evidence.partitions):
            tp = TP(topic, number)
            committed, end = evidence.committed.get(tp, 0), len(evidence.logs.get(tp, ()))
            if committed != end:
                yield f"{topic}/{number}: {committed} is committed, the log ends at {end}"
    for number, places in evidence.checkpoints.items():
        for topic, place in zip((topics.EVENTS, topics.ATTRIBUTES), places, strict=True):
            if evidence.committed.get(TP(topic, number), 0) > place:
                yield f"{topic}/{number}: {evidence.committed[TP(topic, number)]} is committed, the state ends at {place}"


def _timers(evidence: Evidence) -> Iterator[str]:
    for number, count in evidence.timers.items():
        if count:
            yield f"partition {number}: {count} timers, after all time has passed"


# ---------------------------------------------------------------------- requests and slates


def _requests(evidence: Evidence) -> dict[str, tuple[PackedRequest, TP, int]]:
    """Each user's newest request by fence, with its place."""
    newest: dict[str, tuple[PackedRequest, TP, int]] = {}
    for number in range(evidence.partitions):
        tp = TP(topics.REQUESTS, number)
        for record in evidence.logs.get(tp, ()):
            try:
                request = codec.decode_request(record.value or b"")
            except SerenError:
                continue
            other = newest.get(request.user_id)
            if other is None or (other[0].epoch, other[0].offset) <= (request.epoch, request.offset):
                newest[request.user_id] = (request, tp, record.offset)
    return newest


def _slates(
    evidence: Evidence, requests: Mapping[str, tuple[PackedRequest, TP, int]], letters: Iterable[Letter]
) -> Iterator[str]:
    refused = {letter[:3] for letter in letters}
    for user_id, (request, tp, offset) in sorted(requests.items()):
        if (tp.topic, tp.partition, offset) in refused:
            continue
        value = evidence.slates.get(user_id)
        if value is None:
            yield f"user {user_id}: no slate for the request of ({request.epoch}, {request.offset})"
            continue
        slate = decode_slate(value)
        found, wanted = (slate.epoch, slate.offset, slate.watermark_ms), (request.epoch, request.offset, request.as_of_ms)
        if found != wanted:
            yield f"user {user_id}: the slate is of {found}, the newest request of {wanted}"


def _asked(requests: Mapping[str, tuple[PackedRequest, TP, int]], truth: Truth) -> Iterator[str]:
    """The newest question about each user is the oracle's, whoever asked it."""
    for user_id, expected in sorted(truth.newest.items()):
        found = requests.get(user_id)
        if found is None:
            yield f"user {user_id}: nobody asked"
        elif _content(found[0]) != _content(expected):
            yield f"user {user_id}: asked at offset {found[0].offset}, the oracle at {expected.offset}"
    for user_id in sorted(requests.keys() - truth.newest.keys()):
        yield f"user {user_id}: asked for nothing"


def _content(request: PackedRequest) -> tuple[object, ...]:
    return request.reason, request.as_of_ms, request.partition, request.offset, without_attributes(request.profile)
