# the command's name; absolute imports cannot mistake it for another module
"""`seren redrive`: dead letters sent back to where their records came from.

Exit codes: 0 done, 1 some of the chosen letters cannot be sent back, 2 an error.
"""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from streams.cli.options import config_option, json_option, print_json, settings_of

if TYPE_CHECKING:
    from streams.deadletters.redrive import Choice, Redriven

_REFUSALS = ("cut", "exhausted", "unusable")
_TIME = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S"])


@click.command("redrive")
@click.option("--class", "error", metavar="NAME", help="Only letters of this error: DecodeError, UnreadableProfile, ...")
@click.option("--user", "user_id", help="Only letters of this user (the record's key).")
@click.option("--since", type=_TIME, help="Only letters written since then (UTC).")
@click.option("--until", type=_TIME, help="Only letters written before then (UTC).")
@click.option("--limit", type=click.IntRange(1), help="Send back at most this many.")
@click.option("--max-attempts", type=click.IntRange(1), help="Attempts that a record gets in all, the first one included; 3.")
@click.option("--forgotten", is_flag=True, help="Also what was buried of users before they were forgotten.")
@click.option("--dry-run", is_flag=True, help="Show what would be done, and send nothing.")
@config_option
@json_option
def redrive(
    *,
    error: str | None,
    user_id: str | None,
    since: datetime | None,
    until: datetime | None,
    limit: int | None,
    max_attempts: int | None,
    forgotten: bool,
    dry_run: bool,
    config: Path | None,
    as_json: bool,
) -> None:
    """Send dead letters back to the topic and partition that they came from.

    It may be run again, also after it was interrupted: no record is applied twice. A record that fails again comes back as a
    letter with one attempt more.
    """
    from streams.deadletters.redrive import Choice

    choice = Choice(
        error=error,
        user_id=user_id,
        since_ms=_ms(since),
        until_ms=_ms(until),
        limit=limit,
        max_attempts=Choice.max_attempts if max_attempts is None else max_attempts,
        is_forgotten_wanted=forgotten,
    )
    done = asyncio.run(_redrive(config, choice, dry_run=dry_run))
    print_json(_described(done, dry_run=dry_run)) if as_json else _show(done, dry_run=dry_run)
    if any(done.count(fate) for fate in _REFUSALS):  # type: ignore[arg-type]
        sys.exit(1)


async def _redrive(config: Path | None, choice: Choice, *, dry_run: bool) -> Redriven:
    from redis.asyncio import Redis

    from streams.deadletters.redrive import redrive as send_back
    from streams.state import PartitionStore

    settings = settings_of(config)
    client = Redis.from_url(settings.redis.url)
    try:
        partitions = PartitionStore(client, tenant=settings.redis.tenant)
        return await send_back(settings.kafka.bootstrap, choice, partitions=partitions, dry_run=dry_run)
    finally:
        await client.aclose()


def _ms(moment: datetime | None) -> int | None:
    return None if moment is None else int(moment.replace(tzinfo=UTC).timestamp() * 1000)


def _described(done: Redriven, *, dry_run: bool) -> dict[str, Any]:
    from streams.deadletters.redrive import FATES

    return {
        "dry_run": dry_run,
        "letters_read": done.read,
        "total": {fate: done.count(fate) for fate in FATES},
        "by_class": {name: {fate: fates[fate] for fate in FATES} for name, fates in sorted(done.by_class.items())},
    }


def _show(done: Redriven, *, dry_run: bool) -> None:
    from streams.cli.tables import show_table
    from streams.deadletters.redrive import FATES

    met = [fate for fate in FATES if done.count(fate)]
    rows = [(name, *(str(fates[fate]) for fate in met)) for name, fates in sorted(done.by_class.items())]
    if len(rows) > 1:
        rows.append(("all", *(str(done.count(fate)) for fate in met)))
    title = f"{'would redrive' if dry_run else 'redriven'}: {done.read:,} letters read"
    caption = "; ".join(f"{fate}: {FATES[fate]}" for fate in met) or "no letter was chosen"
    show_table(title, ("error", *met), rows, caption=caption)
