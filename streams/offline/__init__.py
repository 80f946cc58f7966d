"""A recorded log straight through the engine, without a broker: the same partitions, offsets and profiles as through Kafka.

    route.py    each line goes to the partition that Kafka's default partitioner gives its user, with the offset it would get
    engine.py   decode, admit, apply, checkpoint, as a worker does; at the end event time moves past the log's end
    states.py   where states are kept: in memory, or through `streams.checkpoint` in Redis
    slates.py   answers to the requests that remain, as one digest

A log gives the same profiles, byte for byte, whatever the size of a batch, whenever a checkpoint is taken, and through Kafka
too; `profiles_digest` is what two replays are compared by. Knows nothing about clocks or Kafka connections.
"""

from __future__ import annotations

from streams.offline.engine import Engine
from streams.offline.route import Log, LogRecord, Refusals, Refused, Router, read_items
from streams.offline.states import MemoryStates, RedisStates, States, profiles_digest, stored_profiles

__all__ = [
    "Engine",
    "Log",
    "LogRecord",
    "MemoryStates",
    "RedisStates",
    "Refusals",
    "Refused",
    "Router",
    "States",
    "profiles_digest",
    "read_items",
    "stored_profiles",
]
