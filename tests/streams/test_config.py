"""Laws of the configuration: what wins, what is refused and how, and that nothing but `ConfigError` comes of any input."""

from __future__ import annotations

import string
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.errors import ConfigError
from streams.config import PREFIX, Settings, check, load_settings, mask, masked

STABLE = settings(
    max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
DEFAULTS = masked(Settings())
Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def written(text: str) -> Path:
        path = tmp_path / "seren.toml"
        path.write_bytes(text.encode("utf-8", "surrogateescape"))
        return path

    return written


def value_of(key: str) -> Any:
    """The default of a key."""
    node: Any = Settings()
    for name in key.split("."):
        node = getattr(node, name)
    return node


def variable(key: str) -> str:
    return PREFIX + key.replace(".", "_").upper()


def another(key: str) -> tuple[Any, str, str]:
    """A value other than the default that its bounds allow: as Python's, as TOML writes it, as a variable does."""
    value = value_of(key)
    if isinstance(value, bool):
        return not value, str(not value).lower(), str(not value).lower()
    if isinstance(value, str):
        text = {"redis.url": "redis://other:1/2", "serengpt.engine": "torch", "profiling.model": "endpoint"}.get(key, "other")
        return text, f'"{text}"', text
    if isinstance(value, dict):
        return {"purchase": 2.0, "hide": -3.5}, "{purchase = 2.0, hide = -3.5}", "{purchase = 2.0, hide = -3.5}"
    if value is None or isinstance(value, int):  # one less keeps within every budget
        number = 7 if value is None else max(1, value - 1) if value != 1 else 2
        return number, str(number), str(number)
    number = value * 0.75 + 0.0625 if value != 0.25 else 0.5  # profiles.lost_s stays above kafka.session_timeout_s
    return number, str(number), str(number)


# ---- what wins


def test_settings_without_a_file_and_variables_are_the_defaults() -> None:
    assert load_settings(None, {}) == Settings()


def test_variable_wins_over_the_file_and_the_file_over_the_default(write: Write) -> None:
    path = write('[kafka]\nbootstrap = "file:1"\n[judging]\nbatch = 3\n[rules.profile.window]\nvisit_days = 7\n')
    found = load_settings(path, {"SEREN_JUDGING_BATCH": "5", "SEREN_KAFKA_INSTANCE_ID": "w1", "HOME": "/root"})
    assert found.kafka.bootstrap == "file:1"
    assert found.judging.batch == 5
    assert found.kafka.instance_id == "w1"
    assert found.rules.profile.window.visit_days == 7
    assert found.rules.profile.window.min_visit_days == Settings().rules.profile.window.min_visit_days


@pytest.mark.parametrize("key", DEFAULTS)
def test_every_key_is_settable_in_the_file_and_by_a_variable_and_no_other_moves(key: str, write: Write) -> None:
    value, in_toml, in_environment = another(key)
    section, _, name = key.rpartition(".")
    expected = DEFAULTS | {key: mask(str(value))}
    assert expected != DEFAULTS
    assert masked(load_settings(write(f"[{section}]\n{name} = {in_toml}\n"), {})) == expected
    assert masked(load_settings(None, {variable(key): in_environment})) == expected


def test_every_section_s_field_is_a_key() -> None:
    def leaves(node: Any) -> int:
        return sum(
            leaves(getattr(node, entry.name)) if is_dataclass(getattr(node, entry.name)) else 1 for entry in fields(node)
        )

    assert len(DEFAULTS) == leaves(Settings())
    assert len({variable(key) for key in DEFAULTS}) == len(DEFAULTS), "two keys share a variable"


# ---- what is refused, and how


@pytest.mark.parametrize(
    ("text", "unknown", "nearest"),
    [
        ("[judging]\nbatchs = 3\n", "judging.batchs", "judging.batch"),
        ("[rules.profile.windows]\nvisit_days = 3\n", "rules.profile.windows.visit_days", "rules.profile.window.visit_days"),
        ("kafka = 5\n", "kafka", "kafka."),
        ('"kafka.bootstrap" = "x:1"\n', "kafka.bootstrap", "kafka.bootstrap"),
        ("[redis.url]\nhost = 1\n", None, "redis.url"),
    ],
)
def test_unknown_key_in_the_file_is_refused_and_the_nearest_is_named(
    text: str, unknown: str | None, nearest: str, write: Write
) -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings(write(text), {})
    if unknown is not None:
        assert f"unknown key {unknown!r}" in str(caught.value)
        assert "seren.toml" in str(caught.value)
    assert nearest in str(caught.value)


def test_unknown_variable_is_refused_and_the_nearest_is_named() -> None:
    with pytest.raises(ConfigError, match="'SEREN_REDIS_URI' in the environment; the nearest known one is 'SEREN_REDIS_URL'"):
        load_settings(None, {"SEREN_REDIS_URI": "redis://h"})


def test_syntax_error_names_the_file_and_the_line(write: Write) -> None:
    path = write("[kafka]\nbootstrap = \n")
    with pytest.raises(ConfigError) as caught:
        load_settings(path, {})
    assert str(path) in str(caught.value)
    assert "line 2" in str(caught.value)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.toml"):
        load_settings(tmp_path / "nowhere.toml", {})


@pytest.mark.parametrize(
    ("text", "environment", "named"),
    [
        ('[judging]\nbatch = "many"\n', {}, "judging.batch"),
        ("[kafka]\nmanage_topics = 7\n", {}, "kafka.manage_topics"),
        ("", {"SEREN_METRICS_PORT": "http"}, "metrics.port"),
        ("[rules.profile.short_term]\nevent_weight = {look = 1.0}\n", {}, "event_weight"),
        ("", {"SEREN_RULES_PROFILE_SHORT_TERM_EVENT_WEIGHT": "purchase=1"}, "SEREN_RULES_PROFILE_SHORT_TERM_EVENT_WEIGHT"),
        ("", {"SEREN_REDIS_URL": "http://h"}, "redis.url"),
        ("[rules.profile.history]\nbytes = 4000\n", {}, "4096"),
    ],
)
def test_value_of_another_kind_is_refused_by_its_key(text: str, environment: dict[str, str], named: str, write: Write) -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings(write(text), environment)
    assert named in str(caught.value)


@pytest.mark.parametrize(
    ("key", "least", "most"),
    [
        ("rules.profile.window.visit_days", 1, 14),
        ("rules.profile.short_term.half_life_days", 0.01, 3650),
        ("profiles.checkpoint_events", 1, 10_000_000),
        ("profiles.max_users", 1, 100_000_000),
        ("profiles.profile_ttl_days", 0.001, 36_500),
        ("judging.batch", 1, 1024),
        ("judging.max_waiting", 1, 1_000_000),
        ("judging.hard_ttl_s", 1, 3.2e9),
        ("serengpt.threads", 1, 256),
        ("serve.selection.slate_size", 1, 255),
        ("metrics.port", 0, 65_535),
        ("profiles.release_s", 0, 1e300),
        ("rules.trigger.cool_down_s", 0, 1e300),
    ],
)
def test_bound_holds_its_ends_and_refuses_what_is_beyond(key: str, least: float, most: float) -> None:
    for inside in (least, most):
        assert masked(load_settings(None, {variable(key): str(inside)}))[key] in {str(inside), str(float(inside))}
    step = 1 if isinstance(value_of(key), int) else 0.001
    beyond = [least - step] if most == 1e300 else [least - step, most + max(step, most * 0.001)]
    for outside in beyond:
        number = round(outside) if isinstance(value_of(key), int) else outside
        with pytest.raises(ConfigError, match=key.rpartition(".")[2]):
            load_settings(None, {variable(key): str(number)})


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({"SEREN_KAFKA_SESSION_TIMEOUT_S": "6", "SEREN_KAFKA_HEARTBEAT_S": "2.1"}, "kafka.heartbeat_s = 2.1 .* = 6.0"),
        ({"SEREN_PROFILES_LOST_S": "60"}, "profiles.lost_s = 60.0 must be more than kafka.session_timeout_s = 60.0"),
        ({"SEREN_KAFKA_SESSION_TIMEOUT_S": "91"}, r"kafka.session_timeout_s = 91.0 must be in 1\.\.90"),
    ],
)
def test_timeouts_that_contradict_each_other_are_refused(variables: dict[str, str], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        load_settings(None, variables)


def test_shortest_session_with_a_third_of_it_for_a_heartbeat_is_accepted() -> None:
    found = load_settings(None, {"SEREN_KAFKA_SESSION_TIMEOUT_S": "6", "SEREN_KAFKA_HEARTBEAT_S": "2"})
    assert (found.kafka.session_timeout_s, found.kafka.heartbeat_s) == (6.0, 2.0)


@pytest.mark.parametrize("key", [key for key in DEFAULTS if isinstance(value_of(key), float)])
@pytest.mark.parametrize("text", ["nan", "inf", "-inf"])
def test_number_that_is_none_is_refused(key: str, text: str, write: Write) -> None:
    section, _, name = key.rpartition(".")
    with pytest.raises(ConfigError, match=name):
        load_settings(write(f"[{section}]\n{name} = {text}\n"), {})


# ---- secrets


@pytest.mark.parametrize(
    "url",
    [
        "redis://ranker:s3cret@cache:6379/0",
        "redis://:s3cret@cache:6379/0",
        "rediss://ranker:s3cret%40x@cache:6379/0",
        "redis://ranker:s3cret@@cache/0",
        "redis://cache:6379/0?password=s3cret&db=1",
        "redis://ranker:s3cret@[::1",
    ],
)
def test_password_is_hidden_and_the_rest_stays(url: str) -> None:
    hidden = mask(url)
    assert "s3cret" not in hidden
    assert "***" in hidden
    assert hidden.startswith(url.split("s3cret", maxsplit=1)[0])


def test_error_about_a_url_hides_its_password() -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings(None, {"SEREN_REDIS_URL": "redis://:s3cret@cache:port/0"})
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("text", ["127.0.0.1:9092", "redis://127.0.0.1:6379/0", "", "redis://user@cache", "1.0"])
def test_text_without_a_password_stays_as_it_is(text: str) -> None:
    assert mask(text) == text


# ---- anything at all


NAMES = st.one_of(
    st.sampled_from(sorted({part for key in DEFAULTS for part in key.split(".")})),
    st.text(string.ascii_lowercase + "_.", max_size=8),
)
VALUES = st.one_of(
    st.sampled_from(
        ["1", "-1", "0", "nan", "inf", "true", '"text"', "1e400", "9" * 30, "1979-05-27", "[]", "{}", "[[[]]]", "''"]
    ),
    st.integers().map(str),
    st.floats().map(str),
)


@given(text=st.text(max_size=120))
@STABLE
def test_any_text_for_a_file_gives_settings_or_a_config_error(text: str, write: Write) -> None:
    try:
        check(load_settings(write(text.encode("utf-8", "replace").decode()), {}))
    except ConfigError as error:
        assert str(error)


@given(lines=st.lists(st.tuples(st.lists(NAMES, min_size=1, max_size=4), VALUES), max_size=6))
@STABLE
def test_any_keys_and_values_give_settings_or_a_config_error(lines: list[tuple[list[str], str]], write: Write) -> None:
    text = "".join(".".join(name or '""' for name in names) + f" = {value}\n" for names, value in lines)
    try:
        check(load_settings(write(text), {}))
    except ConfigError as error:
        assert str(error)


@given(
    environment=st.dictionaries(
        st.one_of(st.sampled_from([variable(key) for key in DEFAULTS]), st.text(max_size=12).map(lambda name: PREFIX + name)),
        st.one_of(VALUES, st.text(max_size=20)),
        max_size=4,
    )
)
@STABLE
def test_any_variables_give_settings_or_a_config_error(environment: dict[str, str]) -> None:
    try:
        check(load_settings(None, environment))
    except ConfigError as error:
        assert str(error)


@pytest.mark.parametrize("text", ["a = " + "[" * 100_000, "[judging]\nbatch = " + "9" * 10_000, "a = '\udcff'"])
def test_hostile_file_is_a_config_error(text: str, write: Write) -> None:
    with pytest.raises(ConfigError):
        load_settings(write(text), {})
