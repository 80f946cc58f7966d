"""The topics: names, keys, partitions, retention. The contract with whoever runs Kafka; `seren topics` makes them."""

from __future__ import annotations

from dataclasses import dataclass

DAY_MS = 86_400_000

EVENTS = "behaviour-events"
ITEMS = "items"
ATTRIBUTES = "user-attributes"
REQUESTS = "seren-requests"
DEAD_LETTERS = "seren-deadletter"
LABELS = "seren-labels"
PROFILING = "seren-profiling"
PROFILE_TAGS = "seren-profile-tags"
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

    `foreign`: others write it. The broker unfolds what they compressed and holds it against its bound of a batch (1 MiB): a
    consumer would see how large it is when it has it in memory. That costs the disk what compression would save.
    """

    name: str
    key: str
    partitions: int = USER_PARTITIONS
    compacted: bool = False
    retention_ms: int | None = None
    broker_times: bool = False
    foreign: bool = False
    nulls_ms: int = DAY_MS  # who follows the topic and is away for longer may miss that something was deleted

    @property
    def settings(self) -> dict[str, str]:
        """The topic's settings as Kafka names them."""
        found = {"cleanup.policy": ",".join(["compact"] * self.compacted + ["delete"] * (self.retention_ms is not None))}
        if self.compacted:
            found["delete.retention.ms"] = str(self.nulls_ms)
        if self.retention_ms is not None:
            found["retention.ms"] = str(self.retention_ms)
        if self.broker_times:
            found["message.timestamp.type"] = "LogAppendTime"
        if self.foreign:
            found["compression.type"] = "uncompressed"
        return found


TOPICS: dict[str, Topic] = {
    topic.name: topic
    for topic in (
        Topic(name=EVENTS, key="user_id", retention_ms=30 * DAY_MS, broker_times=True, foreign=True),
        Topic(name=ITEMS, key="item_id", partitions=1, compacted=True, foreign=True),
        Topic(name=ATTRIBUTES, key="user_id", compacted=True, nulls_ms=30 * DAY_MS, foreign=True),
        Topic(name=REQUESTS, key="user_id", retention_ms=2 * DAY_MS),
        Topic(name=DEAD_LETTERS, key="original", partitions=1, retention_ms=14 * DAY_MS),
        Topic(name=LABELS, key="user_id", retention_ms=90 * DAY_MS),
        Topic(name=PROFILING, key="user_id", retention_ms=2 * DAY_MS),
        Topic(name=PROFILE_TAGS, key="user_id", retention_ms=2 * DAY_MS),
        # Addresses are of content and hardly ever come again, so compaction alone would keep all of them for ever.
        Topic(name=SCORES, key="address", compacted=True, retention_ms=30 * DAY_MS),
    )
}
