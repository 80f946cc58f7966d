"""A recorded log, made large: copies of its customers, interleaved line by line, the orders of each dealt to several users.

Copy and hand stand behind the ids: event `536365-1` of user `17850` becomes `536365-1.7` of `17850.7.2` in copy 7 when its
order goes to hand 2. An order (a `visit` and what follows it) stays whole and goes to the customer's next hand; what comes
before a customer's first order belongs to hand 0. Order of time, items, quantities and the mix of types are the log's own, so
profiles grow as they do on it, a few orders shorter. Nothing is decoded: the bytes around the ids are copied. One log and one
plan give the same bytes always.

Knows nothing about Kafka; `streams.bench.loading` puts this on a topic.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from models.errors import LogError
from streams.recorded.logs import RecordedLog

# More hands than these leave a user with less than one order in ten of a busy customer: then there are more copies instead.
MAX_HANDS = 10
_WRITE_LINES = 20_000  # lines of the cached file that are written at once
# What the importers write. Another order of fields would be as valid on the wire, and is not worth decoding for.
_LINE = re.compile(rb'\{"event_id":"([^"\\]+)","user_id":"([^"\\]+)",(.+)\}')
_VISIT = b'"type":"visit"'


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How a log is amplified: the first `events` events of so many copies, which have so many users."""

    events: int
    users: int
    copies: int
    hands: int


def plan(log: RecordedLog, *, events: int, users: int) -> Plan:
    """Few copies of a log, and then the fewest hands, that give `events` events of at least `users` users.

    Copies are taken of the log's beginning where all of it would be too many events.

    Args:
        log: the log to be copied.
        events: exactly so many.
        users: at least so many.

    Returns:
        The plan; its `users` says how many there are.

    Raises:
        ValueError: every user takes events, and there are not enough for so many.
        LogError: as `amplified`.
    """
    lines = [(user, _VISIT in tail) for _, user, tail in _fields(log)]
    for copies in _more(-(-events // len(lines)), events):
        whole, rest = divmod(events, copies)
        fewer, more = _orders(lines[:whole]), _orders(lines[: whole + 1])  # the first copies may have one line more
        for hands in range(1, MAX_HANDS + 1):
            count = (copies - rest) * _dealt(fewer, hands) + rest * _dealt(more, hands)
            if count >= users:
                return Plan(events=events, users=count, copies=copies, hands=hands)
    message = f"users = {users} is more than {events} events of {log.folder} can have"
    raise ValueError(message)


def amplified(log: RecordedLog, plan: Plan) -> Iterator[tuple[bytes, bytes]]:
    """The events in order of time, each as (user id, wire JSON).

    Memory: a few integers per customer of the log.

    Raises:
        LogError: a line is none that an importer of this project writes; it names the line.
    """
    return islice(_all(log, plan), plan.events)


def _all(log: RecordedLog, plan: Plan) -> Iterator[tuple[bytes, bytes]]:
    event_ends = [b".%d" % copy for copy in range(plan.copies)]
    user_ends = [[b".%d.%d" % (copy, hand) for copy in range(plan.copies)] for hand in range(plan.hands)]
    orders: Counter[bytes] = Counter()
    for event, user, tail in _fields(log):
        if _VISIT in tail:
            orders[user] += 1
        hand = max(0, orders[user] - 1) % plan.hands
        head, rest = b'{"event_id":"' + event, b'",' + tail + b"}"
        for event_end, user_end in zip(event_ends, user_ends[hand], strict=True):
            name = user + user_end
            yield name, head + event_end + b'","user_id":"' + name + rest


def cached(log: RecordedLog, plan: Plan, folder: Path) -> Path:
    """The amplified log as a plain file of JSON Lines, which is written only when it is not there yet.

    Size: about 125 bytes an event.
    """
    path = folder / f"{log.folder.name}-{plan.events}-{plan.copies}x{plan.hands}.jsonl"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(f".{os.getpid()}")
        values = (value for _, value in amplified(log, plan))
        with unfinished.open("wb") as file:
            while lines := list(islice(values, _WRITE_LINES)):
                file.write(b"\n".join(lines) + b"\n")
        unfinished.replace(path)
    return path


def read(path: Path) -> Iterator[tuple[bytes, bytes]]:
    """The events of a cached file, as `amplified` gives them."""
    with path.open("rb") as file:
        for line in file:
            yield line.split(b'"', 8)[7], line[:-1]


def _fields(log: RecordedLog) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Event id, user id and the rest of each line."""
    for number, line in log.events():
        found = _LINE.fullmatch(line)
        if found is None:
            message = f"{log.folder}: line {number} does not begin with event_id and user_id: {line[:80]!r}"
            raise LogError(message)
        yield found[1], found[2], found[3]


def _more(least: int, most: int) -> Iterator[int]:
    """From the least to the most, in steps of a tenth: each is a pass over the lines."""
    while least < most:
        yield least
        least += max(1, least // 10)
    yield most


def _orders(lines: Iterable[tuple[bytes, bool]]) -> Counter[bytes]:
    """Orders of each user; 0 of one who only cancels."""
    orders: Counter[bytes] = Counter()
    for user, visit in lines:
        orders[user] += visit
    return orders


def _dealt(orders: Counter[bytes], hands: int) -> int:
    """Users of one copy. What comes before a customer's first order shares a hand with it."""
    return sum(max(1, min(hands, count)) for count in orders.values())
