"""Laws of adapter folders: named by content, and refused with words when an engine could not run them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from models.errors import CheckpointError
from models.serengpt.adapters import is_adapter, read_adapter

CONFIG = {"peft_type": "LORA", "r": 8, "lora_alpha": 16, "target_modules": ["q_proj", "down_proj"]}


def _adapter(folder: Path, weights: bytes = b"weights", **changes: Any) -> Path:
    folder.mkdir()
    (folder / "adapter_config.json").write_text(json.dumps(CONFIG | changes))
    (folder / "adapter_model.safetensors").write_bytes(weights)
    return folder


def test_adapter_is_named_by_its_content(tmp_path: Path) -> None:
    found = [read_adapter(_adapter(tmp_path / name / "spring", weights)) for name, weights in _folders(tmp_path)]
    assert found[0].model_id == found[1].model_id != found[2].model_id
    assert found[0].model_id.startswith("spring@")
    assert (found[0].name, found[0].rank) == ("spring", 8)


def _folders(tmp_path: Path) -> list[tuple[str, bytes]]:
    folders = [("one", b"weights"), ("same", b"weights"), ("other", b"others")]
    for name, _ in folders:
        (tmp_path / name).mkdir()
    return folders


def test_folder_is_an_adapter_by_its_configuration(tmp_path: Path) -> None:
    assert is_adapter(_adapter(tmp_path / "adapter"))
    assert not is_adapter(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"peft_type": "LOHA"}, "LOHA of rank 8, must be LORA of rank 1 to 512"),
        ({"r": 0}, "LORA of rank 0, must be"),
        ({"r": 513}, "LORA of rank 513, must be"),
        ({"target_modules": ["q_proj", "lm_head"]}, "target_modules lm_head, must be among down_proj, gate_proj"),
        ({"target_modules": "all-linear"}, "Expected `array`"),
    ],
)
def test_adapter_that_cannot_be_run_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        read_adapter(_adapter(tmp_path / "adapter", **changes))


def test_adapter_without_weights_is_refused(tmp_path: Path) -> None:
    folder = _adapter(tmp_path / "adapter")
    (folder / "adapter_model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"adapter_model\.safetensors"):
        read_adapter(folder)
