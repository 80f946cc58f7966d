"""What happens in a world before anything fails: users' events and attributes, some of them late, twice, or no event at all.

Knows nothing about workers.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from faust.types import TP

from models.entities import Event, Item, UserAttributes
from models.profiles import ProfilePolicy
from models.profiles.policy import LongTermPolicy, WindowPolicy
from models.trigger import TriggerPolicy
from streams import codec, topics
from streams.knowledge import Knowledge
from streams.marks import REDRIVEN_HEADER
from streams.partition import Rules
from streams.simulation.loop import START_S

_PROFILE = ProfilePolicy(
    window=WindowPolicy(min_visit_days=1, visit_days=3),
    long_term=LongTermPolicy(cycle_days=2.0, cycles=4, min_cycles=2),
    recent_event_ids=2,  # so that only offsets can tell what was redelivered
)
# A log is replayed: event time jumps by days, whatever the clock says, and every byte is a function of the log.
REPLAYED = Rules(check_clock=False, profile=_PROFILE)
# A live topic: event time is the clock's, a quiet topic's time moves on by the worker's clock.
LIVE = Rules(profile=_PROFILE, trigger=TriggerPolicy(quiet_s=2.0, max_wait_s=8.0, cool_down_s=5.0))
DAY_MS = 86_400_000
_KINDS: Any = ["visit", "visit", "search", "click", "click", "purchase", "expose", "cart", "cancel", "hide"]
_PAUSES_S = [0, 5, 40, 700, 4_000, 86_400, 20 * 86_400]


class Sent(NamedTuple):
    """A record on its way to a topic."""

    at_s: float
    tp: TP
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]
    timestamp_ms: int  # -1: the broker's clock


@dataclass(frozen=True, kw_only=True)
class Workload:
    """Everything that is sent, in the order of time; the last record of each partition ends event time."""

    sent: list[Sent]
    users: dict[str, int]  # the partition of each
    partitions: int
    lasting_s: float
    live: bool

    @property
    def rules(self) -> Rules:
        """The rules that fit this kind of topic."""
        return LIVE if self.live else REPLAYED


def knowledge() -> Knowledge:
    """A small catalogue; some events name items that are not in it."""
    items = [
        Item(
            item_id=f"i{number}",
            title=f"thing {number}",
            category=("shop", f"leaf {number % 7}"),
            brand=f"brand {number % 3}",
            tags=(f"interest:hobby {number % 4}",),
        )
        for number in range(14)
    ]
    return Knowledge(items, max_tag_bytes=48)


def make_workload(dice: random.Random) -> Workload:
    """A world's records."""
    partitions, live = dice.randint(1, 3), dice.random() < 0.3
    users = {f"u{number}": dice.randrange(partitions) for number in range(dice.randint(2, 6))}
    count, lasting_s = dice.randint(15, 45), dice.choice([6.0, 12.0, 20.0])
    times = sorted(dice.uniform(0.0, lasting_s) for _ in range(count))
    clocks = dict.fromkeys(range(partitions), 0.0)
    sent: list[Sent] = []
    for number, at_s in enumerate(times):
        user = dice.choice(list(users))
        partition = users[user]
        clocks[partition] = at_s if live else clocks[partition] + dice.choice(_PAUSES_S)
        sent.append(_record(dice, number, user, partition, at_s, clocks[partition], live=live, sent=sent))
    sent += [_attributes(dice, users, lasting_s, live) for _ in range(dice.randint(0, 5))]
    sent += [_end(partition, lasting_s, max(clocks.values()), live) for partition in range(partitions)]
    if dice.random() < 0.2:
        foreign = TP(topics.REQUESTS, dice.randrange(partitions))
        sent.append(Sent(dice.uniform(0.0, lasting_s), foreign, b"u0", b'{"version":', (), -1))
    sent.sort(key=lambda one: one.at_s)
    return Workload(sent=sent, users=users, partitions=partitions, lasting_s=lasting_s, live=live)


def _record(
    dice: random.Random, number: int, user: str, partition: int, at_s: float, clock_s: float, *, live: bool, sent: list[Sent]
) -> Sent:
    tp, chance = TP(topics.EVENTS, partition), dice.random()
    retried = [one for one in sent[-3:] if one.tp == tp and one.value]
    redriven = [one for one in sent if one.tp == tp and one.headers]
    if redriven and dice.random() < 0.1:
        return dice.choice(redriven)._replace(at_s=at_s)
    if chance < 0.08 and retried:
        return retried[-1]._replace(at_s=at_s)
    late_s = dice.choice([0, 0, 0, 1] if live else [0, 0, 0, 0, 20, 500, 90_000])
    ts_ms = int(START_S * 1000) + round(max(0.0, clock_s - late_s) * 1000)
    kind = dice.choice(_KINDS)
    event = Event(
        event_id=f"e{number}",
        user_id=user,
        type=kind,
        ts_ms=ts_ms,
        item_id=None if kind in {"visit", "search"} else f"i{dice.randrange(16)}",
        query=f"leaf {dice.randrange(9)} hobby 2" if kind == "search" else None,
    )
    one = Sent(at_s, tp, user.encode(), codec.encode(event), (), -1 if live else ts_ms)
    if dice.random() < 0.06:
        one = one._replace(headers=((REDRIVEN_HEADER, f"{topics.EVENTS}/{partition}/{number}".encode()),))
    if chance > 0.95:
        return dice.choice([one._replace(value=(one.value or b"")[:-5]), one._replace(key=b"x"), one._replace(value=None)])
    return one


def _attributes(dice: random.Random, users: dict[str, int], lasting_s: float, live: bool) -> Sent:
    user = dice.choice(list(users))
    change = UserAttributes(user_id=user, attributes={dice.choice(["age", "town"]): dice.choice(["35", "Rome", None])})
    value = codec.encode(change) if dice.random() > 0.1 else b"{}"
    timestamp_ms = -1 if live else int(START_S * 1000)
    return Sent(dice.uniform(0, lasting_s), TP(topics.ATTRIBUTES, users[user]), user.encode(), value, (), timestamp_ms)


def _end(partition: int, lasting_s: float, clock_s: float, live: bool) -> Sent:
    """The last record: event time moves past every trigger, as a replay's end does."""
    last_ms = int(START_S * 1000) + round(clock_s * 1000) + 2 * DAY_MS
    header = (topics.WATERMARK_HEADER, str(last_ms).encode())
    return Sent(lasting_s, TP(topics.EVENTS, partition), None, None, (header,), -1 if live else last_ms)
