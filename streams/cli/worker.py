"""`seren worker profiles|judging|profiling` and `seren topics`."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from streams.cli.options import config_option, settings_of

if TYPE_CHECKING:
    from models.profiling.model import ProfileModel
    from streams.scores.log import ScoreLog
    from streams.scores.policy import ScoresPolicy


@click.group("worker")
def worker() -> None:
    """Run a worker until it is stopped."""


@worker.command("profiles")
@config_option
@click.option("--log-level", default="warning", show_default=True)
def profiles(config: Path | None, log_level: str) -> None:
    """Behaviour events in; profiles, requests and labels out."""
    from streams.app import load_items, profiles_app
    from streams.serve import run

    settings = settings_of(config)
    items = asyncio.run(load_items(settings))
    _say_ready(log_level)
    run(profiles_app(settings, items), log_level=log_level)


@worker.command("judging")
@config_option
@click.option("--log-level", default="warning", show_default=True)
def judging(config: Path | None, log_level: str) -> None:
    """Requests in, slates out."""
    from models.catalogue import Catalogue
    from models.pretrained import tower_folder
    from models.retrieval import Retriever
    from models.serengpt.tokens import TitleTokenizer
    from streams.agents.answering import LowerTiers
    from streams.app import judging_app, load_items
    from streams.engines.calls import ModelCalls, TokenCounts
    from streams.engines.named import checkpoint_folder, load_engine, load_hosted_engine, metered
    from streams.scores.log import ScoreLog
    from streams.serve import distilled_folder_of, load_judge, load_rungs, run, season_in

    settings = settings_of(config)
    calls, model = ModelCalls(), settings.serengpt
    folder = checkpoint_folder(model.model, key_file=model.key_file)
    tokens = TokenCounts(TitleTokenizer.load(folder / "tokenizer.json"))
    scores = ScoreLog(cache_bytes=settings.scores.cache_bytes, pending_bytes=settings.scores.pending_bytes)
    hosted = partial(load_hosted_engine, policy=settings.host, on_restart=calls.restarted)
    load = hosted if model.hosted else load_engine
    engine = load(
        model.engine,
        model.model,
        threads=model.threads,
        key_file=model.key_file,
        vllm=asdict(settings.vllm),
        changes=calls.model,
    )
    catalogue = Catalogue(asyncio.run(load_items(settings)))
    retriever, policy, profile = Retriever.build(catalogue, tower_folder()), settings.serve, settings.rules.profile
    season = season_in(model.season)
    judge = partial(load_judge, catalogue, engine=engine, retriever=retriever, policy=policy, profile=profile, season=season)
    rungs = load_rungs(
        catalogue,
        retriever=retriever,
        distilled=distilled_folder_of(model.distilled, model.model),
        policy=policy,
        profile=profile,
        fallback=settings.fallback,
    )
    lower = LowerTiers(rungs, settings.tiers, probe=judge(around=metered(calls, tokens=tokens)))
    _say_ready(log_level)
    asyncio.run(_warm(scores, settings.kafka.bootstrap, settings.scores))
    serve = judge(around=metered(calls, scores, tokens))
    run(judging_app(settings, serve, catalogue, calls, lower, scores), log_level=log_level)


@worker.command("profiling")
@config_option
@click.option("--log-level", default="warning", show_default=True)
def profiling(config: Path | None, log_level: str) -> None:
    """Questions about profiles that moved in, a language model's tags with their evidence out.

    Questions are asked where rules.profile.inference.enabled is true for the profile workers.
    """
    from streams.app import load_items, profiling_app
    from streams.engines.named import load_engine
    from streams.knowledge import Knowledge
    from streams.profiling.models import endpoint_model, load_stage, local_model
    from streams.serve import run

    settings = settings_of(config)
    rules, asked, small = settings.rules.profile, settings.profiling, settings.serengpt
    knowledge = Knowledge(asyncio.run(load_items(settings)), max_tag_bytes=rules.short_term.max_tag_bytes)
    if asked.model == "endpoint":
        model: ProfileModel = endpoint_model(asked, os.environ)
    else:
        engine = load_engine(small.engine, small.model, threads=small.threads, key_file=small.key_file)
        model = local_model(engine, knowledge, asked.local)
    stage = load_stage(model, knowledge, profile=rules, policy=asked.stage, with_tower=asked.with_tower)
    _say_ready(log_level)
    run(profiling_app(settings, stage.answer, knowledge), log_level=log_level)


async def _warm(scores: ScoreLog, bootstrap: str, policy: ScoresPolicy) -> None:
    """Reads the newest answers of the model; without them it is only asked more."""
    from models.errors import BrokerUnavailable
    from streams.scores.topic import read_topic

    logger = logging.getLogger(__name__)
    try:
        read = await read_topic(bootstrap, scores, records=policy.warm_records, seconds=policy.warm_s, clock=time)
    except BrokerUnavailable as error:
        logger.warning("starting with an empty score log: %s", error)
        return
    logger.info("score log: %d records, %d refused%s", *read[:2], "" if read.complete else f", cut off at {policy.warm_s} s")
    if read.refused:
        logger.warning("score log: %d records refused, the last one: %s", read.refused, scores.last_refusal)


@click.command("topics")
@config_option
def topics_command(config: Path | None) -> None:
    """Make the topics that do not exist yet, with their partitions and retention."""
    from streams.admin import create_topics

    for name in asyncio.run(create_topics(settings_of(config).kafka.bootstrap)):
        click.echo(f"made {name}")


def _say_ready(log_level: str) -> None:
    logging.basicConfig(level=log_level.upper(), stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
