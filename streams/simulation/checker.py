"""What is held against a world: while it runs, that nothing visible goes back; at its end, that it is as the oracle says.

Knows nothing about how the end was reached.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from faust.types import TP

from models.entities import PackedRequest
from models.errors import SerenError
from models.fallback import nothing_for
from models.pipeline import Answer
from models.profiles import decode
from streams import codec, topics
from streams.keys import profile_key, slate_key
from streams.scores.record import decode_record
from streams.simulation.broker import Record
from streams.simulation.keyspace import Keyspace, Write
from streams.simulation.model import MODEL_ID, answer, answer_below
from streams.simulation.oracle import Buried, Truth, without_trigger
from streams.simulation.workers import SURFACE, TENANT
from streams.slates.packed import decode_slate
from streams.slates.record import ReadSlate
from streams.state import claims_only, decode_profile_state


class Published(NamedTuple):
    """A slate that Redis accepted, and whether there was none before."""

    at_s: float
    user_id: str
    slate: ReadSlate
    is_first: bool


class Watcher:
    """Looks at every write that Redis accepts.

    Args:
        failures: where to say what was wrong.
    """

    def __init__(self, failures: list[str]) -> None:
        self.writes = 0
        self.exact = True  # until Redis has lost writes: what was seen of them may be seen again
        self.published: list[Published] = []
        self._failures = failures

    def see(self, write: Write) -> None:
        """One write."""
        self.writes += 1
        if write.new is None or not write.key.startswith("seren:{"):
            return
        if write.key.endswith(f":slate:{SURFACE}"):
            self._see_slate(write)
        elif write.key.endswith(":profile") and write.old is not None:
            self._see_profile(write)

    def _see_profile(self, write: Write) -> None:
        old, new = decode_profile_state(write.old), decode_profile_state(write.new)
        if new.epoch < old.epoch or (self.exact and new.offset < old.offset):
            self._failures.append(
                f"{write.at_s:.3f} s: {write.key} went back from ({old.epoch}, {old.offset}) to ({new.epoch}, {new.offset})"
            )

    def _see_slate(self, write: Write) -> None:
        """Whatever its tier, a slate never replaces one of the same request or of a newer one."""
        new = decode_slate(write.new)
        user_id = write.key.partition("|")[2].partition("}")[0]
        self.published.append(Published(write.at_s, user_id, new, is_first=write.old is None))
        if write.old is None:
            return
        old = decode_slate(write.old)
        back = (new.epoch, new.offset) <= (old.epoch, old.offset)
        if back or (self.exact and new.offset < old.offset):
            self._failures.append(
                f"{write.at_s:.3f} s: {write.key} went back from ({old.epoch}, {old.offset}) to ({new.epoch}, {new.offset})"
            )


def check_published(published: Iterable[Published], logs: Mapping[TP, Iterable[Record]], *, was_away: bool) -> Iterable[str]:
    """What is wrong with any slate that was ever there: each must be what its tier says of its own request.

    Args:
        published: every slate that Redis accepted.
        logs: holds the requests.
        was_away: whether the model was away at some time; if not, no other tier may have answered.
    """
    asked: dict[tuple[str, int, int], PackedRequest] = {}
    for tp, records in logs.items():
        if tp.topic == topics.REQUESTS:
            asked.update({(one.user_id, one.epoch, one.offset): one for one in _requests(records)})
    for at_s, user_id, slate, is_first in published:
        where = f"{at_s:.3f} s: slate of {user_id} at ({slate.epoch}, {slate.offset})"
        request = asked.get((user_id, slate.epoch, slate.offset))
        if request is None:
            yield f"{where}: nobody asked for it"
        elif slate.model_id != MODEL_ID and not was_away:
            yield f"{where}: is of tier {slate.tier} although the model was never away"
        elif slate.tier == "nothing" and not is_first:
            yield f"{where}: nothing was put over what was there"
        elif _said(slate) != _expected(request, slate):
            yield f"{where}: {_said(slate)} should be {_expected(request, slate)}"


def check_end(
    keyspace: Keyspace,
    logs: Mapping[TP, Iterable[Record]],
    truth: Truth,
    *,
    live: bool,
    partitions: int,
    ignored: frozenset[str],
    was_away: bool,
) -> list[str]:
    """What is wrong with the end; nothing, if all is well. Nothing is asked of the users who are `ignored`.

    `was_away`: the model was away at some time, so a lower tier may have answered.
    """
    requests = [record for number in range(partitions) for record in logs.get(TP(topics.REQUESTS, number), ()) if record.value]
    names = {user_id.encode() for user_id in ignored}
    asked = [record for record in requests if record.key not in names]
    return [
        *_check_profiles(keyspace, truth, live=live),
        *_check_slates(keyspace, asked, truth, live=live, was_away=was_away),
        *_check_labels(logs, truth, partitions, names),
        *_check_letters(logs, requests, truth, names),
        *_check_scores(logs.get(TP(topics.SCORES, 0), ())),
    ]


def _check_profiles(keyspace: Keyspace, truth: Truth, *, live: bool) -> Iterable[str]:
    for user_id, expected in truth.profiles.items():
        value = keyspace.get(profile_key(TENANT, user_id))
        if value is None or claims_only(value):
            yield f"profile of {user_id}: there is none"
            continue
        found = decode_profile_state(value).profile
        same = without_trigger(found) == without_trigger(expected) if live else found == expected
        if not same:
            yield f"profile of {user_id}: {_difference(found, expected)}"


def _difference(found: bytes, expected: bytes) -> str:
    one, other = decode(found), decode(expected)
    parts = []
    for name in ("events", "offset", "attributes", "attributes_offset", "asked_ms", "pending"):
        if getattr(one, name) != getattr(other, name):
            parts.append(f"{name} {getattr(one, name)!r} should be {getattr(other, name)!r}")
    return ", ".join(parts) or "other bytes"


def _check_slates(keyspace: Keyspace, records: Iterable[Record], truth: Truth, *, live: bool, was_away: bool) -> Iterable[str]:
    newest: dict[str, PackedRequest] = {}
    for request in _requests(records):
        other = newest.get(request.user_id)
        if other is None or (other.epoch, other.offset) < (request.epoch, request.offset):
            newest[request.user_id] = request
    for user_id, request in sorted(newest.items()):
        value = keyspace.get(slate_key(TENANT, user_id, SURFACE))
        slate = None if value is None else decode_slate(value)
        yield from _check_slate(user_id, slate, request, fenced=True, was_away=was_away)
        if not live and user_id in truth.newest:
            yield from _check_slate(user_id, slate, truth.newest[user_id], fenced=False, was_away=was_away)
    if not live:
        for user_id in sorted(truth.newest.keys() - newest.keys()):
            yield f"request of {user_id}: there is none"


def _check_slate(
    user_id: str, slate: ReadSlate | None, request: PackedRequest, *, fenced: bool, was_away: bool
) -> Iterable[str]:
    """Where the tier below has no item for the newest request, the last good slate may be there in its place.

    That may be of the same event, too: a new owner asks again what its predecessor had been answered.
    """
    [expected], [below] = answer([request]), answer_below([request])
    if isinstance(expected, SerenError):
        return
    if slate is None:
        yield f"slate of {user_id}: there is none"
        return
    is_of_before = fenced and slate.epoch < request.epoch
    if is_of_before and slate.watermark_ms > request.as_of_ms:  # the fence keeps what is of the later event time
        return
    is_older = slate.offset < request.offset or (is_of_before and slate.offset == request.offset)
    if was_away and is_older and isinstance(below, Answer) and not below.items:
        return
    found = (slate.offset, slate.watermark_ms, *_said(slate))
    wanted = (request.offset, request.as_of_ms, *_expected(request, slate))
    if found != wanted:
        yield f"slate of {user_id}: {found} should be {wanted}"
    if fenced and slate.epoch != request.epoch:
        yield f"slate of {user_id}: epoch {slate.epoch} should be {request.epoch}"


def _said(slate: ReadSlate) -> tuple[str, str, list[str]]:
    return slate.tier, slate.model_id, [item.item_id for item in slate.items]


def _expected(request: PackedRequest, slate: ReadSlate) -> tuple[str, str, list[str]]:
    """What the tier that made a slate says of a request."""
    if slate.model_id == MODEL_ID:
        [outcome] = answer([request])
    else:
        [outcome] = answer_below([request])
        if isinstance(outcome, Answer) and not outcome.items:
            outcome = nothing_for(request)
    if isinstance(outcome, SerenError):
        return "", "", []
    return outcome.tier, outcome.model_id, [item.item_id for item in outcome.items]


def _requests(records: Iterable[Record]) -> Iterator[PackedRequest]:
    for record in records:
        try:
            yield codec.decode_request(record.value or b"")
        except SerenError:
            continue


def _check_labels(logs: Mapping[TP, Iterable[Record]], truth: Truth, partitions: int, ignored: set[bytes]) -> Iterable[str]:
    found = {
        codec.decode_label(record.value or b"").event_id
        for number in range(partitions)
        for record in logs.get(TP(topics.LABELS, number), ())
        if record.key not in ignored
    }
    if found != truth.labels:
        yield f"labels: {sorted(truth.labels - found)} are missing, {sorted(found - truth.labels)} are invented"


def _check_letters(
    logs: Mapping[TP, Iterable[Record]], requests: Iterable[Record], truth: Truth, ignored: set[bytes]
) -> Iterable[str]:
    found = set()
    for record in logs.get(TP(topics.DEAD_LETTERS, 0), ()):
        header = {name: value.decode() for name, value in record.headers}
        place = (header["topic"], int(header["partition"]), int(header["offset"]))
        if header["error"] == "UnreadableProfile" and record.key in ignored:
            continue
        found.add(Buried(*place, header["error"], header["reason"]))
    for missing in sorted(truth.buried - found):
        yield f"dead letters: {missing} is missing"
    places = {one[:3] for one in found}
    for record in requests:
        try:
            codec.decode_request(record.value or b"")
        except SerenError:
            if (record.topic, record.partition, record.offset) not in places:
                yield f"dead letters: the request at {record.partition}/{record.offset} is missing"
    invented = {one for one in found if one.topic != topics.REQUESTS} - truth.buried
    if invented:
        yield f"dead letters: {sorted(invented)} are invented"


def _check_scores(records: Iterable[Record]) -> Iterable[str]:
    """Every answer on the topic is believed by its next reader, and one question has one answer."""
    answers: dict[bytes, bytes] = {}
    for record in records:
        key, value = record.key or b"", record.value or b""
        try:
            decode_record(value, key=key)
        except SerenError as error:
            yield f"score log: {error}"
        if answers.setdefault(key, value) != value:
            yield f"score log: two answers to {key.decode()}"
