"""`seren doctor`: the configuration in effect, and whether everything that seren leans on is there and well.

Exit codes: 0 all well, 1 something failed, 2 the configuration cannot be read.
"""

from __future__ import annotations

import asyncio
import logging
import os
import platform
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from streams.cli.options import config_option, json_option, print_json, settings_of

if TYPE_CHECKING:
    from streams.doctor.checks import Check

_STYLES = {"ok": "green", "failed": "bold red", "skipped": "yellow"}


def _urls(_: click.Context, __: click.Parameter, urls: tuple[str, ...]) -> tuple[str, ...]:
    for url in urls:
        if not url.startswith(("http://", "https://")):
            message = f"{url!r} is no http://HOST:PORT"
            raise click.BadParameter(message)
    return urls


@click.command("doctor")
@config_option
@click.option(
    "--worker", "workers", multiple=True, callback=_urls, help="A worker's endpoint, http://HOST:PORT; may be repeated."
)
@json_option
def doctor(*, config: Path | None, workers: tuple[str, ...], as_json: bool) -> None:
    """Print the configuration (never its secrets) and check Redis, Kafka, the topics, the workers' progress and the models."""
    from streams.config import masked
    from streams.doctor.checks import check_all, versions
    from streams.doctor.profiling import check_profiling
    from streams.doctor.worker import check_worker

    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # what it cannot reach is said by the checks, once
    settings = settings_of(config)
    checks = asyncio.run(
        check_all(
            bootstrap=settings.kafka.bootstrap,
            redis_url=settings.redis.url,
            tenant=settings.redis.tenant,
            engine=settings.serengpt.engine,
            model=settings.serengpt.model,
            key_file=settings.serengpt.key_file,
        )
    )
    if settings.rules.profile.inference.enabled:
        checks += asyncio.run(check_profiling(settings.kafka.bootstrap, settings.profiling, os.environ))
    checks += [check for url in workers for check in check_worker(url)]
    is_well = all(check.status != "failed" for check in checks)
    if as_json:
        print_json(
            {
                "is_well": is_well,
                "python": platform.python_version(),
                "versions": versions(),
                "configuration": masked(settings),
                "checks": [asdict(check) for check in checks],
            }
        )
    else:
        _show(checks, masked(settings), versions())
    if not is_well:
        sys.exit(1)


def _show(checks: list[Check], configuration: dict[str, str], found: dict[str, str | None]) -> None:
    from rich.console import Console
    from rich.text import Text

    from streams.cli.tables import plain, show_table

    show_table("configuration in effect", ("key", "value"), sorted(configuration.items()))
    packages = ", ".join(f"{name} {version or 'missing'}" for name, version in found.items())
    console = Console()
    console.print(Text(f"Python {platform.python_version()}; {packages}", style="dim"))
    for check in checks:
        line = Text(f"{check.status:<8}", style=_STYLES[check.status])
        console.print(line.append(f"{check.name}: {plain(check.detail)}", style="default"), soft_wrap=True)
        if check.advice:
            console.print(Text(f"{'':<8}what to do: {check.advice}"), soft_wrap=True)
