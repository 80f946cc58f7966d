"""`seren evaluate profiles`: what a language model infers of users, and whether their next period agrees."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from streams.cli.options import config_option, json_option, print_json, settings_of

if TYPE_CHECKING:
    from models.evaluation.profiles import Agreement
    from models.profiling.model import ProfileModel
    from streams.config import Settings
    from streams.evaluation.profiling import Inferred
    from streams.knowledge import Knowledge

_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


@click.command("profiles")
@click.option("--log", "folder", type=_FOLDER, help="A log folder; the shipped Online Retail log if left out.")
@click.option("--limit", type=click.IntRange(min=1), default=300, show_default=True, help="Users.")
@click.option(
    "--rounds", type=click.IntRange(1, 24), default=1, show_default=True, help="Questions about each, 15 days apart."
)
@click.option("--days", type=click.FloatRange(1, 365), default=28.0, show_default=True, help="Of the next period.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of chance and the intervals.")
@config_option
@json_option
def profiles(
    *, folder: Path | None, limit: int, rounds: int, days: float, seed: int, config: Path | None, as_json: bool
) -> None:
    """Ask the configured model about users before the test part, and hold its tags against what they wanted in it.

    The model is that of [profiling]: SerenGPT itself, or an endpoint. Intervals are 95 %, resampling users.
    """
    from dataclasses import replace

    from rich.console import Console
    from rich.progress import Progress

    from streams.evaluation.profiling import Course, infer_over_log, read_knowledge
    from streams.profiling.models import load_stage
    from streams.recorded.logs import RecordedLog, shipped_log
    from streams.samples import split_of

    settings = settings_of(config)
    policy = replace(settings.rules.profile, inference=replace(settings.rules.profile.inference, enabled=True))
    log = RecordedLog(folder) if folder else shipped_log("online-retail")
    knowledge = read_knowledge(log, policy)
    stage = load_stage(
        _model(settings, knowledge),
        knowledge,
        profile=policy,
        policy=settings.profiling.stage,
        with_tower=settings.profiling.with_tower,
    )
    with Progress(console=Console(stderr=True)) as shown:
        task = shown.add_task("Asking about users", total=None)
        found = infer_over_log(
            log,
            knowledge,
            stage.answer,
            policy=policy,
            course=Course(
                cut_ms=split_of(log).validation_end_ms,
                rounds=rounds,
                period_days=days,
                limit=limit,
                batch=settings.profiling.limits.batch,
            ),
            progress=lambda done, total: shown.update(task, completed=done, total=total),
        )
    if not found.asked:
        message = "nobody in the log has both a past to ask about and a next period"
        raise click.ClickException(message)
    compared = _compared(found, settings, seed=seed)
    outcome = _outcome(found, compared, log.about.name, stage.model_id, rounds=rounds, days=days, seed=seed)
    print_json(outcome) if as_json else _show(outcome)


def _model(settings: Settings, knowledge: Knowledge) -> ProfileModel:
    from streams.engines.named import load_engine
    from streams.profiling.models import endpoint_model, local_model

    if settings.profiling.model == "endpoint":
        return endpoint_model(settings.profiling, os.environ)
    small = settings.serengpt
    engine = load_engine(small.engine, small.model, threads=small.threads, key_file=small.key_file)
    return local_model(engine, knowledge, settings.profiling.local)


def _compared(found: Inferred, settings: Settings, *, seed: int) -> list[Agreement]:
    from models.evaluation.profiles import agreement
    from models.profiling.relevance import Relevance

    words = Relevance(settings.profiling.stage.relevance)
    least = settings.profiling.stage.relevance.min_coverage
    asked = [agreement(maker, tags, found.later, words, least=least, seed=seed) for maker, tags in found.tags.items()]
    return [one for one in asked if one is not None]


def _outcome(
    found: Inferred, compared: list[Agreement], name: str, model_id: str, *, rounds: int, days: float, seed: int
) -> dict[str, Any]:
    return {
        "log": name,
        "model_id": model_id,
        "users": found.users,
        "rounds": rounds,
        "next_period_days": days,
        "seed": seed,
        "questions": {"asked": found.asked, "answered": found.answered, "failed": dict(found.failed)},
        "coverage": round(found.covered / found.asked, 4),
        "tags_by_family": dict(sorted(found.approved.items())),
        "tags_per_answer": round(found.approved.total() / max(1, found.answered), 2),
        "traits": found.traits,
        "valid_evidence_ratio": round(found.valid_evidence_ratio, 4),
        "refused": dict(sorted(found.refused.items())),
        "folded": dict(sorted(found.folded.items())),
        "tags_beside_the_rules_ratio": round(found.new_tags / max(1, found.last_tags), 4),
        "largest_profile_bytes": found.most_bytes,
        "next_period": [
            {
                "maker": one.maker,
                "users": one.users,
                "tags_per_user": round(one.tags_per_user, 2),
                **{
                    measure: {bound: round(value, 4) for bound, value in getattr(one, measure)._asdict().items()}
                    for measure in ("agreement", "chance", "reach")
                },
            }
            for one in compared
        ],
    }


def _show(outcome: dict[str, Any]) -> None:
    from streams.cli.tables import show_table

    rows = [
        (
            one["maker"],
            f"{one['tags_per_user']:.1f}",
            *(
                f"{one[measure]['mean']:.3f} [{one[measure]['low']:.3f} {one[measure]['high']:.3f}]"
                for measure in ("agreement", "chance", "reach")
            ),
        )
        for one in outcome["next_period"]
    ]
    title = f"Tags against the next {outcome['next_period_days']:g} days, {outcome['log']}"
    show_table(title, ("made by", "tags", "agree", "by chance", "reach"), rows)
    families = ", ".join(f"{family} {count}" for family, count in outcome["tags_by_family"].items()) or "none"
    refused = ", ".join(f"{reason} {count}" for reason, count in outcome["refused"].items()) or "none"
    click.echo(f"model {outcome['model_id']}: {outcome['questions']['asked']} questions about {outcome['users']} users")
    click.echo(f"with a tag at all: {outcome['coverage']:.1%}; approved: {families}")
    click.echo(f"evidence that exists: {outcome['valid_evidence_ratio']:.1%}; refused: {refused}")
    click.echo(f"not among the rule-made tags: {outcome['tags_beside_the_rules_ratio']:.1%}")
