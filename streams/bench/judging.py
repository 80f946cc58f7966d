"""SerenGPT and retrieval, one request at a time, with the models that come with the package."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from models.catalogue import Catalogue
from models.entities import Request
from models.errors import CheckpointError, SerenError
from models.pipeline import ServePolicy, serve_batch
from models.pretrained import serengpt_folder, tower_folder
from models.profiles import unpack
from models.retrieval import Retriever
from models.serengpt.embedded import load_engine
from models.serengpt.engine import Engine, ImagineRequest, Scored, ScoreRequest
from streams import codec
from streams.bench.figures import Figure, Meaning, quantile, repeated
from streams.bench.profiles import through_engine
from streams.bench.workload import Workload
from streams.offline import MemoryStates

_T = TypeVar("_T")


class _Timed:
    """An engine that notes how long its two calls take."""

    def __init__(self, engine: Engine) -> None:
        self.model_id = engine.model_id
        self.prompt_version = engine.prompt_version
        self.imagine_s = 0.0
        self.score_s = 0.0
        self._engine = engine

    def imagine(self, requests: Sequence[ImagineRequest]) -> list[tuple[str, ...] | SerenError]:
        seconds, answer = _timed(lambda: self._engine.imagine(requests))
        self.imagine_s += seconds
        return answer

    def score(self, requests: Sequence[ScoreRequest]) -> list[tuple[Scored, ...] | SerenError]:
        seconds, answer = _timed(lambda: self._engine.score(requests))
        self.score_s += seconds
        return answer


def answers(work: Workload, *, requests: int, runs: int) -> list[Figure]:
    """What one answer costs; nothing where the package was installed without its models."""
    try:
        engine = load_engine(serengpt_folder())
        catalogue = Catalogue(work.items)
        retriever = Retriever.build(catalogue, tower_folder())
    except CheckpointError:
        return []
    asked = _requests(work, requests)
    policy = ServePolicy()

    def measure() -> dict[str, float]:
        timed = _Timed(engine)
        waits_s = []
        for request in asked:
            started_s = time.perf_counter()
            serve_batch([request], engine=timed, retriever=retriever, catalogue=catalogue, policy=policy)
            waits_s.append(time.perf_counter() - started_s)
        rest_s = sum(waits_s) - timed.imagine_s - timed.score_s
        return {
            "imagine": timed.imagine_s / len(asked) * 1_000,
            "score": timed.score_s / len(asked) * 1_000,
            "retrieve and select": rest_s / len(asked) * 1_000,
            "answer p50": quantile(waits_s, 0.5) * 1_000,
            "answer p99": quantile(waits_s, 0.99) * 1_000,
        }

    measure()  # the priors of titles are computed once and kept, as in a worker that has run for a while
    model = f"{engine.model_id} on one thread, one request at a time"
    meanings = {
        "imagine": Meaning("ms/request", f"{policy.imagine_count} titles by {model}"),
        "score": Meaning("ms/request", f"up to {policy.score_limit} candidates, priors known, by the same"),
        "retrieve and select": Meaning(
            "ms/request", f"both channels over {len(catalogue):,} items, filters, selection, trace"
        ),
        "answer p50": Meaning("ms", "models.pipeline.serve_batch of one request"),
        "answer p99": Meaning("ms", "the same"),
    }
    figures = repeated(measure, meanings, n=len(asked), runs=runs)
    engine.close()
    return figures


def _requests(work: Workload, count: int) -> list[Request]:
    """The newest requests of some users, spread evenly over all of them."""
    states = MemoryStates()
    asyncio.run(through_engine(work, states))
    users = sorted(states.requests)
    step = max(1, len(users) // count)
    asked = [codec.decode_request(states.requests[user]) for user in users[::step][:count]]
    catalogue = Catalogue(work.items)
    return [unpack(one, catalogue, work.rules.profile) for one in asked]


def _timed(call: Callable[[], _T]) -> tuple[float, _T]:
    started_s = time.perf_counter()
    answer = call()
    return time.perf_counter() - started_s, answer
