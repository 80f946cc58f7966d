"""Starting a worker: the judging walk with its model, and Faust's own runner around an app."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from functools import partial

import faust

from models.catalogue import Catalogue
from models.entities import PackedRequest
from models.errors import SerenError
from models.fallback import Departments, FallbackPolicy, category_judge, serve_without_model
from models.pipeline import Answer, ServePolicy, serve_packed, serve_unpacked
from models.pretrained import tower_folder
from models.profiles import ProfilePolicy
from models.retrieval import Retriever
from models.serengpt.engine import Engine
from streams.agents.answering import Rung
from streams.engines import load_engine
from streams.live_engine import LiveEngine
from streams.transport import ChunkApp

# Cycles are rare here, and a chunk of records makes some 20,000 objects that are freed without the collector: at Python's
# default of 700 it took a ninth of a profile worker's time.
_GARBAGE = (100_000, 20, 20)


def load_judge(
    catalogue: Catalogue,
    *,
    engine: str,
    model: str,
    threads: int,
    policy: ServePolicy,
    profile: ProfilePolicy,
    key_file: str = "",
    around: Callable[[Engine], Engine] | None = None,
) -> Callable[[Sequence[PackedRequest]], list[Answer | SerenError]]:
    """The judging walk with everything that it needs, loaded and warm.

    Args:
        catalogue: may change while the walk is in use: what it withdraws is offered no longer.
        engine: its name, see `streams.engines`.
        model: a checkpoint folder or a registry of versions; empty for the one in the package.
        threads: of the engine.
        policy: counts, weights and thresholds.
        profile: the policy by which the profiles in the requests were made.
        key_file: see `streams.engines.load_engine`.
        around: puts a meter, a score log or both around the engine, see `streams.engines.metered`; None: nothing.

    Raises:
        CheckpointError: a model folder is missing or corrupt.
        ConfigError: what the engine needs is not installed.
    """
    loaded = load_engine(engine, model, threads=threads, key_file=key_file)
    asked = around(loaded) if around else loaded
    retriever = Retriever.build(catalogue, tower_folder())
    serve = partial(serve_packed, engine=asked, retriever=retriever, catalogue=catalogue, policy=policy, profile=profile)
    return partial(_by_one_version, loaded, serve) if isinstance(loaded, LiveEngine) else serve


def _by_one_version(
    live: LiveEngine,
    serve: Callable[[Sequence[PackedRequest]], list[Answer | SerenError]],
    requests: Sequence[PackedRequest],
) -> list[Answer | SerenError]:
    """A batch whose titles and scores are of one version of the model, whatever is promoted meanwhile."""
    with live.batch():
        return serve(requests)


def load_rungs(
    catalogue: Catalogue,
    *,
    policy: ServePolicy,
    profile: ProfilePolicy,
    fallback: FallbackPolicy,
) -> tuple[Rung, ...]:
    """The walks of the tiers below SerenGPT, best first; they need no language model.

    Args:
        catalogue: may change while they are in use.
        policy: counts, weights and thresholds, as for SerenGPT.
        profile: the policy by which the profiles in the requests were made.
        fallback: what they look for instead of imagined titles.

    Raises:
        CheckpointError: a model folder is missing or corrupt.
    """
    retriever, departments = Retriever.build(catalogue, tower_folder()), Departments(catalogue)
    walks = [
        (
            judge.tier,
            partial(
                serve_without_model,
                judge=judge,
                departments=departments,
                retriever=retriever,
                catalogue=catalogue,
                policy=policy,
                fallback=fallback,
            ),
        )
        for judge in (category_judge(departments),)
    ]
    return tuple(Rung(tier, partial(serve_unpacked, walk=walk, catalogue=catalogue, profile=profile)) for tier, walk in walks)


def run(app: ChunkApp, *, log_level: str) -> None:
    """Runs the app in this process until a signal stops it."""
    gc.collect()
    gc.freeze()  # what is loaded now stays
    gc.set_threshold(*_GARBAGE)
    faust.Worker(app, loglevel=log_level, redirect_stdouts=False, quiet=True).execute_from_commandline()
