from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest
from click.testing import CliRunner

import streams.cli.extras
from streams.cli.train import train_group

_WITH_EXTRA = {"sft", "tower", "refresh", "sasrec", "data", "verdicts", "words", "denoise", "pairs", "align", "small"}


def test_train_lists_what_can_be_trained() -> None:
    result = CliRunner().invoke(train_group, ["--help"])
    assert result.exit_code == 0
    assert {"sft", "tower"} <= set(result.output.split())


def test_train_sft_without_torch_names_the_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def find_spec(name: str) -> ModuleSpec | None:
        return None if name == "torch" else ModuleSpec(name, None)

    monkeypatch.setattr(streams.cli.extras, "find_spec", find_spec)
    result = CliRunner().invoke(train_group, ["sft", "--out", str(tmp_path / "model")])
    assert result.exit_code == 2
    assert result.stderr == "error: seren train sft needs torch; install the extra: pip install 'seren[train]'\n"
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize(
    ("command", "module", "given"),
    [
        ("sft", "transformers", ["--out", "{out}"]),
        ("tower", "torch", ["--out", "{out}"]),
        ("refresh", "transformers", ["--out", "{out}"]),
        ("sasrec", "torch", ["--out", "{out}"]),
        ("data", "pyarrow", ["--out", "{out}"]),
        ("verdicts", "pyarrow", ["--data", "{folder}", "--out", "{out}"]),
        ("words", "torch", ["{folder}", "--out", "{out}"]),
        ("denoise", "pyarrow", ["--data", "{folder}", "--decisions", "{decisions}", "--judge", "{out}", "--out", "{out}"]),
        ("pairs", "pyarrow", ["--data", "{folder}", "--out", "{out}"]),
        ("align", "peft", ["--out", "{out}"]),
        ("small", "trl", ["--out", "{out}"]),
    ],
)
def test_train_command_without_a_module_names_the_extra_and_writes_nothing(
    command: str, module: str, given: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def find_spec(name: str) -> ModuleSpec | None:
        return None if name == module else ModuleSpec(name, None)

    monkeypatch.setattr(streams.cli.extras, "find_spec", find_spec)
    out = tmp_path / "out"
    decisions = tmp_path / "decisions.jsonl"
    decisions.touch()
    arguments = [word.format(folder=tmp_path, out=out, decisions=decisions) for word in given]
    result = CliRunner().invoke(train_group, [command, *arguments])
    assert result.exit_code == 2
    assert result.stderr == f"error: seren train {command} needs {module}; install the extra: pip install 'seren[train]'\n"
    assert not out.exists()


def test_train_commands_of_the_light_install_ask_for_no_extra() -> None:
    assert set(train_group.commands) - _WITH_EXTRA == {"season", "distil"}
