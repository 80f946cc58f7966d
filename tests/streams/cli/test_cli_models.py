import json
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result

from models.errors import ConfigError
from models.pretrained import serengpt_folder
from models.registry import Metrics, Registry
from streams.cli.models import models_group

Measure = Callable[..., Metrics]


@pytest.fixture
def registry(tmp_path: Path) -> Path:
    return tmp_path / "registry"


def run(registry: Path, *words: str) -> Result:
    return CliRunner().invoke(models_group, [*words, "--registry", str(registry)])


def test_models_walk_from_the_first_version_to_a_refusal_and_back(registry: Path, tmp_path: Path, measure: Measure) -> None:
    shipped = serengpt_folder()
    for novelty in (0.5, 0.499, 0.4):
        path = tmp_path / f"{novelty}.json"
        path.write_bytes(msgspec.json.encode(measure(shipped, novelty=novelty)))
        added = run(registry, "add", str(shipped), "--metrics", str(path))
        assert added.exit_code == 0, added.output
    assert run(registry, "promote", "1").output == "version 1 serves\n"
    assert run(registry, "promote", "2").exit_code == 0
    refused = run(registry, "promote", "3")
    assert refused.exit_code == 1
    assert refused.stderr == (
        "version 3 is refused: novelty (novelty): -19.8% [-19.8% -19.8%] of 0.499, a loss of 1% or more\n"
    )
    told = json.loads(run(registry, "list", "--json").stdout)
    assert told["versions"][1]["measured"][0]["novelty"] == {"name": "novelty", "mean": 0.499, "low": 0.499, "high": 0.499}
    assert (told["current"], [one["number"] for one in told["versions"]]) == (2, [1, 2, 3])
    assert len({one["content_hash"] for one in told["versions"]}) == 1
    assert run(registry, "rollback").output.startswith("version 1 serves again: serengpt-small@")
    listed = run(registry, "list").output
    assert "serves" in listed
    assert "0.499" in listed
    assert run(registry, "verify").output == "3 versions are what their records say\n"


def test_models_measure_adds_more_cases_and_refuses_what_is_no_measurement(
    registry: Path, tmp_path: Path, measure: Measure
) -> None:
    shipped, path = serengpt_folder(), tmp_path / "found.json"
    run(registry, "add", str(shipped))
    path.write_bytes(msgspec.json.encode(measure(shipped, cases=80)))
    assert run(registry, "measure", "1", "--metrics", str(path)).output == (
        "version 1 is measured on a shop, 80 cases, 80 slates\n"
    )
    assert " 80 " in run(registry, "list").output
    for content in (b"", b"[", b'{"evaluation": "shop"}', b"\xff", b"[" * 100_000):
        path.write_bytes(content)
        refused = run(registry, "measure", "1", "--metrics", str(path))
        assert isinstance(refused.exception, ConfigError)
        assert "write it with seren evaluate gate" in str(refused.exception)


def test_promotion_follows_the_configuration(
    registry: Path, tmp_path: Path, measure: Measure, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped, path = serengpt_folder(), tmp_path / "found.json"
    for novelty in (0.5, 0.4):
        path.write_bytes(msgspec.json.encode(measure(shipped, novelty=novelty)))
        run(registry, "add", str(shipped), "--metrics", str(path))
    run(registry, "promote", "1")
    assert run(registry, "promote", "2").exit_code == 1
    monkeypatch.setenv("SEREN_PROMOTION_NOVELTY_DROP", "0.21")
    assert run(registry, "promote", "2").output == "version 2 serves\n"


def test_version_without_metrics_is_listed_and_never_promoted(registry: Path) -> None:
    run(registry, "add", str(serengpt_folder()))
    refused = run(registry, "promote", "1", "--json")
    assert refused.exit_code == 1
    assert json.loads(refused.stdout)["refusals"] == ["it was not measured: add it with --metrics"]
    assert "not measured" in run(registry, "list").output


def test_models_without_a_registry_says_where_to_name_one() -> None:
    result = CliRunner().invoke(models_group, ["list"])
    assert result.exit_code == 1
    assert "set serengpt.model" in str(result.exception)


def test_key_file_of_the_configuration_signs(registry: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "key").write_bytes(b"a key of the owner's\n")
    monkeypatch.setenv("SEREN_SERENGPT_KEY_FILE", str(tmp_path / "key"))
    run(registry, "add", str(serengpt_folder()))
    assert Registry(registry, key=b"a key of the owner's").verify(1).signature
