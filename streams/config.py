"""Configuration: one TOML file, overridden by `SEREN_*` variables, read once at start.

Sections are the dataclasses below; the policies live beside the functions that use them. A key is written as in TOML
(`[rules.profile.window] visit_days = 10`) or as a variable (`SEREN_RULES_PROFILE_WINDOW_VISIT_DAYS=10`). A key that nobody
knows is an error that names the nearest known one. Nobody passes the whole of it on.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import msgspec

from models.blend import BlendPolicy
from models.errors import ConfigError
from models.pipeline import ServePolicy
from streams.agents.limits import JudgingLimits, ProfilesLimits
from streams.partition import Rules

PREFIX = "SEREN_"


@dataclass(frozen=True, kw_only=True)
class KafkaSettings:
    """Where the events are."""

    bootstrap: str = "127.0.0.1:9092"
    manage_topics: bool = True  # False where topics cannot be made by clients (the embedded broker)
    instance_id: str = ""  # static membership: a name that survives a restart of this worker; empty: none


@dataclass(frozen=True, kw_only=True)
class RedisSettings:
    """Where profiles and slates are."""

    url: str = "redis://127.0.0.1:6379/0"
    tenant: str = "default"


@dataclass(frozen=True, kw_only=True)
class SerenGPTSettings:
    """Which model answers, and where it runs."""

    model: str = ""  # a checkpoint folder; empty: the small one in the package
    threads: int = 1


@dataclass(frozen=True, kw_only=True)
class MetricsSettings:
    """Where Prometheus may scrape; 0 opens no port."""

    port: int = 0
    host: str = "127.0.0.1"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All sections. Functions get the values that they need, never this."""

    kafka: KafkaSettings = field(default_factory=KafkaSettings)
    redis: RedisSettings = field(default_factory=RedisSettings)
    rules: Rules = field(default_factory=Rules)
    profiles: ProfilesLimits = field(default_factory=ProfilesLimits)
    judging: JudgingLimits = field(default_factory=JudgingLimits)
    serengpt: SerenGPTSettings = field(default_factory=SerenGPTSettings)
    serve: ServePolicy = field(default_factory=ServePolicy)
    blend: BlendPolicy = field(default_factory=BlendPolicy)
    metrics: MetricsSettings = field(default_factory=MetricsSettings)


def load_settings(path: Path | None, environment: Mapping[str, str]) -> Settings:
    """The settings of a file (None: no file) under the environment's overrides.

    Raises:
        ConfigError: names the key, the value and what was expected, or the nearest known key.
    """
    tree = _read(path) if path else {}
    known = {".".join(keys): keys for keys, _ in _leaves(Settings())}
    for keys in _paths(tree, known):
        _check_known(".".join(keys), known, where=str(path))
    variables = {PREFIX + "_".join(keys).upper(): keys for keys in known.values()}
    for name, value in sorted(environment.items()):
        if name.startswith(PREFIX):
            _check_known(name, variables, where="the environment")
            _put(tree, variables[name], value)
    try:
        settings = msgspec.convert(tree, Settings, strict=False)
    except msgspec.ValidationError as error:
        message = f"configuration: {error}"
        raise ConfigError(message) from error
    check(settings)
    return settings


def check(settings: Settings) -> None:
    """Raises `ConfigError` for values that are of the right type and still make no sense."""
    window = settings.rules.profile.window
    bounds = {
        "rules.profile.window.visit_days": (window.visit_days, 1, 14),
        "rules.profile.short_term.half_life_days": (settings.rules.profile.short_term.half_life_days, 0.01, 3650),
        "profiles.max_users": (settings.profiles.max_users, 1, 100_000_000),
        "judging.batch": (settings.judging.batch, 1, 1024),
        "serengpt.threads": (settings.serengpt.threads, 1, 256),
        "metrics.port": (settings.metrics.port, 0, 65_535),
    }
    for key, (value, least, most) in bounds.items():
        if not least <= value <= most:
            message = f"configuration: {key} = {value} must be in {least}..{most}"
            raise ConfigError(message)


def masked(settings: Settings) -> dict[str, str]:
    """Every key with its value, secrets hidden, for `seren doctor`."""
    return {".".join(keys): mask(str(value)) for keys, value in _leaves(settings)}


def mask(text: str) -> str:
    """The text with the password of a URL hidden.

    Example:
        >>> mask("redis://ranker:secret@cache:6379/0")
        'redis://ranker:***@cache:6379/0'
    """
    parts = urlsplit(text)
    if not parts.password:
        return text
    netloc = parts.netloc.replace(f":{parts.password}@", ":***@")
    return urlunsplit(parts._replace(netloc=netloc))


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        message = f"configuration file {path}: {error}"
        raise ConfigError(message) from error


def _leaves(node: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for entry in fields(node):
        value = getattr(node, entry.name)
        if is_dataclass(value):
            yield from _leaves(value, (*path, entry.name))
        else:
            yield (*path, entry.name), value


def _paths(tree: Mapping[str, Any], known: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, value in tree.items():
        here = (*path, name)
        if isinstance(value, dict) and ".".join(here) not in known:
            yield from _paths(value, known, here)
        else:
            yield here


def _check_known(name: str, known: Mapping[str, Any], *, where: str) -> None:
    if name in known:
        return
    near = get_close_matches(name, known, n=1, cutoff=0.0)
    message = f"configuration: unknown key {name!r} in {where}; the nearest known one is {near[0]!r}"
    raise ConfigError(message)


def _put(tree: dict[str, Any], keys: tuple[str, ...], value: str) -> None:
    for name in keys[:-1]:
        tree = tree.setdefault(name, {})
    tree[keys[-1]] = value
