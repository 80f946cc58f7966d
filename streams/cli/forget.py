# the command's name; absolute imports cannot mistake it for another module
"""`seren forget`: everything of one user, from the log's end backwards.

Exit codes: 0 forgotten, 1 told but no worker has come to it in time (or the person said no), 2 an error.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from streams.cli.options import config_option, json_option, print_json, settings_of
from streams.cli.tables import plain

if TYPE_CHECKING:
    from streams.config import Settings


@click.command("forget")
@click.argument("user")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--wait", "wait_s", type=click.FloatRange(0), default=30.0, show_default=True, help="Seconds to wait for.")
@config_option
@json_option
def forget(*, user: str, yes: bool, wait_s: float, config: Path | None, as_json: bool) -> None:
    """Forget USER: profile, evidence, attributes, timers, requests, slates.

    What comes of the user afterwards begins a new profile. The topics themselves keep their records until they expire.
    """
    from models.entities import ID_BYTES

    if not 0 < len(user.encode()) <= ID_BYTES:
        message = f"USER of {len(user.encode())} bytes; an id has 1 to {ID_BYTES}"
        raise click.BadParameter(message)
    settings = settings_of(config)
    who = f"user {plain(user)!r} of tenant {plain(settings.redis.tenant)!r}"
    if not yes and not click.confirm(f"Forget {who}? This cannot be undone", err=True):
        sys.exit(1)
    done = asyncio.run(_forget(settings, user, wait_s))
    if as_json:
        print_json({"user_id": user, **done})
    elif done["is_forgotten"]:
        click.echo(f"{who} is forgotten")
    else:
        click.echo(
            f"seren: {who} is told to be forgotten at offset {done['offset']} of partition {done['partition']}; no profile "
            f"worker has come there within {wait_s:g} s. What one holds in memory goes as soon as it does",
            err=True,
        )
    if not done["is_forgotten"]:
        sys.exit(1)


async def _forget(settings: Settings, user: str, wait_s: float) -> dict[str, Any]:
    from aiokafka import AIOKafkaProducer
    from aiokafka.errors import KafkaError
    from redis.asyncio import Redis

    from models.errors import BrokerUnavailable
    from streams.forgetting.order import delete, partition_in, tell, wait_for
    from streams.slates.store import SlateStore
    from streams.state import PartitionStore, ProfileStore

    client = Redis.from_url(settings.redis.url)
    producer = AIOKafkaProducer(bootstrap_servers=settings.kafka.bootstrap, acks="all")
    tenant = settings.redis.tenant
    profiles, partitions = ProfileStore(client, tenant=tenant), PartitionStore(client, tenant=tenant)
    slates = SlateStore(client, tenant=tenant, hard_ttl_ms=1)
    try:
        partition = await partition_in(profiles, user)
        try:
            await producer.start()
        except (KafkaError, OSError) as error:
            message = f"Kafka at {settings.kafka.bootstrap}: {error}"
            raise BrokerUnavailable(message) from error
        told = await tell(producer, user, partition=partition)
        surfaces = [settings.rules.surface]
        deleted = await delete(profiles, slates, user, surfaces)
        is_forgotten = await wait_for(partitions, told, within_s=wait_s)
    finally:
        await producer.stop()
        await client.aclose()
    return {**told._asdict(), "values_deleted": deleted, "is_forgotten": is_forgotten}
