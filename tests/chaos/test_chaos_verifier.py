"""Laws of the verifier: a perfect end passes every check, and each planted fault fails the checks that are about it."""

from __future__ import annotations

import random
import zlib
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import islice

import pytest
from faust.types import TP

from models.entities import SerendipityLabel, Slate
from streams import codec, topics
from streams.chaos.feeder import Delivered
from streams.chaos.records import Fed, Records
from streams.chaos.verifier import Evidence, check, verify
from streams.knowledge import Knowledge
from streams.offline.route import Refusals, read_items
from streams.partition import Rules
from streams.recorded.logs import RecordedLog
from streams.recorded.replay import partition_of
from streams.simulation.broker import Record
from streams.simulation.oracle import Truth, truth
from streams.slates.packed import encode_slate
from streams.state import ProfileState, encode_profile_state

PARTITIONS = 2
RECORDS = 1_500
END_MS = 4_102_444_800_000
RULES = Rules(check_clock=False, label_digests=False)


@dataclass(frozen=True)
class End:
    """A perfect end, made of what the oracle says."""

    evidence: Evidence
    truth: Truth
    knowledge: Knowledge

    def failed(self, **changes: object) -> set[str]:
        """The names of the checks that fail when the end is another one in these respects."""
        return {one.name for one in verify(replace(self.evidence, **changes), self.truth) if not one.passed}

    def oracle_of(self, logs: dict[TP, list[Record]]) -> Truth:
        return truth(logs, partitions=PARTITIONS, knowledge=self.knowledge, rules=RULES)


@pytest.fixture(scope="module")
def end(small_log: RecordedLog) -> End:
    lines = [line for _, line in small_log.events()]
    dice = random.Random(7)
    stream = Records(dice, lambda: iter(lines), span_ms=0, partitions=PARTITIONS)
    logs: dict[TP, list[Record]] = defaultdict(list)
    fed = [*islice(stream, RECORDS), *(Fed("end", topics.EVENTS, None, None, number) for number in range(PARTITIONS))]
    delivered = [_deliver(one, logs) for one in fed]
    knowledge = Knowledge(read_items(small_log, Refusals()), max_tag_bytes=RULES.profile.short_term.max_tag_bytes)
    expected = truth(logs, partitions=PARTITIONS, knowledge=knowledge, rules=RULES)
    places = {tp: len(log) for tp, log in logs.items()}
    for letter in _letters(logs, delivered, expected):
        logs[TP(topics.DEAD_LETTERS, 0)].append(letter)
    for event_id in sorted(expected.labels):
        tp = TP(topics.LABELS, 0)
        logs[tp].append(_record(tp, len(logs[tp]), b"", codec.encode(_label(event_id))))
    for user_id, request in expected.newest.items():
        tp = TP(topics.REQUESTS, partition_of(user_id.encode(), range(PARTITIONS)))
        logs[tp].append(_record(tp, len(logs[tp]), user_id.encode(), codec.encode_request(request)))
        places[tp] = len(logs[tp])
    evidence = Evidence(
        logs=dict(logs),
        delivered=delivered,
        profiles=_stored(expected),
        slates={user: _slate(user, one.epoch, one.offset, one.as_of_ms) for user, one in expected.newest.items()},
        checkpoints={
            number: (places[TP(topics.EVENTS, number)], places.get(TP(topics.ATTRIBUTES, number), 0))
            for number in range(PARTITIONS)
        },
        committed=places,
        timers=dict.fromkeys(range(PARTITIONS), 0),
        partitions=PARTITIONS,
    )
    return End(evidence, expected, knowledge)


def _deliver(fed: Fed, logs: dict[TP, list[Record]]) -> Delivered:
    number = partition_of(fed.key or b"", range(PARTITIONS)) if fed.partition is None else fed.partition
    tp = TP(fed.topic, number)
    headers = [(topics.WATERMARK_HEADER, str(END_MS).encode())] if fed.kind == "end" else []
    logs[tp].append(_record(tp, len(logs[tp]), fed.key, fed.value, headers))
    crc = -1 if fed.value is None else zlib.crc32(fed.value)
    return Delivered(fed.kind, fed.topic, number, len(logs[tp]) - 1, fed.key, crc)


def _record(
    tp: TP, offset: int, key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes]] | None = None
) -> Record:
    return Record(tp.topic, tp.partition, offset, 0, key, value, headers or [])


def _letters(logs: dict[TP, list[Record]], delivered: list[Delivered], expected: Truth) -> list[Record]:
    known = {(one.topic, one.partition, one.offset): (one.error, one.reason) for one in expected.buried}
    letters = []
    for one in delivered:
        if one.kind != "malformed":
            continue
        error, reason = known.get((one.topic, one.partition, one.offset), ("DecodeError", "request: no"))
        headers = [
            ("topic", one.topic.encode()),
            ("partition", str(one.partition).encode()),
            ("offset", str(one.offset).encode()),
            ("error", error.encode()),
            ("reason", reason.encode()[:1024]),
        ]
        record = logs[TP(one.topic, one.partition)][one.offset]
        letters.append(_record(TP(topics.DEAD_LETTERS, 0), len(letters), record.key, record.value, headers))
    return letters


def _label(event_id: str) -> SerendipityLabel:
    return SerendipityLabel(
        event_id=event_id,
        user_id="u",
        item_id="i",
        title="t",
        category="c",
        ts_ms=1,
        partition=0,
        offset=0,
        channel=None,
        related_strict=False,
        related_loose=False,
        visit_days=3,
        digest=None,
    )


def _stored(expected: Truth) -> dict[str, bytes]:
    return {user: encode_profile_state(ProfileState(1, 0, 0, profile)) for user, profile in expected.profiles.items()}


def _slate(user_id: str, epoch: int, offset: int, as_of_ms: int) -> bytes:
    return encode_slate(
        Slate(
            user_id=user_id,
            surface="home",
            epoch=epoch,
            offset=offset,
            watermark_ms=as_of_ms,
            published_ms=1,
            soft_expiry_ms=2,
            model_id="m",
            tier="serengpt",
            items=(),
        )
    )


# ---------------------------------------------------------------------- nothing planted


def test_perfect_end_passes_every_check_and_each_has_looked_at_something(end: End) -> None:
    checks = verify(end.evidence, end.truth)
    assert [one.name for one in checks if not one.passed] == []
    assert min(one.looked_at for one in checks) > 0


def test_check_that_looked_at_nothing_fails() -> None:
    assert not check("slates", [], looked_at=0).passed


def test_check_names_five_failures_and_counts_the_others() -> None:
    found = check("slates", [f"user {number}" for number in range(9)], looked_at=9)
    assert found.failures == ("user 0", "user 1", "user 2", "user 3", "user 4", "and 4 more")


# ---------------------------------------------------------------------- planted in the profiles


def _changed_log(end: End, change: Callable[[list[Record], int], None]) -> dict[TP, list[Record]]:
    """The logs with one applied event of the first partition changed."""
    tp = TP(topics.EVENTS, 0)
    place = next(one.offset for one in reversed(end.evidence.delivered) if one.kind == "event" and one.partition == 0)
    log = list(end.evidence.logs[tp])
    change(log, place)
    return {**end.evidence.logs, tp: log}


def test_event_that_one_profile_lacks_is_lost(end: End) -> None:
    def lose(log: list[Record], place: int) -> None:
        del log[place]

    profiles = _stored(end.oracle_of(_changed_log(end, lose)))
    assert end.failed(profiles=profiles) == {"no event is lost", "profiles equal the sequential oracle's, byte for byte"}


def test_event_that_one_profile_has_twice_is_applied_twice(end: End) -> None:
    def double(log: list[Record], place: int) -> None:
        tp, old = TP(topics.EVENTS, 0), log[place]
        event_id = codec.decode_event(old.value or b"").event_id.encode()
        log[:] = [_record(tp, 2 * one.offset, one.key, one.value, list(one.headers)) for one in log]
        again = (old.value or b"").replace(event_id, event_id + b"'")  # so that the partition does not see that it is a retry
        log.insert(place + 1, _record(tp, 2 * place + 1, old.key, again))

    profiles = _stored(end.oracle_of(_changed_log(end, double)))
    assert "no event is applied twice" in end.failed(profiles=profiles)


def test_profile_that_is_not_there_is_lost(end: End) -> None:
    profiles = dict(end.evidence.profiles)
    del profiles[min(end.truth.profiles)]
    assert end.failed(profiles=profiles) == {"no event is lost", "profiles equal the sequential oracle's, byte for byte"}


# ---------------------------------------------------------------------- planted in the logs


def test_record_that_was_acknowledged_and_is_not_in_the_log_is_missing(end: End) -> None:
    tp = TP(topics.ATTRIBUTES, 0)
    logs = {**end.evidence.logs, tp: end.evidence.logs[tp][:-1]}
    assert "every record that was sent is in Kafka's log" in end.failed(logs=logs)


def test_malformed_record_without_a_dead_letter_is_found(end: End) -> None:
    tp = TP(topics.DEAD_LETTERS, 0)
    letters = list(end.evidence.logs[tp])
    del letters[next(at for at, one in enumerate(letters) if dict(one.headers)["topic"] == topics.EVENTS.encode())]
    kept = [_record(tp, place, one.key, one.value, list(one.headers)) for place, one in enumerate(letters)]
    assert end.failed(logs={**end.evidence.logs, tp: kept}) == {
        "malformed records are dead letters, with place, reason and bytes",
        "dead letters are the oracle's",
    }


def test_dead_letter_that_is_there_twice_is_fine(end: End) -> None:
    tp = TP(topics.DEAD_LETTERS, 0)
    letters = end.evidence.logs[tp]
    again = _record(tp, len(letters), letters[0].key, letters[0].value, list(letters[0].headers))
    assert end.failed(logs={**end.evidence.logs, tp: [*letters, again]}) == set()


def test_dead_letter_of_a_good_event_is_invented(end: End) -> None:
    tp = TP(topics.DEAD_LETTERS, 0)
    good = next(one for one in end.evidence.delivered if one.kind == "event")
    places = [("partition", str(good.partition).encode()), ("offset", str(good.offset).encode())]
    headers = [("topic", good.topic.encode()), *places, ("error", b"DecodeError"), ("reason", b"none")]
    letter = _record(tp, len(end.evidence.logs[tp]), good.key, b"", headers)
    assert end.failed(logs={**end.evidence.logs, tp: [*end.evidence.logs[tp], letter]}) == {"dead letters are the oracle's"}


def test_label_that_is_missing_is_found(end: End) -> None:
    tp = TP(topics.LABELS, 0)
    assert end.failed(logs={**end.evidence.logs, tp: end.evidence.logs[tp][:-1]}) == {"labels are the oracle's"}


# ---------------------------------------------------------------------- planted in the offsets


def test_partition_that_is_stuck_is_found(end: End) -> None:
    events, attributes = end.evidence.checkpoints[1]
    assert end.failed(checkpoints={**end.evidence.checkpoints, 1: (events - 1, attributes)}) == {
        "checkpoints are at the ends of their partitions",
        "committed offsets are at the ends, and not ahead of the state",
    }


def test_partition_with_a_lag_is_found(end: End) -> None:
    tp = TP(topics.REQUESTS, 0)
    committed = {**end.evidence.committed, tp: end.evidence.committed[tp] - 1}
    assert end.failed(committed=committed) == {"committed offsets are at the ends, and not ahead of the state"}


def test_timer_that_is_left_is_found(end: End) -> None:
    assert end.failed(timers={0: 0, 1: 3}) == {"no timer is left"}


# ---------------------------------------------------------------------- planted in the slates


def test_slate_that_is_missing_is_found(end: End) -> None:
    slates = dict(end.evidence.slates)
    del slates[min(slates)]
    assert end.failed(slates=slates) == {"every user's newest request has its slate"}


def test_slate_of_an_older_request_is_found(end: End) -> None:
    user, request = min(end.truth.newest.items())
    slates = {**end.evidence.slates, user: _slate(user, request.epoch, request.offset - 1, request.as_of_ms)}
    assert end.failed(slates=slates) == {"every user's newest request has its slate"}


def test_request_that_nobody_sent_is_found(end: End) -> None:
    user, request = min(end.truth.newest.items())
    tp = TP(topics.REQUESTS, partition_of(user.encode(), range(PARTITIONS)))
    log = [one for one in end.evidence.logs[tp] if one.value != codec.encode_request(request)]
    assert "the newest requests are the oracle's" in end.failed(logs={**end.evidence.logs, tp: log})
