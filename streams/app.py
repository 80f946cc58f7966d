"""The composition root: only here is known which implementation stands behind each port, and how Faust is wired up."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any, cast

from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from models.catalogue import Catalogue
from models.entities import Item
from models.errors import DecodeError
from streams import topics
from streams.agents.answering import LowerTiers, Serve
from streams.agents.judging import JudgingWorker
from streams.agents.profiles import ProfilesWorker
from streams.agents.profiling import Infer, ProfilingWorker
from streams.agents.retry import retrying
from streams.config import Settings
from streams.engines.budget import TokenBudget
from streams.engines.calls import ModelCalls
from streams.feed import ItemChange, ItemFeed
from streams.knowledge import Knowledge
from streams.observability.health import Vitals
from streams.observability.metrics import judging_registry, profiles_registry, profiling_registry
from streams.observability.monitor import Monitor, judging_vitals, profiles_vitals, profiling_vitals
from streams.observability.spans import Attributes, Spans, contexts_of, spans_of
from streams.observability.watch import Servers, Watch
from streams.production import BATCH_BYTES, producer_of
from streams.scores.log import ScoreLog
from streams.scores.writer import ScoreWriter
from streams.slates.store import SlateStore
from streams.state import PartitionStore, ProfileStore
from streams.transport import Chunk, ChunkApp, ChunkSchema

logger = logging.getLogger(__name__)

TICK_S = 0.1
EXIT_FATAL = 70  # sysexits.h: internal software error
# Faust gives an assignment 90 s (its broker_request_timeout) and then holds the partitions without ever reading them.
_TAKE_OVER_S = 75.0
# Chunks that wait between the consumer and the agent: enough to keep it busy, few enough to hold back early.
_BUFFERED_CHUNKS = 4
_RECORDS_PER_CHUNK = 5_000
# Of one partition in one fetch: some 24,000 events, so that most chunks are full. At Faust's 1 MiB each fetch was a full chunk
# and a small one, with a wait for the broker behind it. A worker holds this much of each of its partitions.
_FETCH_BYTES = 4_194_304
_ONLY_SERENGPT = LowerTiers()

AnyWorker = ProfilesWorker | JudgingWorker | ProfilingWorker


async def load_items(settings: Settings) -> list[Item]:
    """The catalogue as the `items` topic holds it; waits for a broker that is away."""
    feed = ItemFeed(settings.kafka.bootstrap, on_bad=_bad_item)
    return await retrying(feed.load, what="read the catalogue")


def profiles_app(settings: Settings, items: Sequence[Item]) -> ChunkApp:
    """A profile worker as a Faust app."""
    app, spans = _new_app(settings, "seren-profiles"), spans_of(os.environ, service="seren-profiles")
    redis = Redis.from_url(settings.redis.url)
    knowledge = Knowledge(items, max_tag_bytes=settings.rules.profile.short_term.max_tag_bytes)
    worker = ProfilesWorker(
        knowledge=knowledge,
        profiles=ProfileStore(redis, tenant=settings.redis.tenant),
        partitions=PartitionStore(redis, tenant=settings.redis.tenant),
        produce=producer_of(app.kafka_producer),
        commit=app.commit_offsets,
        rules=settings.rules,
        limits=settings.profiles,
    )
    worker.spans = spans
    _connect(app, worker)
    watch = _watched(app, worker, redis, settings, topics.EVENTS)
    _listen(settings, profiles_registry(worker, watch), lambda: profiles_vitals(worker, watch))
    answers = [topics.PROFILE_TAGS] if settings.rules.profile.inference.enabled else []
    source = app.topic(topics.EVENTS, topics.ATTRIBUTES, *answers, schema=ChunkSchema())

    @app.agent(source, name="profiles", concurrency=1)
    async def profiles(stream: Any) -> None:
        async for chunk in stream.noack():
            with _ends_the_process("take a chunk of events"), _chunk_span(spans, chunk):
                await worker.take(chunk)

    @app.task  # type: ignore[untyped-decorator]
    async def tick() -> None:
        while not app.should_stop:  # not a timer of Faust's: it warns whenever a checkpoint takes longer than the interval
            await asyncio.sleep(TICK_S)
            with _ends_the_process("tick"):
                await worker.tick()

    @app.task  # type: ignore[untyped-decorator]
    async def follow_items() -> None:
        await _follow(settings, knowledge.learn)

    return app


def judging_app(
    settings: Settings,
    serve: Serve,
    catalogue: Catalogue,
    calls: ModelCalls | None = None,
    lower: LowerTiers = _ONLY_SERENGPT,
    scores: ScoreLog | None = None,
) -> ChunkApp:
    """A judging worker as a Faust app.

    Args:
        settings: where it works, and what bounds it.
        serve: SerenGPT's walk with its model.
        catalogue: what the walks work on.
        calls: the model's meter.
        lower: the tiers below it.
        scores: what `serve` keeps of the model's answers; they go to their topic.
    """
    app, spans = _new_app(settings, "seren-judging"), spans_of(os.environ, service="seren-judging")
    calls = calls or ModelCalls()
    redis = Redis.from_url(settings.redis.url)
    produce = producer_of(app.kafka_producer)
    worker = JudgingWorker(
        serve=serve,
        lower=lower,
        slates=SlateStore(
            redis,
            tenant=settings.redis.tenant,
            hard_ttl_ms=int(settings.judging.hard_ttl_s * 1000),
        ),
        produce=produce,
        commit=app.commit_offsets,
        limits=settings.judging,
    )
    if scores is not None:
        worker.record = ScoreWriter(scores, produce, record_s=settings.scores.record_s, clock=time).write
    worker.spans = spans
    if settings.judging.tokens_per_s > 0:
        worker.budget = TokenBudget(
            redis,
            tenant=settings.redis.tenant,
            calls=calls,
            tokens_per_s=settings.judging.tokens_per_s,
            saved_s=settings.judging.tokens_saved_s,
        )
    _connect(app, worker)
    watch = _watched(app, worker, redis, settings, topics.REQUESTS)
    _listen(settings, judging_registry(worker, watch, calls, scores), lambda: judging_vitals(worker, watch, calls.model))
    source = app.topic(topics.REQUESTS, schema=ChunkSchema())

    @app.agent(source, name="judging", concurrency=1)
    async def judging(stream: Any) -> None:
        async for chunk in stream.noack():
            with _ends_the_process("take a chunk of requests"), _chunk_span(spans, chunk):
                await worker.take(chunk)

    @app.task  # type: ignore[untyped-decorator]
    async def serve_requests() -> None:
        with _ends_the_process("serve requests"):
            await worker.serve_forever()

    @app.task  # type: ignore[untyped-decorator]
    async def follow_items() -> None:
        """What is withdrawn, or no longer available, is in no slate from now on; new items are found after a restart."""
        await _follow(settings, catalogue.follow)

    return app


def profiling_app(settings: Settings, infer: Infer, knowledge: Knowledge) -> ChunkApp:
    """A profiling worker as a Faust app; `infer` is its walk with its model, on this knowledge."""
    app, spans = _new_app(settings, "seren-profiling"), spans_of(os.environ, service="seren-profiling")
    redis = Redis.from_url(settings.redis.url)
    worker = ProfilingWorker(
        infer=infer,
        produce=producer_of(app.kafka_producer),
        commit=app.commit_offsets,
        limits=settings.profiling.limits,
    )
    _connect(app, worker)
    watch = _watched(app, worker, redis, settings, topics.PROFILING)
    _listen(settings, profiling_registry(worker, watch), lambda: profiling_vitals(worker, watch))
    source = app.topic(topics.PROFILING, schema=ChunkSchema())

    @app.agent(source, name="profiling", concurrency=1)
    async def profiling(stream: Any) -> None:
        async for chunk in stream.noack():
            with _ends_the_process("take a chunk of questions"), _chunk_span(spans, chunk):
                await worker.take(chunk)

    @app.task  # type: ignore[untyped-decorator]
    async def serve_questions() -> None:
        with _ends_the_process("have questions answered"):
            await worker.serve_forever()

    @app.task  # type: ignore[untyped-decorator]
    async def follow_items() -> None:
        await _follow(settings, knowledge.learn)

    return app


async def _follow(settings: Settings, on_changes: Callable[[list[ItemChange]], None]) -> None:
    with _ends_the_process("follow the items"):
        feed = ItemFeed(settings.kafka.bootstrap, on_bad=_bad_item)
        await retrying(partial(feed.follow, on_changes), what="follow the items")


def _new_app(settings: Settings, name: str) -> ChunkApp:
    return ChunkApp(
        name,
        broker=f"kafka://{settings.kafka.bootstrap}",
        store="memory://",
        autodiscover=False,
        web_enabled=False,
        topic_allow_declare=settings.kafka.manage_topics,
        topic_disable_leader=True,
        stream_buffer_maxsize=_BUFFERED_CHUNKS,
        stream_wait_empty=False,
        broker_max_poll_records=_RECORDS_PER_CHUNK,
        consumer_max_fetch_size=_FETCH_BYTES,
        consumer_auto_offset_reset="earliest",
        broker_session_timeout=settings.kafka.session_timeout_s,
        broker_heartbeat_interval=settings.kafka.heartbeat_s,
        consumer_group_instance_id=settings.kafka.instance_id or None,
        producer_max_batch_size=BATCH_BYTES,
        producer_acks=-1,
        logging_config=None,
    )


def _connect(app: ChunkApp, worker: AnyWorker) -> None:
    """Tells the worker of every partition that comes or goes."""

    async def release(_: Any, revoked: Any, **__: Any) -> None:
        await worker.release(revoked)

    async def shut_down(_: Any, **__: Any) -> None:
        if app.rebalancing_count:  # before the first assignment there is nothing to let go
            await worker.release(app.consumer.assignment())

    async def take_over(assigned: Any) -> Any:
        with _ends_the_process("take over partitions"):
            async with asyncio.timeout(_TAKE_OVER_S):
                return await worker.take_over(assigned)

    app.take_over, app.retrying = take_over, worker.outages.retrying
    app.on_partitions_revoked.connect(cast("Any", release), weak=False)
    app.on_before_shutdown.connect(cast("Any", shut_down), weak=False)


def _watched(app: ChunkApp, worker: AnyWorker, redis: Redis, settings: Settings, topic: str) -> Watch:
    """A watch over the worker, which runs where there is an endpoint that shows what it sees."""
    servers = Servers(redis, bootstrap=settings.kafka.bootstrap, topic=topic, work_ends=app.work_ends)
    watch = Watch(worker, servers, clock=time, buffered=app.buffered)
    if settings.metrics.port is None:
        return watch

    @app.from_the_start
    async def beat() -> None:
        await watch.beat()

    @app.from_the_start
    async def look() -> None:
        try:
            await watch.look_for_ever()
        finally:
            await servers.close()

    return watch


def _listen(settings: Settings, registry: CollectorRegistry, vitals: Callable[[], Vitals]) -> None:
    if settings.metrics.port is not None:
        Monitor(
            host=settings.metrics.host,
            port=settings.metrics.port,
            registry=registry,
            vitals=vitals,
            policy=settings.health,
        )


def _chunk_span(spans: Spans, chunk: Chunk) -> AbstractContextManager[None]:
    attributes: Attributes = {
        "messaging.system": "kafka",
        "messaging.destination.name": chunk.topic,
        "messaging.destination.partition.id": str(chunk.partition),
        "messaging.kafka.offset": chunk.records[0].offset,
        "messaging.batch.message_count": len(chunk.records),
    }
    return spans.during("take chunk", attributes, contexts=contexts_of(chunk.records))


@contextmanager
def _ends_the_process(what: str) -> Iterator[None]:
    """Lets an error that nobody handles end the process at once, loudly.

    Faust would restart the agent with the next chunk and so pass over the one that failed. A process that ends has committed
    nothing of it: whoever owns the partition next reads it again.
    """
    try:
        yield
    except Exception:
        logger.critical("%s: an error that nothing handles; this process ends, nothing is lost", what, exc_info=True)
        logging.shutdown()
        os._exit(EXIT_FATAL)


def _bad_item(value: bytes, error: DecodeError) -> None:
    logger.warning("items: %s; dropped: %r", error, value[:200])
