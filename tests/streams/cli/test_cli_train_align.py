from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest
from click.testing import CliRunner

import streams.cli.extras
from streams.cli.train import train_group


def test_train_align_without_trl_names_the_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def find_spec(name: str) -> ModuleSpec | None:
        return None if name == "trl" else ModuleSpec(name, None)

    monkeypatch.setattr(streams.cli.extras, "find_spec", find_spec)
    result = CliRunner().invoke(train_group, ["align", "--out", str(tmp_path / "model")])
    assert result.exit_code == 2
    assert result.stderr == "error: seren train align needs trl; install the extra: pip install 'seren[train]'\n"
    assert not (tmp_path / "model").exists()


def test_train_align_offers_the_methods_and_tasks() -> None:
    result = CliRunner().invoke(train_group, ["align", "--help"])
    assert result.exit_code == 0
    assert "[ipo|dpo|kto|sft]" in result.output
    assert "[title|query]" in result.output
