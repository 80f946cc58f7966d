"""The profile update alone, the engine without servers, and how large profiles become."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from dataclasses import replace
from statistics import median

from models.profiles import Profile, update
from streams import topics
from streams.bench.figures import Figure, Meaning, quantile, repeated
from streams.bench.workload import Workload
from streams.knowledge import Knowledge
from streams.offline import Engine, MemoryStates, States
from streams.partition import Rules

# About what one worker applies of one partition in the second between two checkpoints.
CHECKPOINT_EVENTS = 5_000


def knowledge_of(work: Workload) -> Knowledge:
    """The catalogue as a worker knows it."""
    return Knowledge(work.items, max_tag_bytes=work.rules.profile.short_term.max_tag_bytes)


def update_alone(work: Workload, *, runs: int) -> list[Figure]:
    """`models.profiles.update` on decoded events."""
    knowledge = knowledge_of(work)
    prepared = [
        (event, knowledge.features.get(event.item_id or ""), knowledge.query_tags.find(event.query or ""), offset)
        for offset, event in work.events()
    ]
    policy = work.rules.profile

    def measure() -> dict[str, float]:
        profiles: defaultdict[str, Profile] = defaultdict(Profile)
        started = time.process_time()
        for event, item, query_tags, offset in prepared:
            update(profiles[event.user_id], event, item, query_tags, offset=offset, policy=policy)
        return {"profile update": len(prepared) / (time.process_time() - started)}

    what = "models.profiles.update of decoded events; nothing else"
    return repeated(measure, {"profile update": Meaning("events/s per core", what)}, n=len(prepared), runs=runs)


async def through_engine(work: Workload, states: States) -> Engine:
    """Runs the workload through a fresh engine."""
    engine = Engine(
        states,
        knowledge=knowledge_of(work),
        rules=work.rules,
        partitions=topics.USER_PARTITIONS,
        checkpoint_events=CHECKPOINT_EVENTS,
    )
    await engine.start()
    await engine.attributes(work.users)
    await engine.events(work.routed)
    await engine.end(work.last_ms, work.ends)
    return engine


def engine_in_memory(work: Workload, *, runs: int) -> list[Figure]:
    """Everything that a worker does with a record, without a broker and without Redis; and the bytes of the profiles."""
    sizes: list[int] = []

    async def once(rules: Rules) -> float:
        states = MemoryStates()
        started = time.process_time()
        await through_engine(replace(work, rules=rules), states)
        seconds = time.process_time() - started
        sizes[:] = [len(profile) for profile in (await states.profiles(work.user_ids)).values()]
        return seconds

    def measure() -> dict[str, float]:
        return {
            "engine": len(work.routed) / asyncio.run(once(work.rules)),
            "replay": len(work.routed) / asyncio.run(once(replace(work.rules, label_digests=False))),
        }

    what = (
        f"decode, admit, apply, triggers, label digests, encode at a checkpoint every {CHECKPOINT_EVENTS:,} events; in memory"
    )
    meanings = {
        "engine": Meaning("events/s per core", what),
        "replay": Meaning("events/s per core", "the same without label digests, which a replay has nobody to send to"),
    }
    figures = repeated(measure, meanings, n=len(work.routed), runs=runs)
    meant = f"encoded profiles after {len(work.routed):,} events, at most 4096"
    return figures + [
        Figure(name=f"profile {name}", unit="bytes", what=meant, n=len(sizes), runs=(float(value),))
        for name, value in (("median", median(sizes)), ("p99", quantile(sizes, 0.99)), ("max", max(sizes)))
    ]
