"""`seren read`, `seren blend` and `seren why`: a slate as a ranker sees it, the page made with it, the chain behind an item.

Exit codes: 0 done, 1 there is no slate (or the item is not in its trace), 2 an error.
Ids and titles come from outside: they are shown without control characters, and never as markup.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import IO, Any

import click
import msgspec
import redis

from models.blend import PageItem, Placed
from models.blend import blend as blended
from models.entities import Id, Trace
from models.reasons import REASONS
from streams.cli.chain import chain_of, show_chain
from streams.cli.options import config_option, json_option, print_json, settings_of
from streams.cli.tables import moment, plain, show_table
from streams.client import ReadSlate, SlateReader
from streams.config import Settings
from streams.keys import why_key
from streams.lua.scripts import translating
from streams.slates.store import decode_trace

# A person waits; a ranker would not.
TIMEOUT_MS = 2_000

redis_option = click.option("--redis", "redis_url", metavar="URL", help="Redis; overrides the configuration.")
tenant_option = click.option("--tenant", help="Tenant; overrides the configuration.")
surface_option = click.option("--surface", default="home", show_default=True, help="The surface that the slate is for.")


class Page(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `--page` holds: personalised items, best first, and the items that the user was shown already."""

    items: list[PageEntry]
    exposed: list[Id] = []


class PageEntry(msgspec.Struct, frozen=True):
    """One personalised item of the page; what else the ranker keeps beside it is ignored."""

    item_id: Id
    score: float


@click.command("read")
@click.argument("user")
@config_option
@redis_option
@tenant_option
@surface_option
@json_option
def read(*, user: str, config: Path | None, redis_url: str | None, tenant: str | None, surface: str, as_json: bool) -> None:
    """The slate of USER, as a ranker sees it."""
    settings = settings_of(config)
    slate = _slate(settings, redis_url, tenant, user=user, surface=surface)
    now_ms = time.time_ns() // 1_000_000
    if as_json:
        print_json(None if slate is None else _slate_json(slate, user=user, surface=surface, now_ms=now_ms))
    elif slate is not None:
        _show_slate(slate, user=user, surface=surface, now_ms=now_ms)
    if slate is None:
        _say_absent("slate", user, surface)


@click.command("blend")
@click.argument("user")
@click.option(
    "--page",
    "page_file",
    type=click.File("rb"),
    required=True,
    help='JSON: {"items": [{"item_id": ..., "score": ...}, ...], "exposed": [item ids]}; - reads standard input.',
)
@click.option("--seed", default=0, show_default=True, help="Decides ties and exploration.")
@config_option
@redis_option
@tenant_option
@surface_option
@json_option
def blend(
    *,
    user: str,
    page_file: IO[bytes],
    seed: int,
    config: Path | None,
    redis_url: str | None,
    tenant: str | None,
    surface: str,
    as_json: bool,
) -> None:
    """The page of USER with serendipity blended in; the page alone where there is no slate."""
    settings = settings_of(config)
    page = _page(page_file)
    slate = _slate(settings, redis_url, tenant, user=user, surface=surface)
    placed = blended(
        [PageItem(entry.item_id, entry.score) for entry in page.items],
        () if slate is None else slate.items,
        policy=settings.blend,
        exposed=frozenset(page.exposed),
        seed=seed,
    )
    if as_json:
        slate_id = None if slate is None else slate.slate_id
        print_json({"user_id": user, "surface": surface, "slate_id": slate_id, "page": [place._asdict() for place in placed]})
    else:
        _show_page(placed, user=user, surface=surface)
    if slate is None:
        _say_absent("slate", user, surface)


@click.command("why")
@click.argument("user")
@click.argument("item")
@config_option
@redis_option
@tenant_option
@surface_option
@json_option
def why(
    *, user: str, item: str, config: Path | None, redis_url: str | None, tenant: str | None, surface: str, as_json: bool
) -> None:
    """Why ITEM is on the slate of USER, or why it is not: profile, imagined titles, retrieval, filters, scores."""
    settings = settings_of(config)
    trace = _trace(settings, redis_url, tenant, user=user, surface=surface)
    if trace is None:
        if as_json:
            print_json(None)
        _say_absent("trace", user, surface)
        return
    chain = chain_of(trace, item)
    if as_json:
        print_json(chain)
    else:
        show_chain(trace, chain)
    if chain["outcome"] == "not retrieved":
        sys.exit(1)


def _slate(settings: Settings, url: str | None, tenant: str | None, *, user: str, surface: str) -> ReadSlate | None:
    try:
        reader = SlateReader(url or settings.redis.url, tenant=tenant or settings.redis.tenant, timeout_ms=TIMEOUT_MS)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--redis") from error
    with reader:
        return reader.fetch(user, surface)


def _trace(settings: Settings, url: str | None, tenant: str | None, *, user: str, surface: str) -> Trace | None:
    timeout_s = TIMEOUT_MS / 1000
    try:
        client = redis.Redis.from_url(url or settings.redis.url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--redis") from error
    with translating(), client:
        value: Any = client.get(why_key(tenant or settings.redis.tenant, user, surface))
    return None if value is None else decode_trace(value)


def _page(page_file: IO[bytes]) -> Page:
    try:
        return msgspec.json.decode(page_file.read(), type=Page)
    except msgspec.DecodeError as error:
        raise click.BadParameter(str(error), param_hint="--page") from error


def _say_absent(what: str, user: str, surface: str) -> None:
    click.echo(f"seren: there is no {what} of user {plain(user)!r} on surface {plain(surface)!r}", err=True)
    sys.exit(1)


def _slate_json(slate: ReadSlate, *, user: str, surface: str, now_ms: int) -> dict[str, Any]:
    items = [{**item._asdict(), "reason_text": REASONS.get(item.reason, REASONS[0])} for item in slate.items]
    known = {"user_id": user, "surface": surface, "slate_id": slate.slate_id, "is_stale": slate.is_stale(now_ms)}
    return {**known, **slate._asdict(), "items": items}


def _show_slate(slate: ReadSlate, *, user: str, surface: str, now_ms: int) -> None:
    columns = ("place", "item", "serendipity", "relevance", "unexpected", "aligned", "drawn with", "reason")
    rows = [
        (
            str(place),
            item.item_id,
            f"{item.serendipity:.4f}",
            f"{item.relevance:.2f}",
            f"{item.unexpectedness:.2f}",
            f"{item.aligned:.2f}",
            f"{item.propensity:.3f}",
            REASONS.get(item.reason, REASONS[0]),
        )
        for place, item in enumerate(slate.items, start=1)
    ]
    stale = ", STALE" if slate.is_stale(now_ms) else ""
    caption = (
        f"slate {slate.slate_id}, tier {slate.tier}, model {slate.model_id}; events up to {moment(slate.watermark_ms)}, "
        f"published {moment(slate.published_ms)}, fresh until {moment(slate.soft_expiry_ms)}{stale}"
    )
    show_table(f"{user} on {surface}", columns, rows, caption=caption)


def _show_page(placed: list[Placed], *, user: str, surface: str) -> None:
    rows = [
        (
            str(place.place + 1),
            place.item_id,
            place.channel,
            f"{place.score_before:.4g}",
            f"{place.score_after:.3f}",
            f"{place.propensity:.3f}",
            place.why,
        )
        for place in placed
    ]
    columns = ("place", "item", "channel", "score", "compared as", "drawn with", "why here")
    share = sum(place.channel == "serendipity" for place in placed)
    show_table(f"{user} on {surface}", columns, rows, caption=f"{share} of {len(placed)} places are serendipitous")
