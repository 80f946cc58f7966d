"""The topics: names, keys, partitions, retention. The contract with whoever runs Kafka; `seren topics create` makes them."""

from __future__ import annotations

from dataclasses import dataclass

DAY_MS = 86_400_000

EVENTS = "behaviour-events"
ITEMS = "items"
ATTRIBUTES = "user-attributes"
REQUESTS = "seren-requests"
DEAD_LETTERS = "seren-deadletter"
LABELS = "seren-labels"
SCORES = "seren-scores"

# One number for every topic that is keyed by user, so that a user's events, attributes and requests share a partition number
# and a worker owns all of them. Changing it later moves users between partitions: choose it for the largest cluster foreseen.
USER_PARTITIONS = 4

# A null record with this header on `behaviour-events` moves its partition's event time on; a replay ends with one each.
WATERMARK_HEADER = "seren-watermark-ms"


# On a null record: its key's user is to be forgotten (`streams.marks`).
FORGET_HEADER = "seren-forget"


@dataclass(frozen=True, kw_only=True)
class Topic:
    """One topic as it should exist. `retention_ms` None: kept for ever (compacted), null values for `nulls_ms`.

    A compacted topic with a retention keeps the newest record of each key, for so long.

    `broker_times`: a record's timestamp is when the broker appended it, and not what its producer says: the clock that events
    are held against must be set by nobody who sends them.
    """

    name: str
    key: str
    partitions: int = USER_PARTITIONS
    compacted: bool = False
    retention_ms: int | None = None
    broker_times: bool = False
    nulls_ms: int = DAY_MS  # who follows the topic and is away for longer may miss that something was deleted

    @property
    def settings(self) -> dict[str, str]:
        """The topic's settings as Kafka names them."""
        if self.compacted:
            policy = {"cleanup.policy": "compact", "delete.retention.ms": str(self.nulls_ms)}
            if self.retention_ms is None:
                return policy
            return policy | {"cleanup.policy": "compact,delete", "retention.ms": str(self.retention_ms)}
        times = {"message.timestamp.type": "LogAppendTime"} if self.broker_times else {}
        return {"cleanup.policy": "delete", "retention.ms": str(self.retention_ms)} | times


TOPICS: dict[str, Topic] = {
    topic.name: topic
    for topic in (
        Topic(name=EVENTS, key="user_id", retention_ms=30 * DAY_MS, broker_times=True),
        Topic(name=ITEMS, key="item_id", partitions=1, compacted=True),
        Topic(name=ATTRIBUTES, key="user_id", compacted=True, nulls_ms=30 * DAY_MS),
        Topic(name=REQUESTS, key="user_id", retention_ms=2 * DAY_MS),
        Topic(name=DEAD_LETTERS, key="original", partitions=1, retention_ms=14 * DAY_MS),
        Topic(name=LABELS, key="user_id", retention_ms=90 * DAY_MS),
        # Addresses are of content and hardly ever come again, so compaction alone would keep all of them for ever.
        Topic(name=SCORES, key="address", compacted=True, retention_ms=30 * DAY_MS),
    )
}
