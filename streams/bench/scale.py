"""What an event costs by the number of users: `make bench-scale`, or `python -m streams.bench.scale --help`.

Redis is filled with users who have been here once, for a visit, two clicks and a purchase. Then some of them come back, drawn
evenly from all, each for a session of ten events; many sessions at once, event by event. The engine keeps the newest
`MAX_USERS` in memory and fetches the others from Redis, so the more users there are, the more sessions begin with a fetch.
Evenly drawn users are the worst case: real ones come back sooner than by chance.

Ten million users with the profiles of a whole year (1.4 KiB) would need a Redis of 17 GB; those of one short session need half
of it. Where even that is not free, the curve ends and says so.
"""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import click
import msgspec
import redis
from redis.asyncio import Redis
from rich.console import Console

from models.entities import Event, Item
from models.errors import SerenError
from models.profiles import Profile, encode, update
from streams import codec, topics
from streams.bench.machine import machine, rss_bytes
from streams.bench.profiles import CHECKPOINT_EVENTS
from streams.bench.stores import TENANT, server_cpu_s
from streams.cli.tables import show_table
from streams.embedded.redis import start_redis
from streams.keys import profile_key
from streams.knowledge import Knowledge
from streams.offline import Engine, LogRecord, RedisStates, Refusals, read_items
from streams.offline.states import PROFILE_TTL_MS
from streams.partition import Rules
from streams.recorded.logs import shipped_log
from streams.state import PartitionStore, ProfileState, ProfileStore, encode_profile_state

SHORT = (10_000, 100_000, 1_000_000)
FULL = (10_000, 30_000, 100_000, 300_000, 1_000_000, 3_000_000, 10_000_000)
MAX_USERS = 20_000  # in memory: a tenth of a worker's default, so that a warm-up of seconds fills it
WARM_SESSIONS, SESSIONS = 25_000, 20_000
FIRST_EVENTS, SESSION_EVENTS = 4, 10  # of the session that filled Redis, and of those that are measured
_AT_ONCE = 200  # sessions that go on at the same time
_KINDS = 1_000  # different first sessions
_WRITES = 5_000  # of the filling, per round trip
_USER_BYTES = 750  # in Redis: 450 of the profile, 230 of key, header, expiry and allocator; the rest to be safe
_SPARE_BYTES = 3_000_000_000  # for everybody else on this machine
_START_MS, _STEP_MS = 1_700_000_000_000, 5  # 200 events/s of event time
_ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, kw_only=True)
class Point:
    """One number of users. `fetched` is the share of sessions that began with a fetch from Redis, in their long run."""

    users: int
    events: int
    cpu_us: float
    redis_cpu_us: float
    wall_us: float
    fetched: float
    profile_bytes: float
    redis_bytes: int
    rss_bytes: int


def sessions(
    users: Sequence[int], items: Sequence[Item], *, length: int, seed: int, first_ms: int
) -> Iterator[tuple[int, Event]]:
    """The events of one session of each user: a visit, clicks, a purchase; `_AT_ONCE` sessions at a time, in order of time.

    Args:
        users: by number.
        items: what is clicked and bought, drawn evenly.
        length: events of a session.
        seed: the same gives the same events.
        first_ms: of the first event.
    """
    chance = random.Random(seed)  # noqa: S311  # a workload, no secret
    at_ms = first_ms
    for start in range(0, len(users), _AT_ONCE):
        together = users[start : start + _AT_ONCE]
        for place in range(length):
            for number, user in enumerate(together, start):
                item = None if place == 0 else items[chance.randrange(len(items))].item_id
                kind: Any = "visit" if place == 0 else "purchase" if place == length - 1 else "click"
                event_id = f"{seed}-{number}-{place}"
                yield user, Event(event_id=event_id, user_id=f"user-{user}", type=kind, ts_ms=at_ms, item_id=item)
                at_ms += _STEP_MS


def routed(events: Iterator[tuple[int, Event]], *, partitions: int, first_offset: int) -> list[tuple[int, LogRecord]]:
    """The events as records, each user's in the partition of their number."""
    ends = [first_offset] * partitions
    records = []
    for user, event in events:
        number = user % partitions
        records.append((number, LogRecord(ends[number], event.user_id.encode(), codec.encode(event))))
        ends[number] += 1
    return records


def first_profiles(knowledge: Knowledge, items: Sequence[Item], rules: Rules) -> list[bytes]:
    """The profiles of users who have been here once, `_KINDS` different ones, a day before everything else."""
    profiles = [Profile() for _ in range(_KINDS)]
    for user, event in sessions(range(_KINDS), items, length=FIRST_EVENTS, seed=0, first_ms=_START_MS - topics.DAY_MS):
        update(profiles[user], event, knowledge.features.get(event.item_id or ""), (), offset=0, policy=rules.profile)
    return [encode(profile) for profile in profiles]


def fill(url: str, users: int, profiles: Sequence[bytes], *, partitions: int) -> None:
    """Stores a state for every user, as a worker that is gone would have left it."""
    values = [
        [encode_profile_state(ProfileState(0, number, 0, profile)) for profile in profiles] for number in range(partitions)
    ]
    with redis.Redis.from_url(url) as client:
        for start in range(0, users, _WRITES):
            together = client.pipeline(transaction=False)
            for user in range(start, min(users, start + _WRITES)):
                value = values[user % partitions][user % len(profiles)]
                together.set(profile_key(TENANT, f"user-{user}"), value, px=PROFILE_TTL_MS)
            together.execute()


async def measured(url: str, users: int, items: Sequence[Item], knowledge: Knowledge, rules: Rules) -> dict[str, float]:
    """Events after a warm-up: CPU of this process and of Redis, wall time, what was fetched."""
    partitions = topics.USER_PARTITIONS
    chance = random.Random(users)  # noqa: S311  # a workload, no secret
    drawn = [chance.randrange(users) for _ in range(WARM_SESSIONS + SESSIONS)]
    events = sessions(drawn, items, length=SESSION_EVENTS, seed=1, first_ms=_START_MS)
    records = routed(events, partitions=partitions, first_offset=1)
    warm = WARM_SESSIONS * SESSION_EVENTS
    client = Redis.from_url(url)
    try:
        states = RedisStates(ProfileStore(client, tenant=TENANT), PartitionStore(client, tenant=TENANT))
        engine = Engine(
            states,
            knowledge=knowledge,
            rules=rules,
            partitions=partitions,
            checkpoint_events=CHECKPOINT_EVENTS,
            max_users=MAX_USERS,
        )
        await engine.start()
        await engine.events(islice(records, warm))
        before = time.process_time(), server_cpu_s(url), time.monotonic(), engine.counts["evicted"]
        await engine.events(islice(records, warm, None))
        after = time.process_time(), server_cpu_s(url), time.monotonic(), engine.counts["evicted"]
    finally:
        await client.aclose()
    count = len(records) - warm
    cpu_s, redis_cpu_s, wall_s, evicted = (end - start for start, end in zip(before, after, strict=True))
    return {
        "events": count,
        "cpu_us": cpu_s / count * 1e6,
        "redis_cpu_us": redis_cpu_s / count * 1e6,
        "wall_us": wall_s / count * 1e6,
        "fetched": evicted / SESSIONS,
    }


def point(users: int, items: Sequence[Item], folder: Path) -> Point:
    """Measures one number of users, on a Redis of its own."""
    rules = Rules(check_clock=False)
    knowledge = Knowledge(items, max_tag_bytes=rules.profile.short_term.max_tag_bytes)
    profiles = first_profiles(knowledge, items, rules)
    with start_redis(folder) as server, redis.Redis.from_url(server.url) as client:
        client.config_set("maxmemory", users * _USER_BYTES + 500_000_000)
        fill(server.url, users, profiles, partitions=topics.USER_PARTITIONS)
        found: dict[str, Any] = asyncio.run(measured(server.url, users, items, knowledge, rules))
        memory: Any = client.info("memory")
        return Point(
            users=users,
            profile_bytes=sum(map(len, profiles)) / len(profiles),
            redis_bytes=memory["used_memory"],
            rss_bytes=rss_bytes(os.getpid()),
            **found,
        )


def free_bytes() -> int:
    """Memory that programs may still have. Linux only."""
    line = next(line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemAvailable"))
    return int(line.split()[1]) * 1024


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.option("--full", is_flag=True, help=f"{FULL[0]:,} to {FULL[-1]:,} users; else to {SHORT[-1]:,}.")
@click.option("--users", type=click.IntRange(1), multiple=True, help="These numbers of users instead; may be repeated.")
@click.option("--python", type=click.Path(path_type=Path), default=_ROOT / ".venv-peers/bin/python", help="Of the picture.")
@click.option(
    "--out", type=click.Path(path_type=Path), default=_ROOT / ".run/bench/results", help="For scale.json, scale.svg."
)
def main(full: bool, users: tuple[int, ...], python: Path, out: Path) -> None:
    """What an event costs the engine and Redis, by the number of users."""
    where = machine()
    items = read_items(shipped_log("online-retail"), Refusals())
    points: list[Point] = []
    ended = ""
    with Console(stderr=True).status("") as status:
        for count in users or (FULL if full else SHORT):
            needed, free = count * _USER_BYTES + _SPARE_BYTES, free_bytes()
            if needed > free:
                ended = f"{count:,} users need {needed / 1e9:.1f} GB with some to spare, and {free / 1e9:.1f} GB are free"
                break
            status.update(f"{count:,} users")
            with tempfile.TemporaryDirectory() as folder:
                points.append(point(count, items, Path(folder)))
    _show(points, ended, where)
    _write({"kind": "scale", "machine": where, "max_users": MAX_USERS, "points": points, "ended": ended}, out, python)


def _show(points: Sequence[Point], ended: str, where: dict[str, Any]) -> None:
    rows = [
        (
            f"{one.users:,}",
            f"{one.cpu_us:.1f}",
            f"{one.redis_cpu_us:.1f}",
            f"{one.fetched:.0%}",
            f"{one.redis_bytes / one.users:,.0f}",
            f"{one.redis_bytes / 1e9:.2f}",
            f"{one.rss_bytes / 1e6:,.0f}",
        )
        for one in points
    ]
    columns = ("users", "us CPU", "us Redis", "fetched", "B/user", "GB Redis", "MB engine")
    caption = (
        f"per event; sessions of {SESSION_EVENTS} events by users drawn evenly, {MAX_USERS:,} of them in memory; "
        f"{where['cpu']}, {where['cores']} cores, hot path {where['hot_path']}, commit {where['commit'] or 'unknown'}. {ended}"
    )
    show_table("cost of an event by the number of users", columns, rows, caption=caption)


def _write(result: dict[str, Any], folder: Path, python: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    told, picture = folder / "scale.json", folder / "scale.svg"
    told.write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=2) + b"\n")
    command = [str(python), "-m", "streams.bench.peers.picture", str(told), str(picture)]
    subprocess.run(command, check=True, env=os.environ | {"PYTHONPATH": str(_ROOT)})  # noqa: S603  # our own
    click.echo(f"written to {told} and {picture}", err=True)


if __name__ == "__main__":
    try:
        main()
    except SerenError as error:
        sys.exit(f"error: {error}")
