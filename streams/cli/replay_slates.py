"""The slates of `seren replay`: newest requests answered through a score log, and again to see that no model is asked."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streams.cli.progress import progress

if TYPE_CHECKING:
    from streams.config import Settings
    from streams.offline import Log
    from streams.scores.file import ScoreFile
    from streams.scores.log import ScoreLog

TOPIC = "topic"  # in place of a file's name
_WITHOUT_BOUND = 2**60  # a replay writes down after every batch, and reads the whole topic
_TOPIC_S = 600.0


@dataclass(frozen=True, kw_only=True)
class Scores:
    """A score log that is in memory, what was read of it, and the file that gets what is new."""

    log: ScoreLog
    file: ScoreFile | None = None
    records: int = 0
    refused: int = 0


def open_scores(where: str | None, settings: Settings) -> Scores:
    """The score log of `--scores`: a file's, that of the configured Kafka (`topic`), or an empty one.

    Raises:
        LogError: the file cannot be read.
        BrokerUnavailable: Kafka is away, or has no such topic.
    """
    from streams.scores.file import ScoreFile
    from streams.scores.log import ScoreLog

    log = ScoreLog(cache_bytes=settings.scores.cache_bytes, pending_bytes=_WITHOUT_BOUND)
    if where is None:
        return Scores(log=log)
    if where == TOPIC:
        from streams.scores.topic import read_topic

        bootstrap = settings.kafka.bootstrap
        read = asyncio.run(read_topic(bootstrap, log, records=_WITHOUT_BOUND, seconds=_TOPIC_S, clock=time))
        return Scores(log=log, records=read.records, refused=read.refused)
    file = ScoreFile(Path(where))
    found = file.read_into(log)
    return Scores(log=log, file=file, records=found.records, refused=found.refused)


def serve_requests(
    source: Log, settings: Settings, requests: Mapping[str, bytes], *, limit: int | None, scores: Scores
) -> dict[str, Any]:
    """Answers the newest request of the first users, by id.

    Returns:
        What became of them, with `model_calls`, and what the score log had (of scores, titles) and got.
    """
    from models.catalogue import Catalogue
    from models.pretrained import tower_folder
    from models.retrieval import Retriever
    from streams.engines.calls import ModelCalls
    from streams.engines.named import load_engine, metered
    from streams.offline import Refusals, read_items
    from streams.offline.slates import serve_all
    from streams.serve import load_judge, season_in

    catalogue, calls, model = Catalogue(read_items(source, Refusals())), ModelCalls(), settings.serengpt
    judge = load_judge(
        catalogue,
        engine=load_engine(model.engine, model.model, threads=model.threads, key_file=model.key_file),
        retriever=Retriever.build(catalogue, tower_folder()),
        policy=settings.serve,
        profile=settings.rules.profile,
        around=metered(calls, scores.log),
        season=season_in(model.season),
    )
    users = sorted(requests)[:limit]
    started_s, written = time.monotonic(), 0
    with progress("slates", len(users)) as advance:

        def write_down(count: int) -> None:
            nonlocal written
            new = scores.log.take()
            written += scores.file.append(new) if scores.file else 0
            advance(count)

        served = serve_all([requests[user] for user in users], judge, batch=settings.judging.batch, advance=write_down)
    log = scores.log
    known = {name: log.counts[name] for name in ("imagine_hits", "imagine_misses", "score_hits", "score_misses", "evicted")}
    read = {"scores_read": scores.records, "scores_refused": scores.refused, "scores_written": written}
    seconds = round(time.monotonic() - started_s, 3)
    return asdict(served) | {"seconds": seconds, "model_calls": sum(calls.calls.values())} | known | read


def served_again(
    first: Mapping[str, Any],
    source: Log,
    settings: Settings,
    requests: Mapping[str, bytes],
    *,
    limit: int | None,
    where: str | None,
    scores: Scores,
) -> dict[str, Any]:
    """A second pass, which may ask the model nothing: from the file, read anew, or else from what the first one has in memory.

    Args:
        first: what became of the first pass.
        source: the log, for its items.
        settings: as in the first pass.
        requests: of the second replay.
        limit: as in the first pass.
        where: `--scores`.
        scores: of the first pass.

    Returns:
        `same`: whether the slates are the same bytes and no model was asked; and the counts behind it.
    """
    again = open_scores(where, settings) if scores.file else Scores(log=scores.log)
    again.log.counts.clear()
    outcome = serve_requests(source, settings, requests, limit=limit, scores=again)
    is_same = outcome["slates_sha256"] == first["slates_sha256"] and outcome["model_calls"] == 0
    return {"same": is_same} | outcome
