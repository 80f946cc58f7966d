"""What bounds each kind of worker."""

from __future__ import annotations

from dataclasses import dataclass, field

from models.value import ValuePolicy


@dataclass(frozen=True, kw_only=True)
class ProfilesLimits:
    """What bounds a profile worker."""

    # A profile is visible in Redis this long after its event, and what a checkpoint takes: below a second for 99 of 100.
    checkpoint_s: float = 0.5
    checkpoint_events: int = 50_000  # or after this many events, so that a crash repeats a bounded amount of work
    checkpoint_value_bytes: int = 67_108_864  # or after this much of values: they stay in memory, to start over from
    checkpoint_letter_bytes: int = 16_777_216  # or when dead letters hold this much: a flood of megabytes must not fill memory
    max_users: int = (
        200_000  # profiles in memory, over all partitions, and those of the last `durable_s`; the others are in Redis
    )
    # More users of a partition than this whose stored profiles cannot be read are no accident of single ones (the wrong Redis,
    # a broken disk): the worker stops instead of burying everybody's events.
    max_unreadable: int = 1_000
    profile_ttl_days: float = 400.0  # a user who stays away longer is forgotten
    release_s: float = 60.0  # how long a rebalance may wait for the last checkpoint: at most 0.2 x max.poll.interval
    idle_s: float = 10.0  # a checkpoint after this long without news; by then it is noticed that Redis restarted
    # What Redis has acknowledged is on disk after this. An append-only file that is flushed every second may lose 2 s when the
    # disk is slow; the third is for clocks.
    durable_s: float = 3.0
    # A partition that somebody took without a rebalance is nobody's when that somebody died: the process ends after this, and
    # its partitions are assigned anew. Longer than `kafka.session_timeout_s` (60 s), within which a rebalance would have come.
    lost_s: float = 90.0


@dataclass(frozen=True, kw_only=True)
class ProfilingLimits:
    """What bounds a profiling worker."""

    batch: int = 8  # users who are asked about together
    max_waiting: int = 1_000  # users who wait in memory; past it the partitions are held back
    # Questions in a row that failed: then it is not they who are wrong (a key, a model's name), and the worker stops.
    max_failures: int = 16


@dataclass(frozen=True, kw_only=True)
class JudgingLimits:
    """What bounds a judging worker."""

    batch: int = 8  # requests served together; more shares prompts better and makes the first one wait longer
    # Batches served at once, so that new requests enter while others are being written. One fits an engine that answers one
    # call at a time, as the embedded one does; vLLM merges what it is asked at once, and is kept busy by four to eight.
    side_by_side: int = 1
    attempts: int = 3  # tries of a request alone, after its batch has failed, before it goes to the dead letters
    attempt_s: float = 1.0  # between two of them: long enough for what was short of memory to recover
    # Requests in a row that used up their tries: then it is not they who are wrong, and the worker stops.
    max_failures: int = 16
    max_waiting: int = 1_000  # users who wait in memory; past it the partitions are held back
    settle_s: float = 3.0  # a slate counts as published when it is still there after this (`ProfilesLimits.durable_s`)
    soft_ttl_s: float = 86_400.0  # a slate older than this is stale (papers.md 1.6: 24 h)
    hard_ttl_s: float = 259_200.0  # and gone after this: stale while a new one is made, for three times the soft TTL at most
    tokens_per_s: float = 0.0  # what all workers of the tenant may compute together; 0: as much as they can
    tokens_saved_s: float = 60.0  # as many seconds' worth is saved up: a burst of visits is no reason to wait
    value: ValuePolicy = field(default_factory=ValuePolicy)  # who is served first when not everybody can be
