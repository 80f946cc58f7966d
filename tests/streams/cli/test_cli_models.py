import json
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result

from models.pretrained import serengpt_folder
from models.registry import Measured, Metrics, Registry
from streams.cli.models import models_group


@pytest.fixture
def registry(tmp_path: Path) -> Path:
    return tmp_path / "registry"


def run(registry: Path, *words: str) -> Result:
    return CliRunner().invoke(models_group, [*words, "--registry", str(registry)])


def metrics_file(folder: Path, *, novelty: float) -> Path:
    found = {
        what: Measured(name=what, mean=mean, low=mean, high=mean)
        for what, mean in (("ranking", 0.2), ("novelty", novelty), ("diversity", 28.0))
    }
    path = folder / f"{novelty}.json"
    path.write_bytes(msgspec.json.encode(Metrics(evaluation="shop", **found)))
    return path


def test_models_walk_from_the_first_version_to_a_refusal_and_back(registry: Path, tmp_path: Path) -> None:
    shipped = str(serengpt_folder())
    for novelty in (0.5, 0.499, 0.4):
        added = run(registry, "add", shipped, "--metrics", str(metrics_file(tmp_path, novelty=novelty)))
        assert added.exit_code == 0, added.output
    assert run(registry, "promote", "1").output == "version 1 serves\n"
    assert run(registry, "promote", "2").exit_code == 0
    refused = run(registry, "promote", "3")
    assert refused.exit_code == 1
    assert refused.stderr == (
        "version 3 is refused: novelty (novelty): 0.4 is under 0.494, 0.499 of the one that serves less 1%\n"
    )
    told = json.loads(run(registry, "list", "--json").stdout)
    assert (told["current"], [one["number"] for one in told["versions"]]) == (2, [1, 2, 3])
    assert len({one["content_hash"] for one in told["versions"]}) == 1
    assert run(registry, "rollback").output.startswith("version 1 serves again: serengpt-small@")
    listed = run(registry, "list").output
    assert "serves" in listed
    assert "0.499" in listed
    assert run(registry, "verify").output == "3 versions are what their records say\n"


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
