"""What is fed: a recorded log, again and again, with producers' retries, changes of attributes, and records that are none.

A seed decides; the same seed gives the same records. Knows nothing about brokers.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Literal, NamedTuple

from msgspec.structs import replace

from models.entities import UserAttributes
from streams import codec, topics

# "item": of the catalogue; "end": the last record of a partition, which moves event time past every trigger.
Kind = Literal["event", "duplicate", "attributes", "malformed", "item", "end"]

# Shares of the records; the rest are events.
DUPLICATES, ATTRIBUTES, MALFORMED = 0.04, 0.02, 0.03
_FORGOTTEN = 0.1  # of the changes of attributes, those that forget all of a user's
_RETRIED = 8  # a retry repeats one of the user's last events; a profile knows the ids of the last 16
_TOWNS = ("Rome", "Turin", "Bath", "York", None)


class Fed(NamedTuple):
    """A record to send. `partition` None: the key decides."""

    kind: Kind
    topic: str
    key: bytes | None
    value: bytes | None
    partition: int | None = None


class Round(NamedTuple):
    """A log's events once more: other event ids and later times, and other users where they are new ones."""

    number: int
    span_ms: int
    new_users: bool = False

    def event(self, line: bytes) -> tuple[str, bytes]:
        """The user and the event's JSON in this round."""
        event = codec.decode_event(line)
        if not self.number:
            return event.user_id, line
        user_id = f"{event.user_id}~{self.number}" if self.new_users else event.user_id
        ts_ms = event.ts_ms if self.new_users else event.ts_ms + self.number * self.span_ms
        return user_id, codec.encode(replace(event, event_id=f"{event.event_id}~{self.number}", user_id=user_id, ts_ms=ts_ms))


class Records:
    """An endless stream of records.

    Args:
        dice: decides.
        events: gives the lines of a log's events anew at each call, in their order.
        span_ms: by how much each round is later than the one before.
        partitions: of the topics.
    """

    def __init__(self, dice: random.Random, events: Callable[[], Iterator[bytes]], *, span_ms: int, partitions: int) -> None:
        self._dice = dice
        self._events = events
        self._span_ms = span_ms
        self._partitions = partitions
        self._recent: dict[str, deque[bytes]] = {}

    def __iter__(self) -> Iterator[Fed]:
        """The records, for ever."""
        dice, round_number = self._dice, 0
        while True:
            turn = Round(round_number, self._span_ms)
            for line in self._events():
                user_id, value = turn.event(line)
                chance = dice.random()
                if chance < DUPLICATES and user_id in self._recent:
                    yield Fed("duplicate", topics.EVENTS, user_id.encode(), dice.choice(self._recent[user_id]))
                elif chance < DUPLICATES + ATTRIBUTES:
                    yield self._attributes(user_id)
                elif chance < DUPLICATES + ATTRIBUTES + MALFORMED:
                    yield self._malformed(user_id, value)
                self._recent.setdefault(user_id, deque(maxlen=_RETRIED)).append(value)
                yield Fed("event", topics.EVENTS, user_id.encode(), value)
            round_number += 1

    def _attributes(self, user_id: str) -> Fed:
        if self._dice.random() < _FORGOTTEN:
            return Fed("attributes", topics.ATTRIBUTES, user_id.encode(), None)
        attributes = {self._dice.choice(("age", "town", "club")): self._dice.choice(_TOWNS)}
        value = codec.encode(UserAttributes(user_id=user_id, attributes=attributes))
        return Fed("attributes", topics.ATTRIBUTES, user_id.encode(), value)

    def _malformed(self, user_id: str, value: bytes) -> Fed:
        dice, key = self._dice, user_id.encode()
        broken: Sequence[tuple[str, bytes | None, bytes | None]] = (
            (topics.EVENTS, key, value[:-7]),
            (topics.EVENTS, key, value.replace(b'"ts_ms":', b'"ts_ms":-')),
            (topics.EVENTS, key, value.replace(b'"type":"', b'"type":"un')),
            (topics.EVENTS, key, dice.randbytes(dice.randint(1, 200))),
            (topics.EVENTS, key, b""),
            (topics.EVENTS, key, None),
            (topics.EVENTS, key, b"[" * 5_000),
            (topics.EVENTS, b"somebody else", value),
            (topics.EVENTS, None, value),
            (topics.ATTRIBUTES, key, b'{"user_id":"' + key + b'"}'),
            (topics.ATTRIBUTES, b"somebody else", b'{"user_id":"' + key + b'","attributes":{"age":"35"}}'),
            (topics.ATTRIBUTES, b"", None),
            (topics.REQUESTS, key, b'{"user_id":"' + key + b'","surface":"home"}'),
            (topics.REQUESTS, key, dice.randbytes(40)),
        )
        topic, found, text = dice.choice(broken)
        return Fed("malformed", topic, found, text, dice.randrange(self._partitions))
