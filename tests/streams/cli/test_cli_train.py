from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest
from click.testing import CliRunner

import streams.cli.train
from streams.cli.train import train_group


def test_train_lists_what_can_be_trained() -> None:
    result = CliRunner().invoke(train_group, ["--help"])
    assert result.exit_code == 0
    assert {"sft", "tower"} <= set(result.output.split())


def test_train_sft_without_torch_names_the_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def find_spec(name: str) -> ModuleSpec | None:
        return None if name == "torch" else ModuleSpec(name, None)

    monkeypatch.setattr(streams.cli.train, "find_spec", find_spec)
    result = CliRunner().invoke(train_group, ["sft", "--out", str(tmp_path / "model")])
    assert result.exit_code == 2
    assert result.stderr == "error: seren train sft needs torch; install the extra: pip install 'seren[train]'\n"
    assert not (tmp_path / "model").exists()
