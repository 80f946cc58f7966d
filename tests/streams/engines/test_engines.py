"""Laws of choosing an engine: by its name, with words for what is missing, and torch only where it was asked for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from models.errors import CheckpointError, ConfigError
from streams.config import ENGINES, load_settings
from streams.doctor.checks import check_serengpt
from streams.engines.named import load_engine


def test_engine_of_another_name_is_refused_with_the_names_that_are() -> None:
    with pytest.raises(ConfigError, match=r"serengpt\.engine = 'onnx' must be one of ctranslate2, torch, vllm"):
        load_settings(None, {"SEREN_SERENGPT_ENGINE": "onnx"})


def test_vllm_that_is_not_installed_is_an_error_that_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vllm", None)  # as if it were not installed
    with pytest.raises(ConfigError, match=r"serengpt\.engine = vllm needs vllm: pip install 'seren\[vllm\]'"):
        load_engine("vllm", "", threads=1)


@pytest.mark.parametrize("missing", ["torch", "safetensors"])
def test_torch_that_is_not_installed_is_an_error_that_names_the_extra(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)  # as if it were not installed
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ConfigError, match=rf"serengpt\.engine = torch needs .*{missing}.*pip install 'seren\[torch\]'"):
        load_engine("torch", "", threads=1)
    found = check_serengpt("torch", "")
    assert (found.status, found.advice) == ("failed", "install what it needs, or set serengpt.engine to ctranslate2")


def test_default_engine_is_there_and_the_doctor_says_what_it_runs_on() -> None:
    found = check_serengpt(load_settings(None, {}).serengpt.engine, "")
    assert found.status == "ok"
    assert "serengpt-small@" in found.detail
    assert found.detail.endswith(", int8 on the CPU")


@pytest.mark.train
def test_every_engine_loads_the_shipped_checkpoint_under_a_name_of_its_own() -> None:
    in_process = [name for name in ENGINES if name != "vllm"]  # which has its own test, beside its server
    names = {load_engine(name, "", threads=1).model_id for name in in_process}
    assert len(names) == len(in_process), (
        "int8 and single precision give different answers, and logs tell them apart by the name"
    )
    assert "on cpu" in check_serengpt("torch", "").detail or "on cuda" in check_serengpt("torch", "").detail


@pytest.mark.parametrize("name", ["ctranslate2", pytest.param("torch", marks=pytest.mark.train)])
def test_folder_without_a_checkpoint_is_an_error(name: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"cannot read ct2/manifest\.json"):
        load_engine(name, str(tmp_path), threads=1)


def test_the_workers_code_imports_no_torch() -> None:
    code = (
        "import sys, streams.serve, streams.doctor.checks; print({'torch', 'transformers', 'safetensors'} & set(sys.modules))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout == "set()\n"
