"""Starting a worker: the judging walk with its model, and Faust's own runner around an app."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import faust

from models.catalogue import Catalogue
from models.distilled import Distilled
from models.entities import PackedRequest
from models.errors import SerenError
from models.fallback import Departments, FallbackPolicy, Judge, category_judge, serve_without_model
from models.pipeline import Answer, ServePolicy, serve_packed, serve_unpacked
from models.pretrained import distilled_folder
from models.profiles import ProfilePolicy
from models.retrieval import Retriever
from models.season import Season
from models.serengpt.engine import Engine
from streams.agents.answering import Rung
from streams.engines.live import LiveEngine
from streams.engines.named import LoadedEngine
from streams.garbage import expect_a_stream
from streams.transport import ChunkApp


def load_judge(
    catalogue: Catalogue,
    *,
    engine: LoadedEngine,
    retriever: Retriever,
    policy: ServePolicy,
    profile: ProfilePolicy,
    around: Callable[[Engine], Engine] | None = None,
    season: Season | None = None,
) -> Callable[[Sequence[PackedRequest]], list[Answer | SerenError]]:
    """The judging walk with everything that it needs.

    Args:
        catalogue: may change while the walk is in use: what it withdraws is offered no longer.
        engine: SerenGPT, see `streams.engines.named`.
        retriever: built from the catalogue.
        policy: counts, weights and thresholds.
        profile: the policy by which the profiles in the requests were made.
        around: puts a meter, a score log or both around the engine, see `streams.engines.named.metered`; None: nothing.
        season: what everybody wants these days, see `season_in`; None: not known.
    """
    asked = around(engine) if around else engine
    serve = partial(
        serve_packed,
        engine=asked,
        retriever=retriever,
        catalogue=catalogue,
        policy=policy,
        profile=profile,
        season=season,
    )
    return partial(_by_one_version, engine, serve) if isinstance(engine, LiveEngine) else serve


def _by_one_version(
    live: LiveEngine,
    serve: Callable[[Sequence[PackedRequest]], list[Answer | SerenError]],
    requests: Sequence[PackedRequest],
) -> list[Answer | SerenError]:
    """A batch whose titles and scores are of one version of the model, whatever is promoted meanwhile."""
    with live.batch():
        return serve(requests)


def season_in(path: str) -> Season | None:
    """The season in the configured file, `serengpt.season`; None where none is configured.

    Raises:
        CheckpointError: the file is missing or holds no season.
    """
    return Season.load(Path(path)) if path else None


def distilled_folder_of(distilled: str, model: str) -> Path | None:
    """Where the distilled scorer is: as configured, else the one in the package, but only for the model that it was fitted to.

    Args:
        distilled: `serengpt.distilled`.
        model: `serengpt.model`.
    """
    if distilled:
        return Path(distilled)
    return None if model else distilled_folder()


def load_rungs(
    catalogue: Catalogue,
    *,
    retriever: Retriever,
    distilled: Path | None,
    policy: ServePolicy,
    profile: ProfilePolicy,
    fallback: FallbackPolicy,
) -> tuple[Rung, ...]:
    """The walks of the tiers below SerenGPT, best first; they need no language model.

    Args:
        catalogue: may change while they are in use.
        retriever: built from the catalogue.
        distilled: folder of the scorer that was fitted to SerenGPT's scores; None: the category rule is next.
        policy: counts, weights and thresholds, as for SerenGPT.
        profile: the policy by which the profiles in the requests were made.
        fallback: what they look for instead of imagined titles.

    Raises:
        CheckpointError: a model folder is missing or corrupt.
    """
    departments = Departments(catalogue)
    judges = [category_judge(departments)]
    if distilled is not None:
        scorer = Distilled.load(distilled)
        judges.insert(0, Judge("distilled", scorer.model_id, scorer.aligned))

    def rung(judge: Judge) -> Rung:
        walk = partial(
            serve_without_model,
            judge=judge,
            departments=departments,
            retriever=retriever,
            catalogue=catalogue,
            policy=policy,
            fallback=fallback,
        )
        return Rung(judge.tier, partial(serve_unpacked, walk=walk, catalogue=catalogue, profile=profile))

    return tuple(rung(judge) for judge in judges)


def run(app: ChunkApp, *, log_level: str) -> None:
    """Runs the app in this process until a signal stops it."""
    expect_a_stream()
    faust.Worker(app, loglevel=log_level, redirect_stdouts=False, quiet=True).execute_from_commandline()
