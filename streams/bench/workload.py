"""What every benchmark runs on: the beginning of a recorded log, read once, decoded and routed outside every measurement."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from models.entities import Event, Item
from streams import codec, topics
from streams.offline import LogRecord, Refusals, Router, read_items
from streams.partition import Rules
from streams.recorded.logs import RecordedLog


@dataclass(frozen=True, kw_only=True)
class Workload:
    """A log's beginning, with the attributes of its users.

    `rules` are a worker's defaults, except that there is no broker's clock to hold events against.
    """

    lines: list[tuple[int, bytes]]
    items: list[Item]
    users: list[tuple[int, LogRecord]]
    routed: list[tuple[int, LogRecord]]
    ends: dict[int, int]
    user_ids: set[str]
    last_ms: int
    rules: Rules

    def events(self) -> Iterator[tuple[int, Event]]:
        """The events, decoded, with their offsets."""
        for _, record in self.routed:
            yield record.offset, codec.decode_event(record.value or b"")


def load(log: RecordedLog, *, events: int) -> Workload:
    """The first `events` events of a log, with its items and users. Raises `LogError`."""
    refused = Refusals()
    router = Router(topics.USER_PARTITIONS, refused)
    lines = list(islice(log.events(), events))
    routed = list(router.events(lines))
    user_ids = set(router.user_ids)
    active = {user_id.encode() for user_id in user_ids}  # a user of later events would only add an almost empty profile
    return Workload(
        lines=lines,
        items=read_items(log, refused),
        users=[(number, record) for number, record in router.users(log.users()) if record.key in active],
        routed=routed,
        ends=dict(router.ends),
        user_ids=user_ids,
        last_ms=router.last_ms,
        rules=Rules(check_clock=False),
    )
