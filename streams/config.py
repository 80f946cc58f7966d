"""Configuration: one TOML file, overridden by `SEREN_*` variables, read once at start.

Sections are the dataclasses below; the policies live beside the functions that use them. A key is written as in TOML
(`[rules.profile.window] visit_days = 10`) or as a variable (`SEREN_RULES_PROFILE_WINDOW_VISIT_DAYS=10`). A key that nobody
knows is an error that names the nearest known one. Nobody passes the whole of it on.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from difflib import get_close_matches
from math import inf, isfinite
from pathlib import Path
from typing import Any, NoReturn

import msgspec
from redis.connection import parse_url

from models.alignment.policy import AlignmentPolicy
from models.blend import BlendPolicy
from models.errors import ConfigError, brief
from models.fallback import FallbackPolicy
from models.judging.policy import JudgePolicy
from models.pipeline import ServePolicy
from models.profiles.exchange import MAX_FINDINGS, MAX_SHOWN
from models.registry.gate import Gate
from models.serengpt.vllm_limits import VllmLimits
from models.tiers import TierPolicy
from streams.agents.limits import JudgingLimits, ProfilesLimits
from streams.engines.chat import ChatSettings
from streams.engines.hosting.engine import HostPolicy
from streams.observability.health import HealthPolicy
from streams.partition import Rules
from streams.profiling.settings import MODELS, ProfilingSettings
from streams.scores.policy import ScoresPolicy
from streams.slates.packed import ITEMS

# Characters of a file: twenty times one that sets every key. And of a line, or of a variable's value: a path or URL has less,
# and the parser's time grows with the square of the dots in a key.
FILE_CHARS = 256 * 1024
LINE_CHARS = 4096
_INTEGER_BITS = 53  # every float holds such a number exactly
_DEEPEST = 8  # names in a key; the deepest known one has four
_NAME_CHARS = 200  # of an unknown name, when the nearest known one is looked for
_Keys = tuple[str, ...]  # a key as its section and its name: ("kafka", "bootstrap")

PREFIX = "SEREN_"

ENGINES = ("ctranslate2", "torch", "vllm")  # `streams.engines.named` loads them

# key -> the least and the most that makes sense; every other number is at least 0
_BOUNDS: dict[str, tuple[float, float]] = {
    "kafka.session_timeout_s": (1, 90),  # Faust's timeout of one request; it refuses a longer session
    "kafka.heartbeat_s": (0.1, 30),
    "rules.profile.window.visit_days": (1, 14),
    "rules.profile.short_term.half_life_days": (0.01, 3650),
    "profiles.checkpoint_events": (1, 10_000_000),
    "profiles.max_users": (1, 100_000_000),
    "profiles.profile_ttl_days": (0.001, 36_500),  # what Redis is told in milliseconds
    "judging.attempts": (1, 100),
    "judging.max_failures": (1, 1_000_000),
    "judging.batch": (1, 1024),
    "vllm.gpu_memory_share": (0.01, 1),
    "vllm.sequences": (1, 65_536),
    "judging.side_by_side": (1, 64),
    "judging.max_waiting": (1, 1_000_000),  # with room for nobody, nothing would ever be answered
    "judging.hard_ttl_s": (1, 3.2e9),
    "tiers.failures_count": (1, 1_000),
    "tiers.probe_s": (0.1, 3_600),
    "tiers.probes_count": (1, 1_000),
    "host.stall_s": (1, 3_600),
    "host.start_s": (1, 86_400),
    "host.wait_s": (0.1, 600),
    "serengpt.threads": (1, 256),
    "serve.selection.slate_size": (1, ITEMS),
    "serve.combine.relevance_weight": (0.001, 1000),  # some weight must be above 0; the same below
    "serve.combine.unknown": (0, 1),
    "serve.combine.sharpness": (0.01, 100),
    "judge.combine.relevance_weight": (0.001, 1000),
    "judge.combine.unknown": (0, 1),
    "judge.combine.sharpness": (0.01, 100),
    "judge.prior": (0, 1),
    "judge.prior_count": (0.001, 1_000_000),
    "judge.label_share": (0, 1),
    "judge.nearness": (0.1, 100),
    "judge.surprise": (0.1, 100),
    "judge.sighting": (0.001, 1_000_000),
    "judge.related_share": (0, 1000),
    "judge.related_count": (1, 1000),
    "judge.category_share": (0.001, 0.999),  # either part may be all that is known
    "judge.model_share": (0, 1),
    "judge.home.history_count": (1, 1000),
    "judge.portrait.history_count": (1, 1_000_000),
    "judge.portrait.tastes.spread_share": (0.001, 1),
    "judge.portrait.tastes.half_life_days": (0.01, 36_500),
    "judge.portrait.tastes.oldest_share": (0, 1),
    "scores.cache_bytes": (0, 2**40),
    "scores.warm_records": (4, 100_000_000),  # at least one a partition
    "alignment.verdicts.relevance_at": (0, 1),
    "alignment.verdicts.unexpectedness_at": (0, 1),
    "alignment.rubric.new_at": (0, 1),
    "alignment.pairing.titles_per_prompt": (2, 64),
    "alignment.pairing.clear_gap": (1, 5),
    "alignment.gate.auc": (0, 1),
    "alignment.gate.kappa": (0, 1),
    "promotion.ranking_drop": (0, 1),
    "promotion.novelty_drop": (0, 1),
    "promotion.diversity_drop": (0, 1),
    "promotion.confidence": (0.5, 0.999),  # 2,000 resamples know nothing of rarer ends
    "promotion.users_count": (2, 1_000_000),
    "teacher.timeout_s": (1, 3600),
    "teacher.attempts": (1, 100),
    "teacher.max_tokens": (16, 100_000),
    "rules.profile.inference.half_life_days": (0.01, 3650),
    "rules.profile.inference.max_shown": (1, MAX_SHOWN),
    "rules.profile.inference.evidence_per_tag": (1, 8),
    "profiling.concurrency": (1, 256),
    "profiling.endpoint.timeout_s": (1, 3600),
    "profiling.endpoint.attempts": (1, 100),
    "profiling.endpoint.max_tokens": (16, 100_000),
    "profiling.local.titles": (1, 256),
    "profiling.limits.batch": (1, 1024),
    "profiling.limits.max_waiting": (1, 1_000_000),
    "profiling.limits.max_failures": (1, 1_000_000),
    "profiling.stage.attempts": (1, 10),
    "profiling.stage.summary_every": (1, 1000),
    "profiling.stage.question.max_tags": (1, MAX_FINDINGS),
    "profiling.stage.question.window_chars": (256, 1_000_000),
    "profiling.stage.approval.max_tag_chars": (4, 64),
    "profiling.stage.approval.top": (1, MAX_FINDINGS),
    "profiling.stage.approval.evidence_full": (1, 64),
    "metrics.port": (0, 65_535),
    "health.excused_s": (1, 86_400),
}
# A URL's password: up to the last @, so that one with an @ or a slash of its own is hidden whole; or a parameter of that name.
_PASSWORD = re.compile(r"(://[^:@/\s]*:)\S+(?=@)|([?&]password=)[^&\s]+")


@dataclass(frozen=True, kw_only=True)
class KafkaSettings:
    """Where the events are."""

    bootstrap: str = "127.0.0.1:9092"
    manage_topics: bool = True  # False where topics cannot be made by clients (the embedded broker)
    instance_id: str = ""  # static membership: a name that survives a restart of this worker; empty: none
    # A worker that died or hangs is put out of its group after this, and the others get its partitions. Less notices sooner,
    # and puts out a worker whose machine only paused; the brokers' group.min.session.timeout.ms (6 s) is the least they grant.
    session_timeout_s: float = 60.0
    heartbeat_s: float = 3.0  # at most a third of the session timeout, so that two may be lost


@dataclass(frozen=True, kw_only=True)
class RedisSettings:
    """Where profiles and slates are."""

    url: str = "redis://127.0.0.1:6379/0"
    tenant: str = "default"


@dataclass(frozen=True, kw_only=True)
class SerenGPTSettings:
    """Which model answers, and where it runs."""

    # ctranslate2: int8 on the CPU. torch: bf16 on a GPU, float32 on the CPU without one; needs the extra seren[torch].
    # vllm: a server of its own for many users on a GPU; needs the extra seren[vllm].
    engine: str = "ctranslate2"
    # A checkpoint folder, or a registry of versions (seren models), which is followed; empty: the small one in the package.
    model: str = ""
    # What everybody wants these days, as `seren train season` writes it each night; read at start. Empty: not known.
    season: str = ""
    key_file: str = ""  # holds the key that a registry's versions are signed with; empty: their contents alone are checked
    threads: int = 1  # on the CPU
    # A folder that `seren train distil` made: who answers when the model cannot. Empty: the one in the package where the model
    # is, too; with another model there is none, and the category rule answers.
    distilled: str = ""
    # The model runs in a process of its own, which is replaced when it ends, or has work and moves nothing. It costs a second
    # Python (some 100 MB). False: in the worker itself; a model that hangs is then left there, with its memory.
    hosted: bool = True


@dataclass(frozen=True, kw_only=True)
class MetricsSettings:
    """Where Prometheus may scrape and probes may ask: /metrics, /livez, /readyz."""

    port: int | None = None  # none: closed; 0: a free one, which the log names
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
    vllm: VllmLimits = field(default_factory=VllmLimits)
    host: HostPolicy = field(default_factory=HostPolicy)
    serve: ServePolicy = field(default_factory=ServePolicy)
    blend: BlendPolicy = field(default_factory=BlendPolicy)
    tiers: TierPolicy = field(default_factory=TierPolicy)
    fallback: FallbackPolicy = field(default_factory=FallbackPolicy)
    scores: ScoresPolicy = field(default_factory=ScoresPolicy)
    judge: JudgePolicy = field(default_factory=JudgePolicy)
    alignment: AlignmentPolicy = field(default_factory=AlignmentPolicy)
    promotion: Gate = field(default_factory=Gate)
    teacher: ChatSettings = field(default_factory=ChatSettings)
    profiling: ProfilingSettings = field(default_factory=ProfilingSettings)
    metrics: MetricsSettings = field(default_factory=MetricsSettings)
    health: HealthPolicy = field(default_factory=HealthPolicy)


def load_settings(path: Path | None, environment: Mapping[str, str]) -> Settings:
    """The settings of a file (None: no file) under the environment's overrides.

    Raises:
        ConfigError: names the key, the value and what was expected, or the nearest known key.
    """
    tree = _read(path) if path else {}
    known = {keys: value for keys, value in _leaves(Settings())}
    names = {".".join(keys): keys for keys in known}
    for keys in _paths(tree, known):
        if keys not in known:
            _refuse(".".join(keys), names, where=str(path))
    variables = {PREFIX + "_".join(keys).upper(): keys for keys in known}
    for name, value in sorted(environment.items()):
        if name.startswith(PREFIX):
            if name not in variables:
                _refuse(name, variables, where="the environment")
            _check_length(name, value)
            keys = variables[name]
            _put(tree, keys, _table(name, value) if isinstance(known[keys], dict) else value)
    try:
        settings = msgspec.convert(tree, Settings, strict=False)
    except (msgspec.ValidationError, RecursionError, OverflowError) as error:
        message = f"configuration: {brief(str(error))}"
        raise ConfigError(message) from error
    check(settings)
    return settings


def check(settings: Settings) -> None:
    """Raises `ConfigError` for values that are of the right type and still make no sense."""
    for keys, value in _leaves(settings):
        _check_number(".".join(keys), value)
    found = {".".join(keys): value for keys, value in _leaves(settings)}
    for key, (least, most) in _BOUNDS.items():
        if found[key] is not None and not least <= found[key] <= most:
            message = f"configuration: {key} = {found[key]} must be in {least}..{most}"
            raise ConfigError(message)
    if settings.serengpt.engine not in ENGINES:
        message = f"configuration: serengpt.engine = {brief(settings.serengpt.engine)!r} must be one of {', '.join(ENGINES)}"
        raise ConfigError(message)
    if settings.profiling.model not in MODELS:
        message = f"configuration: profiling.model = {brief(settings.profiling.model)!r} must be one of {', '.join(MODELS)}"
        raise ConfigError(message)
    _check_timeouts(settings.kafka, settings.profiles)
    _check_tiers(settings.tiers)
    try:
        parse_url(settings.redis.url)  # type: ignore[no-untyped-call]
    except ValueError as error:
        message = f"configuration: redis.url = {brief(mask(settings.redis.url))!r}: {brief(mask(str(error)))}"
        raise ConfigError(message) from error


def _check_timeouts(kafka: KafkaSettings, profiles: ProfilesLimits) -> None:
    """A member has three heartbeats in a session, and a lost partition is waited for until a dead member was put out."""
    if kafka.heartbeat_s * 3 > kafka.session_timeout_s:
        message = (
            f"configuration: kafka.heartbeat_s = {kafka.heartbeat_s} must be at most a third of kafka.session_timeout_s = "
            f"{kafka.session_timeout_s}"
        )
        raise ConfigError(message)
    if profiles.lost_s <= kafka.session_timeout_s:
        message = (
            f"configuration: profiles.lost_s = {profiles.lost_s} must be more than kafka.session_timeout_s = "
            f"{kafka.session_timeout_s}"
        )
        raise ConfigError(message)


def _check_tiers(tiers: TierPolicy) -> None:
    """A batch is slow before it is given up, and a queue is young before it is old: else a step would undo the one before."""
    for lower, upper in (("slow_s", "late_s"), ("queue_young_s", "queue_age_s")):
        least, most = getattr(tiers, lower), getattr(tiers, upper)
        if least > most:
            message = f"configuration: tiers.{lower} = {least} must be at most tiers.{upper} = {most}"
            raise ConfigError(message)


def _check_number(key: str, value: Any) -> None:
    """No number here is negative or endless; weights may be negative."""
    numbers = value.values() if isinstance(value, dict) else [value]
    least = -inf if isinstance(value, dict) else 0
    for number in numbers:
        if isinstance(number, int) and number.bit_length() > _INTEGER_BITS:
            message = f"configuration: {key} = a number of {number.bit_length()} bits must have at most {_INTEGER_BITS}"
            raise ConfigError(message)
        if isinstance(number, int | float) and not (isfinite(number) and number >= least):
            message = f"configuration: {key} = {number} must be a finite number" + ("" if least else " of at least 0")
            raise ConfigError(message)


def masked(settings: Settings) -> dict[str, str]:
    """Every key with its value, secrets hidden, for `seren doctor`."""
    return {".".join(keys): mask(str(value)) for keys, value in _leaves(settings)}


def mask(text: str) -> str:
    """The text with the passwords of URLs in it hidden, whether or not the rest of them can be read.

    Example:
        >>> mask("redis://ranker:secret@cache:6379/0")
        'redis://ranker:***@cache:6379/0'
        >>> mask("redis://cache:6379?password=secret&db=1")
        'redis://cache:6379?password=***&db=1'
    """
    return _PASSWORD.sub(lambda found: f"{found[1] or found[2]}***", text)


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(FILE_CHARS + 1)
        if len(text) > FILE_CHARS:
            message = f"configuration file {path}: more than {FILE_CHARS} characters"
            raise ConfigError(message)
        for number, line in enumerate(text.split("\n"), start=1):
            _check_length(f"file {path}, line {number}", line)
        return tomllib.loads(text)
    except (OSError, ValueError, RecursionError) as error:  # no UTF-8, no TOML, a number of 5,000 digits, too deep
        message = f"configuration file {path}: {brief(str(error))}"
        raise ConfigError(message) from error


def _check_length(where: str, text: str) -> None:
    if len(text) > LINE_CHARS:
        message = f"configuration: {where}: {len(text)} characters are over the bound of {LINE_CHARS}"
        raise ConfigError(message)


def _leaves(node: Any, path: _Keys = ()) -> Iterator[tuple[_Keys, Any]]:
    for entry in fields(node):
        value = getattr(node, entry.name)
        if is_dataclass(value):
            yield from _leaves(value, (*path, entry.name))
        else:
            yield (*path, entry.name), value


def _paths(
    tree: Mapping[str, Any], known: Container[tuple[str, ...]], path: tuple[str, ...] = ()
) -> Iterator[tuple[str, ...]]:
    for name, value in tree.items():
        here = (*path, name)
        if isinstance(value, dict) and here not in known and len(here) < _DEEPEST:
            yield from _paths(value, known, here)
        else:
            yield here


def _refuse(name: str, known: Iterable[str], *, where: str) -> NoReturn:
    near = get_close_matches(name[:_NAME_CHARS], known, n=1, cutoff=0.0)
    message = f"configuration: unknown key {brief(name)!r} in {where}; the nearest known one is {near[0]!r}"
    raise ConfigError(message)


def _table(name: str, text: str) -> Any:
    """A variable's value for a key that is a table: an inline table of TOML."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError) as error:
        message = f"configuration: {name}: not a TOML table such as {{purchase = 1.0}}: {brief(str(error))}"
        raise ConfigError(message) from error


def _put(tree: dict[str, Any], keys: tuple[str, ...], value: str) -> None:
    for name in keys[:-1]:
        tree = tree.setdefault(name, {})
    tree[keys[-1]] = value
