"""`seren train season`: what everybody wants these days, for the timeliness of slates. Needs no extra."""

from __future__ import annotations

from pathlib import Path

import click

from streams.cli.options import json_option, print_json


@click.command("season")
@click.option(
    "--log", "folder", type=click.Path(file_okay=False, path_type=Path), help="A log folder; the shipped one if left out."
)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), required=True, help="File to write the season to.")
@click.option("--until-ms", type=click.IntRange(min=0), help="The evening, ms since 1970; the end of the log if left out.")
@click.option("--half-life-days", type=click.FloatRange(min=0.01), help="The policy's if left out.")
@json_option
def season(folder: Path | None, out: Path, until_ms: int | None, half_life_days: float | None, as_json: bool) -> None:
    """Count what was wanted up to an evening, recent days most, and write it to --out; run it each night."""
    from dataclasses import replace

    from models.profiles import ProfilePolicy
    from models.season import SeasonPolicy, season_of
    from streams.recorded.logs import RecordedLog, shipped_log
    from streams.samples import read_samples

    recorded = RecordedLog(folder) if folder else shipped_log("online-retail")
    log = read_samples(recorded, policy=ProfilePolicy())
    policy = SeasonPolicy() if half_life_days is None else replace(SeasonPolicy(), half_life_days=half_life_days)
    found = season_of(
        ((one.as_of_ms, item_id) for one in log.samples for item_id in (*one.serendipitous, *one.others)),
        as_of_ms=recorded.about.last_ts_ms + 1 if until_ms is None else until_ms,
        items=len(log.catalogue),
        policy=policy,
    )
    found.save(out)
    if as_json:
        print_json({"file": str(out), "as_of_ms": found.as_of_ms, "items": len(found.wants), "mean": found.mean})
    else:
        click.echo(f"{len(found.wants)} items wanted as of {found.as_of_ms}, in {out}")
