"""The newest request of every user of a recorded log: what a judging worker would be asked about at its end."""

from __future__ import annotations

from dataclasses import replace

from streams.knowledge import Knowledge
from streams.offline.engine import Engine
from streams.offline.route import Log, Refusals, Router, read_items
from streams.offline.states import MemoryStates
from streams.partition import Rules

_BATCH = 1_000  # records at a time; shapes no request, and neither do the next two
_CHECKPOINT_EVENTS = 50_000
_MAX_USERS = 1_000_000


async def newest_requests(source: Log, *, rules: Rules, partitions: int) -> dict[str, bytes]:
    """Replays a log in memory.

    Args:
        source: the log; lines that cannot be used are passed over, as a worker would bury them.
        rules: of the profiles and triggers.
        partitions: as on the topic: a request's offset, and so its seed, is the record's in its partition.

    Returns:
        By user id the request as it would lie on its topic; users who never fired a trigger have none.
    """
    replayed = replace(rules, check_clock=False, label_digests=False)
    refused, states = Refusals(), MemoryStates()
    knowledge = Knowledge(read_items(source, refused), max_tag_bytes=rules.profile.short_term.max_tag_bytes)
    engine = Engine(
        states,
        knowledge=knowledge,
        rules=replayed,
        partitions=partitions,
        batch=_BATCH,
        checkpoint_events=_CHECKPOINT_EVENTS,
        max_users=_MAX_USERS,
    )
    router = Router(partitions, refused)
    await engine.start()
    await engine.attributes(router.users(source.users()))
    await engine.events(router.events(source.events()))
    await engine.end(router.last_ms, router.ends)
    return states.requests
