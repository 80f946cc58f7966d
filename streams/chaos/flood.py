"""A recorded log again and again as fast as a producer takes it: nothing is decoded, only ids and times are put in.

The first rounds have users of their own each; the rounds after them are later days of the same users, so that their number is
bounded and everybody's count of events is known. Knows nothing about who reads it.
"""

from __future__ import annotations

import re
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from confluent_kafka import KafkaError, Producer

from models.errors import LogError
from streams import topics

GENERATIONS = 20  # times the log's users: 87,000, of 180 MB in Redis
_LINE = re.compile(rb'\{"event_id":"([^"\\]+)","user_id":"([^"\\]+)",(.*)"ts_ms":(\d+)(.*\})')
_WAITING_RECORDS = 200_000  # of the producer: 40 MB
_STEP_S = 0.02
_FLUSH_S = 120.0


class Parts(NamedTuple):
    """A line around its ids and its time."""

    event: bytes
    user: bytes
    middle: bytes
    ts_ms: int
    tail: bytes


class Flood:
    """Endless events; everything about the n-th is known from n.

    Args:
        lines: of a log, in their order.

    Raises:
        LogError: a line is none that an importer of this project writes.
    """

    def __init__(self, lines: Iterable[bytes]) -> None:
        self._parts = [_parts(line) for line in lines]
        times = [one.ts_ms for one in self._parts]
        self._span_ms = max(times) - min(times) + 1

    def __iter__(self) -> Iterator[tuple[bytes, bytes]]:
        """The events as (user id, wire JSON), for ever."""
        number = 0
        while True:
            generation, shift_ms = number % GENERATIONS, number // GENERATIONS * self._span_ms
            for event, user, middle, ts_ms, tail in self._parts:
                name = b"%b~%d" % (user, generation)
                yield (
                    name,
                    b'{"event_id":"%b~%d","user_id":"%b",%b"ts_ms":%d%b'
                    % (event, number, name, middle, ts_ms + shift_ms, tail),
                )
            number += 1

    def counts(self, events: int) -> Counter[str]:
        """How many of the first `events` events each user has."""
        whole, rest = divmod(events, len(self._parts))
        once = Counter(one.user for one in self._parts)
        begun = Counter(one.user for one in self._parts[:rest])
        found: Counter[str] = Counter()
        for generation in range(min(GENERATIONS, whole + 1)):
            rounds = len(range(generation, whole, GENERATIONS))
            for user, count in once.items():
                last = begun[user] if whole % GENERATIONS == generation else 0
                found[(b"%b~%d" % (user, generation)).decode()] += rounds * count + last
        return +found


class Pump:
    """Sends a flood at a pace, in a thread of its own.

    Args:
        bootstrap: Kafka's address.
        flood: what to send.
    """

    def __init__(self, bootstrap: str, flood: Flood) -> None:
        self.sent = 0
        self.failures: list[str] = []
        self._events = iter(flood)
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "enable.idempotence": True,
                "partitioner": "murmur2_random",  # as Java's and aiokafka's: the key decides
                "linger.ms": 50,
                "batch.size": 1_000_000,
                "compression.type": "lz4",  # a backlog of minutes is on disk
                "queue.buffering.max.messages": _WAITING_RECORDS,
                "delivery.report.only.error": True,
                "on_delivery": self._note,
                "log_level": 0,
            }
        )

    def send(self, count: int) -> None:
        """So many events, as fast as they go."""
        for _ in range(count):
            key, value = next(self._events)
            while True:
                try:
                    self._producer.produce(topics.EVENTS, value, key)
                    break
                except BufferError:
                    self._producer.poll(0.05)
            self.sent += 1
        self._producer.poll(0)

    def pour(self, per_s: float, *, stop: threading.Event) -> None:
        """At this rate, or as near to it as this machine comes, until told to stop; then waits for the acknowledgements."""
        begun_s, before = time.monotonic(), self.sent
        while not stop.is_set():
            due = int((time.monotonic() - begun_s) * per_s) - (self.sent - before)
            self.send(min(due, int(per_s)))  # looks up once a second where the rate is out of reach
            if due < per_s * _STEP_S:
                time.sleep(_STEP_S)
        self.flush()

    def flush(self) -> None:
        """Waits until everything is acknowledged."""
        left = self._producer.flush(_FLUSH_S)
        if left:
            self.failures.append(f"{left} events were not acknowledged within {_FLUSH_S:.0f} s")

    def _note(self, error: KafkaError | None, _: object) -> None:
        self.failures.append(str(error))


def _parts(line: bytes) -> Parts:
    found = _LINE.fullmatch(line)
    if found is None:
        message = f"no line of an event that begins with event_id and user_id: {line[:80]!r}"
        raise LogError(message)
    return Parts(found[1], found[2], found[3], int(found[4]), found[5])
