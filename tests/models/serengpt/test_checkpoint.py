import json
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from models.errors import CheckpointError
from models.pretrained import serengpt_folder
from models.serengpt.checkpoint import MANIFEST, make_manifest, read_checkpoint
from models.serengpt.embedded import load_engine

SHIPPED_BYTES = 10_000_000  # what the light install may carry of a checkpoint


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    shutil.copytree(serengpt_folder(), tmp_path / "model", ignore=shutil.ignore_patterns("*.safetensors"))
    return tmp_path / "model"


def _sealed(folder: Path) -> Path:
    (folder / MANIFEST).write_bytes(msgspec.json.encode(make_manifest(folder, name="broken")))
    return folder


def test_checkpoint_id_is_the_same_wherever_the_folder_lies(copied: Path) -> None:
    assert read_checkpoint(copied).model_id == read_checkpoint(serengpt_folder()).model_id


def test_checkpoint_other_weights_have_another_id(copied: Path) -> None:
    (copied / "ct2/model.bin").write_bytes((copied / "ct2/model.bin").read_bytes() + b"\0")
    assert read_checkpoint(_sealed(copied)).model_id != read_checkpoint(serengpt_folder()).model_id


def test_checkpoint_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"cannot read ct2/manifest\.json"):
        load_engine(tmp_path / "nowhere", threads=1)


@pytest.mark.parametrize("file", ["tokenizer.json", "ct2/model.bin", "ct2/config.json", "ct2/vocabulary.json"])
def test_checkpoint_missing_file_is_an_error(copied: Path, file: str) -> None:
    (copied / file).unlink()
    with pytest.raises(CheckpointError, match=f"cannot read {file}"):
        load_engine(copied, threads=1)


@pytest.mark.parametrize("file", ["tokenizer.json", "ct2/model.bin"])
def test_checkpoint_changed_byte_is_an_error(copied: Path, file: str) -> None:
    data = bytearray((copied / file).read_bytes())
    data[len(data) // 2] ^= 1
    (copied / file).write_bytes(data)
    with pytest.raises(CheckpointError, match=f"{file} is not the file that ct2/manifest.json names"):
        load_engine(copied, threads=1)


def test_checkpoint_that_the_runtime_cannot_load_is_an_error(copied: Path) -> None:
    (copied / "ct2/model.bin").write_bytes(b"no model")
    with pytest.raises(CheckpointError, match="the runtime cannot load it"):
        load_engine(_sealed(copied), threads=1)


def test_checkpoint_of_two_vocabularies_is_an_error(copied: Path) -> None:
    vocabulary = json.loads((copied / "ct2/vocabulary.json").read_text())
    (copied / "ct2/vocabulary.json").write_text(json.dumps([*vocabulary[:-1], "other"]))
    with pytest.raises(CheckpointError, match="different vocabularies"):
        load_engine(_sealed(copied), threads=1)


def test_checkpoint_of_another_prompt_version_is_an_error(copied: Path) -> None:
    manifest = json.loads((copied / MANIFEST).read_text())
    (copied / MANIFEST).write_text(json.dumps(manifest | {"prompt_version": 99}))
    with pytest.raises(CheckpointError, match="prompt version 99"):
        load_engine(copied, threads=1)


def test_shipped_checkpoint_is_small_enough_for_the_light_install() -> None:
    folder = serengpt_folder()
    shipped = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file() and file.suffix != ".safetensors")
    assert shipped < SHIPPED_BYTES


def test_engine_runs_without_torch_or_transformers() -> None:
    code = "import sys, models.serengpt.embedded; print({'torch', 'transformers'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
