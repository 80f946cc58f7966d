# ruff: noqa: A005  # the command's name; absolute imports cannot mistake it for the standard library's
"""`seren profile`: what is stored of a user, level by level.

Exit codes: 0 done, 1 there is no profile, 2 an error.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from streams.cli.options import config_option, json_option, print_json, settings_of
from streams.cli.tables import moment, plain, show_table

if TYPE_CHECKING:
    from models.entities import Digest, Item, Trace
    from models.profiles import Profile
    from streams.config import Settings
    from streams.partition import Rules
    from streams.state import ProfileState

TIMEOUT_S = 2.0  # a person waits


@click.command("profile")
@click.argument("user")
@click.option("--redis", "redis_url", metavar="URL", help="Redis; overrides the configuration.")
@click.option("--tenant", help="Tenant; overrides the configuration.")
@click.option(
    "--as-of", "as_of_ms", type=click.IntRange(min=0), metavar="MS", help="Decay to this time; the user's last event."
)
@click.option("--log", "log", help="Titles from this log's catalogue: a folder, or the name of a shipped log.")
@config_option
@json_option
def profile(
    *,
    user: str,
    redis_url: str | None,
    tenant: str | None,
    as_of_ms: int | None,
    log: str | None,
    config: Path | None,
    as_json: bool,
) -> None:
    """The stored cognition profile of USER.

    Titles come from --log, else from the trace behind the user's slate; an item of neither is shown by its id.
    """
    settings = settings_of(config)
    tenant = tenant or settings.redis.tenant
    state, trace = asyncio.run(_read(redis_url or settings.redis.url, tenant, user, settings.rules.surface))
    if state is None:
        if as_json:
            print_json(None)
        click.echo(f"seren: there is no profile of user {plain(user)!r} in tenant {plain(tenant)!r}", err=True)
        sys.exit(1)
    described = _described(user, state, settings, as_of_ms=as_of_ms, item=_titles(log, trace))
    print_json(described) if as_json else _show(described)


async def _read(url: str, tenant: str, user: str, surface: str) -> tuple[ProfileState | None, Trace | None]:
    from redis.asyncio import Redis
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff

    from streams.slates.store import SlateStore
    from streams.state import ProfileStore

    try:
        client = Redis.from_url(url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S, retry=Retry(NoBackoff(), 0))
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--redis") from error
    try:
        state = await ProfileStore(client, tenant=tenant).read(user)
        trace = await SlateStore(client, tenant=tenant, hard_ttl_ms=1).why(user, surface)
    finally:
        await client.aclose()
    return state, trace


def _titles(log: str | None, trace: Trace | None) -> Callable[[str], Item | None]:
    """Looks items up by id: in a log's catalogue, else among those that the trace names."""
    from models.catalogue import Catalogue
    from models.entities import Item
    from streams.offline import Refusals, read_items
    from streams.recorded.logs import RecordedLog, shipped_log

    if log is not None:
        source = RecordedLog(Path(log)) if Path(log).is_dir() else shipped_log(log)
        return Catalogue(read_items(source, Refusals())).get
    lines = () if trace is None else trace.digest.history
    named = {
        line.item_id: Item(item_id=line.item_id, title=line.title, category=(line.category or "-",))
        for line in lines
        if line.item_id is not None and line.title
    }
    return lambda item_id: named.get(item_id)  # noqa: PLW0108  # the method itself does not fit the type


def _described(
    user: str, state: ProfileState, settings: Settings, *, as_of_ms: int | None, item: Callable[[str], Item | None]
) -> dict[str, Any]:
    """Everything that is stored, as plain JSON values."""
    from models.profiles import PROFILE_BYTES, decode, digest

    stored = decode(state.profile)
    at_ms = stored.last_ms if as_of_ms is None else as_of_ms
    found: Digest = digest(stored, item, at_ms, settings.rules.profile)
    return {
        "user_id": user,
        "as_of_ms": at_ms,
        "epoch": state.epoch,
        "partition": state.partition,
        "offset": stored.offset,
        "events": stored.events,
        "positives": stored.positives,
        "last_ms": stored.last_ms,
        "bytes": len(state.profile),
        "bytes_bound": PROFILE_BYTES,
        **msgspec.to_builtins(found),
        "tags_in_pool": len(stored.pool),
        "inference": _inference(stored, at_ms, settings.rules),
        "window": _window(stored),
        "possessions": _possessions(stored, at_ms, settings.rules),
        "trigger": _trigger(stored, settings.rules),
    }


def _window(profile: Profile) -> dict[str, Any]:
    return {
        "visit_days": [datetime.fromtimestamp(day * 86_400, UTC).date().isoformat() for day in profile.visit_days],
        "categories": len(profile.seen_categories),
        "brands": len(profile.seen_brands),
        "sellers": len(profile.seen_sellers),
    }


def _inference(profile: Profile, at_ms: int, rules: Rules) -> dict[str, Any] | None:
    """What a language model inferred, tag by tag; None of users who were never asked about."""
    from models.profiles.inference import ranked

    inference = profile.inference
    if inference is None:
        return None
    levels = zip(("long_term", "short_term"), ranked(inference, at_ms, rules.profile.inference), strict=True)
    return {
        "asked_ms": inference.asked_ms,
        "answered_ms": inference.answered_ms if inference.answered_ms >= 0 else None,
        "is_waiting": inference.shown_sum != 0,
        "answers": inference.answers,
        "bytes": profile.inferred_bytes,
        **{
            level: [{"tag": name, "score": round(score, 4), "evidence": evidence} for name, score, evidence in tags]
            for level, tags in levels
        },
    }


def _possessions(profile: Profile, at_ms: int, rules: Rules) -> dict[str, int]:
    from models.profiles.policy import day_of
    from models.profiles.possessions import rejected

    return {
        "owned": len(profile.owned),
        "in_cart": len(profile.in_cart),
        "rejected": len(rejected(profile, day_of(at_ms), rules.profile.possessions)),
    }


def _trigger(profile: Profile, rules: Rules) -> dict[str, Any]:
    from models.trigger import due_ms

    drift = 1.0 - profile.asked_mass / profile.mass if profile.asked_ms >= 0 and profile.mass > 0.0 else None
    return {
        "pending": profile.pending,
        "pending_since_ms": profile.pending_since_ms if profile.pending else None,
        "due_ms": due_ms(profile, rules.trigger),
        "asked_ms": profile.asked_ms if profile.asked_ms >= 0 else None,
        "drift_ratio": drift,
    }


# ---------------------------------------------------------------------- for people


def _show(described: dict[str, Any]) -> None:
    static = [(line,) for line in described["static"]] or [("-",)]
    show_table(f"{described['user_id']}: static", ("attribute",), static)
    for level in ("long_term", "short_term"):
        rows = [
            (tag["family"], tag["text"], f"{tag['score']:.4f}", ", ".join(map(str, tag["evidence"])) or "-")
            for tag in described[level]
        ]
        title = f"{level.replace('_', ' ')}, as of {moment(described['as_of_ms'])}"
        show_table(title, ("family", "tag", "score", "evidence (offsets)"), rows or [("-", "-", "-", "-")])
    history = [
        (moment(line["ts_ms"]), line["type"], line["title"], line["item_id"] or "-", str(line["offset"]))
        for line in reversed(described["history"])
    ]
    show_table("recent history, newest first", ("when", "what", "title", "item", "offset"), history)
    show_table("beside the levels", ("what", "value"), _aside(described))


def _aside(described: dict[str, Any]) -> list[tuple[str, str]]:
    window, owned, trigger = described["window"], described["possessions"], described["trigger"]
    days = window["visit_days"]
    span = f", {days[0]} to {days[-1]}" if days else ""
    asked = "never" if trigger["asked_ms"] is None else moment(trigger["asked_ms"])
    pending = "none"
    if trigger["pending"]:
        pending = f"{trigger['pending']} since {moment(trigger['pending_since_ms'])}, fires at {moment(trigger['due_ms'])}"
    stored = f"offset {described['offset']} of partition {described['partition']}, epoch {described['epoch']}"
    rows = [
        ("events", f"{described['events']}, the last at {moment(described['last_ms'])}"),
        ("stored up to", stored),
        ("size", f"{described['bytes']} of {described['bytes_bound']} bytes"),
        ("visit days in the window", f"{len(days)}{span}"),
        ("seen in it", f"{window['categories']} categories, {window['brands']} brands, {window['sellers']} sellers"),
        ("possessions", f"{owned['owned']} owned, {owned['in_cart']} in the cart, {owned['rejected']} rejected"),
        ("tags in the pool", str(described["tags_in_pool"])),
        ("pending trigger", pending),
        ("last asked", asked),
    ]
    inference = described["inference"]
    if inference is not None:
        told = ", ".join(tag["tag"] for level in ("long_term", "short_term") for tag in inference[level]) or "nothing"
        answered = "never" if inference["answered_ms"] is None else moment(inference["answered_ms"])
        rows.append(("a language model told", f"{told} (last answer: {answered}; {inference['bytes']} bytes)"))
    if trigger["drift_ratio"] is not None:
        rows.append(("newer than the last question", f"{trigger['drift_ratio']:.0%} of the behaviour"))
    return rows
