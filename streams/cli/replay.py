"""`seren replay`: a recorded log through the engine in this process, or into Kafka.

Exit codes: 0 done, 1 two replays differ (`--verify`), 2 an error.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from streams.cli.options import config_option, json_option, print_json, settings_of
from streams.cli.progress import Advance, progress
from streams.cli.replay_slates import open_scores, serve_requests, served_again

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from streams.config import Settings
    from streams.offline import Log, Refusals

# The second replay of --verify: other batches, other checkpoints, and users who go to the store and come back.
_VERIFY_BATCH, _VERIFY_CHECKPOINT_EVENTS, _VERIFY_MAX_USERS = 97, 7_001, 500
_WITHOUT_BOUND = 2**60
_LOOK_S = 0.1

_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True)
class Cut:
    """How a replay through the engine is cut into pieces; shapes no result."""

    batch: int
    checkpoint_events: int
    max_users: int


@click.command("replay")
@click.argument("log")
@click.option("--engine", "target", flag_value="engine", default="engine", help="Straight through the engine (the default).")
@click.option("--to-kafka", "target", flag_value="kafka", help="Into the configured Kafka, for running workers.")
@click.option("--items", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Items for a bare file of events.")
@click.option("--partitions", type=click.IntRange(1, 1024), default=4, show_default=True, help="--engine: partitions.")
@click.option("--batch", type=click.IntRange(min=1), default=1_000, show_default=True, help="--engine: records at a time.")
@click.option("--redis", "redis_url", metavar="URL", help="--engine: keep states here, fenced, not in memory.")
@click.option("--tenant", help="Tenant in Redis; overrides the configuration.")
@click.option("--verify", is_flag=True, help="--engine: replay again, cut differently, and compare profiles and slates.")
@click.option("--slates", is_flag=True, help="--engine: also answer the newest request of every user.")
@click.option("--slate-limit", type=click.IntRange(min=1), help="--slates: the first users only, by id.")
@click.option("--scores", metavar="FILE|topic", help="--slates: a score log; the model is asked what it lacks, FILE gets it.")
@click.option("--speed", type=click.FloatRange(min=0.0), default=0.0, help="--to-kafka: seconds of the log per second.")
@click.option("--wait", is_flag=True, help="--to-kafka: until workers have applied everything; digests their profiles.")
@config_option
@json_option
def replay(
    *,
    log: str,
    target: str,
    items: Path | None,
    partitions: int,
    batch: int,
    redis_url: str | None,
    tenant: str | None,
    verify: bool,
    slates: bool,
    slate_limit: int | None,
    scores: str | None,
    speed: float,
    wait: bool,
    config: Path | None,
    as_json: bool,
) -> None:
    """Replay LOG: a log folder, the name of a shipped log, or a bare events file (.jsonl or .jsonl.zst)."""
    _check_target(
        target, engine_only=verify or slates or slate_limit is not None or scores is not None, kafka_only=wait or speed > 0
    )
    if scores is not None and not slates:
        message = "--scores is for --slates: without them, no model is asked"
        raise click.UsageError(message)
    settings = settings_of(config)
    source, total = _open(log, items)
    tenant = tenant or settings.redis.tenant
    if target == "kafka":
        url = redis_url or settings.redis.url
        with progress(log, total) as advance:
            outcome = asyncio.run(_into_kafka(source, settings, url, tenant, speed=speed, wait=wait, advance=advance))
    else:
        cut = Cut(batch=batch, checkpoint_events=settings.profiles.checkpoint_events, max_users=settings.profiles.max_users)
        with progress(log, total) as advance:
            outcome, requests = asyncio.run(
                _through_engine(source, settings, redis_url, tenant, partitions=partitions, cut=cut, advance=advance)
            )
        again = requests
        if verify:
            with progress(f"{log}, cut differently", total) as advance:
                found, again = _verified(outcome, source, settings, partitions=partitions, batch=batch, advance=advance)
                outcome |= found
        if slates:
            known = open_scores(scores, settings)
            outcome["slates"] = serve_requests(source, settings, requests, limit=slate_limit, scores=known)
        if slates and verify:
            outcome["slates_again"] = served_again(
                outcome["slates"], source, settings, again, limit=slate_limit, where=scores, scores=known
            )
            outcome["verified"] = outcome["verified"] and outcome["slates_again"]["same"]
    print_json(outcome) if as_json else _show(outcome)
    if outcome.get("verified") is False:
        click.echo("seren: the two replays differ", err=True)
        sys.exit(1)


def _check_target(target: str, *, engine_only: bool, kafka_only: bool) -> None:
    if target == "kafka" and engine_only:
        message = "--verify, --slates and --scores are for --engine; with --to-kafka, the workers do the work"
        raise click.UsageError(message)
    if target == "engine" and kafka_only:
        message = "--wait and --speed are for --to-kafka; the engine goes as fast as it can"
        raise click.UsageError(message)


# ---------------------------------------------------------------------- through the engine


async def _through_engine(
    source: Log,
    settings: Settings,
    redis_url: str | None,
    tenant: str,
    *,
    partitions: int,
    cut: Cut,
    advance: Advance,
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """What the replay found, and the newest request of every user."""
    from streams.knowledge import Knowledge
    from streams.offline import Engine, MemoryStates, RedisStates, Refusals, Router, read_items
    from streams.state import PartitionStore, ProfileStore

    refused = Refusals()
    started_s = time.monotonic()
    # Labels are counted here and go to no topic, so nobody would read the digests in them.
    rules = replace(settings.rules, check_clock=False, label_digests=False)
    knowledge = Knowledge(read_items(source, refused), max_tag_bytes=rules.profile.short_term.max_tag_bytes)
    async with _redis(redis_url) as redis:
        states: MemoryStates | RedisStates = MemoryStates()
        if redis is not None:
            states = RedisStates(ProfileStore(redis, tenant=tenant), PartitionStore(redis, tenant=tenant))
        engine = Engine(states, knowledge=knowledge, rules=rules, partitions=partitions, **asdict(cut))
        router = Router(partitions, refused)
        await engine.start()
        await engine.attributes(router.users(source.users()))
        await engine.events(_counted(router.events(source.events()), advance))
        await engine.end(router.last_ms, router.ends)
        seconds = time.monotonic() - started_s
        profiles = await states.profiles(router.user_ids)
    events = sum(router.ends.values())
    outcome = {
        "target": "engine",
        "store": "memory" if redis_url is None else "redis",
        "partitions": partitions,
        "events": events,
        "users": len(profiles),
        "items": len(knowledge.catalogue),
    }
    outcome |= _found(engine.counts, profiles, refused)
    return outcome | {"seconds": round(seconds, 3), "events_per_s": round(events / seconds, 1)}, states.requests


def _found(counts: Counter[str], profiles: Mapping[str, bytes], refused: Refusals) -> dict[str, Any]:
    from streams.offline import profiles_digest

    return {
        "requests": {name.removeprefix("requests_"): counts[name] for name in sorted(counts) if name.startswith("requests_")},
        "labels": counts["labels"],
        "duplicates": counts["duplicates"],
        "already_applied": counts["already_applied"] + counts["redelivered"],
        "unknown_items": counts["unknown_items"],
        "dead_letters": _refusals(refused),
        "checkpoints": counts["checkpoints"],
        "evicted": counts["evicted"],
        "profile_bytes_max": max(map(len, profiles.values()), default=0),
        "profiles_sha256": profiles_digest(profiles),
    }


def _verified(
    first: Mapping[str, Any], source: Log, settings: Settings, *, partitions: int, batch: int, advance: Advance
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """A second replay, always in memory, and whether it ends in the same profiles; and its requests."""
    cut = Cut(
        batch=_VERIFY_BATCH if batch != _VERIFY_BATCH else _VERIFY_BATCH + 1,
        checkpoint_events=_VERIFY_CHECKPOINT_EVENTS,
        max_users=_VERIFY_MAX_USERS,
    )
    again, requests = asyncio.run(_through_engine(source, settings, None, "", partitions=partitions, cut=cut, advance=advance))
    found = {
        "verified": first["profiles_sha256"] == again["profiles_sha256"],
        "again": {name: again[name] for name in ("checkpoints", "evicted", "seconds", "profiles_sha256")} | asdict(cut),
    }
    return found, requests


# ---------------------------------------------------------------------- into Kafka


async def _into_kafka(
    source: Log, settings: Settings, redis_url: str, tenant: str, *, speed: float, wait: bool, advance: Advance
) -> dict[str, Any]:
    from streams.admin import create_topics
    from streams.offline import profiles_digest, stored_profiles
    from streams.recorded.playback import Consumers, feed
    from streams.recorded.replay import Pace
    from streams.state import PartitionStore, ProfileStore
    from streams.topics import USER_PARTITIONS

    # Where clients cannot make topics, the broker is the embedded one, which drops what consumers have not read in time.
    embedded = not settings.kafka.manage_topics
    pace = Pace(speed=speed) if embedded else Pace(speed=speed, ahead_bytes=_WITHOUT_BOUND, ahead_messages=_WITHOUT_BOUND)
    if not embedded:
        await create_topics(settings.kafka.bootstrap)
    async with _redis(redis_url) as redis:
        assert redis is not None
        consumers = Consumers(PartitionStore(redis, tenant=tenant), partitions=USER_PARTITIONS)
        started_s = time.monotonic()
        fed = await feed(source, settings.kafka.bootstrap, consumed=consumers.awaited, pace=pace, advance=advance)
        seconds = time.monotonic() - started_s
        outcome: dict[str, Any] = {
            "target": "kafka",
            "partitions": USER_PARTITIONS,
            "events": fed.replayed.events,
            "users": len(fed.users),
            "items": fed.items,
            "dead_letters": _refusals(fed.refused),
            "ends": {str(number): end for number, end in sorted(fed.replayed.ends.items())},
            "seconds": round(seconds, 3),
            "events_per_s": round(fed.replayed.events / seconds, 1),
        }
        if wait:
            await consumers.reach(fed.replayed.ends, every_s=_LOOK_S)
            outcome["applied_s"] = round(time.monotonic() - started_s, 3)
            profiles = await stored_profiles(ProfileStore(redis, tenant=tenant), fed.users)
            outcome["profiles_sha256"] = profiles_digest(profiles)
    return outcome


# ---------------------------------------------------------------------- what both need


def _open(name: str, items: Path | None) -> tuple[Log, int | None]:
    """The log, and how many events it says it has."""
    from models.errors import LogError
    from streams.offline.route import BareLog
    from streams.recorded.logs import RecordedLog, shipped_log

    path = Path(name)
    if path.is_file():
        return BareLog(path, items), None
    if items is not None:
        message = "--items is for a bare file of events; a log folder has its own"
        raise click.UsageError(message)
    if path.is_dir():
        log = RecordedLog(path)
        return log, log.about.events
    try:
        log = shipped_log(name)
    except LogError as error:
        message = f"{name!r} is no folder, no file and no shipped log ({error})"
        raise click.BadParameter(message, param_hint="LOG") from error
    return log, log.about.events


@asynccontextmanager
async def _redis(url: str | None) -> AsyncIterator[Redis | None]:
    """A client, closed at the end; None without a URL."""
    from redis.asyncio import Redis

    if url is None:
        yield None
        return
    try:
        client = Redis.from_url(url)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--redis") from error
    try:
        yield client
    finally:
        await client.aclose()


def _refusals(refused: Refusals) -> dict[str, Any]:
    import msgspec

    return {"count": refused.count, "first": msgspec.to_builtins(refused.first)}


def _counted(routed: Iterator[_T], advance: Advance) -> Iterator[_T]:
    for number, one in enumerate(routed, start=1):
        if not number % 1_000:
            advance(number)
        yield one


def _show(outcome: Mapping[str, Any]) -> None:
    from streams.cli.tables import show_table

    rows = []
    for name, value in outcome.items():
        if isinstance(value, dict):
            rows += [(f"{name} {inner}".replace("_", " "), _cell(one)) for inner, one in value.items() if inner != "first"]
        else:
            rows.append((name.replace("_", " "), _cell(value)))
    show_table("replay", ("what", "value"), rows)
    first = outcome["dead_letters"]["first"]
    if first:
        lines = [(one["file"], str(one["line"]), one["error"], one["reason"]) for one in first]
        show_table("first dead letters", ("file", "line", "error", "reason"), lines)


def _cell(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int | float) and not isinstance(value, bool) else str(value)
