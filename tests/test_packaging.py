"""Laws of what is shipped: the wheel holds all that a run reads and nothing that only training does; a reader stays light."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from email.parser import Parser
from pathlib import Path

import pytest

import models
import streams

ROOT = Path(__file__).parents[1]
MIB = 1024 * 1024

# What a run reads beside its code; the wheel holds more.
READ_BY_A_RUN = {
    "streams/data/online-retail/events.jsonl.zst",
    "streams/data/online-retail/items.jsonl.zst",
    "streams/data/online-retail/users.jsonl.zst",
    "streams/data/online-retail/about.json",
    "streams/page/page.html",
    "streams/page/page.css",
    "streams/page/page.js",
    "streams/lua/publish.lua",
    "streams/lua/acquire.lua",
    "streams/slates/FORMAT.md",
    "models/pretrained/serengpt-small/ct2/model.bin",
    "models/pretrained/serengpt-small/ct2/config.json",
    "models/pretrained/serengpt-small/tokenizer.json",
    "models/pretrained/tower-small/tower.npz",
    "models/pretrained/distilled-small/distilled.npz",
    "models/pretrained/distilled-small/card.json",
    "models/pretrained/words-small/words.npz",
}

# Run from the unpacked wheel: reads every kind of file that the code reads by itself.
READS_ITS_FILES = """
import sys
from pathlib import Path
import models, streams
from models.pretrained import serengpt_folder, tower_folder
from streams.recorded.logs import shipped_log
from streams.page.render import SCRIPTS, STYLES, _read
from streams.lua.scripts import Script

here = Path(sys.argv[1]).resolve()
assert Path(models.__file__).is_relative_to(here), models.__file__
assert Path(streams.__file__).is_relative_to(here), streams.__file__
log = shipped_log("online-retail")
assert sum(1 for _ in log.events()) == log.about.events
assert all(_read(name) for name in (*SCRIPTS, *STYLES, "page.html"))
scripts = ("publish", "acquire", "claim_profile", "write_profile", "write_checkpoint", "write_due")
assert all(Script(name).source for name in scripts)
assert (serengpt_folder() / "ct2" / "model.bin").is_file()
assert any(tower_folder().iterdir())
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of the tree, so that nothing of an earlier build is in it."""
    tree = tmp_path_factory.mktemp("tree")
    for name in ("models", "streams"):
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree / name)
    built = tmp_path_factory.mktemp("wheel")
    program = "import sys; from setuptools.build_meta import build_wheel; build_wheel(sys.argv[1])"
    ended = subprocess.run(
        [sys.executable, "-c", program, str(built)], cwd=tree, capture_output=True, text=True, check=False, timeout=50
    )
    assert ended.returncode == 0, ended.stderr
    [path] = built.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def files_of_the_tree() -> Iterator[str]:
    for package in ("models", "streams"):
        for path in (ROOT / package).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                yield path.relative_to(ROOT).as_posix()


def test_wheel_holds_what_a_run_reads(names: set[str]) -> None:
    assert names >= READ_BY_A_RUN, READ_BY_A_RUN - names


def test_wheel_holds_every_file_of_both_packages_but_the_checkpoint_for_training(names: set[str]) -> None:
    expected = {name for name in files_of_the_tree() if not name.endswith(".safetensors")}
    assert {name for name in names if ".dist-info/" not in name} == expected


def test_wheel_is_small_enough_to_be_fetched_in_a_moment(wheel: Path) -> None:
    assert wheel.stat().st_size < 20 * MIB


def test_wheel_says_how_it_is_run_and_asks_for_no_torch(wheel: Path, names: set[str]) -> None:
    [folder] = {name.split("/")[0] for name in names if ".dist-info/" in name}
    with zipfile.ZipFile(wheel) as archive:
        assert "seren = streams.cli:main" in archive.read(f"{folder}/entry_points.txt").decode()
        metadata = Parser().parsestr(archive.read(f"{folder}/METADATA").decode())
    needed = [line for line in metadata.get_all("Requires-Dist", []) if "extra ==" not in line]
    assert any(line.startswith("faust-streaming==") for line in needed)
    assert not any(line.startswith(("torch", "transformers", "vllm", "safetensors")) for line in needed)
    assert (metadata["Name"], metadata["License-Expression"]) == ("seren", "Apache-2.0")


def test_wheel_unpacked_elsewhere_finds_its_files(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    ended = subprocess.run(
        [sys.executable, "-c", READS_ITS_FILES, str(tmp_path)],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    assert ended.returncode == 0, ended.stderr


def test_packages_under_test_are_those_of_this_repository() -> None:
    assert Path(models.__file__).parent == ROOT / "models"
    assert Path(streams.__file__).parent == ROOT / "streams"


@pytest.mark.parametrize("module", ["streams.client", "streams.keys", "streams.slates.packed"])
def test_reader_s_module_loads_no_framework_and_no_arrays(module: str) -> None:
    heavy = ("faust", "mode", "aiokafka", "torch", "numpy", "ctranslate2", "prometheus_client", "click")
    light = (*heavy, "msgspec", "zstandard", "orjson") if module == "streams.client" else heavy
    program = f"import sys, {module}; print(*sorted({{name.split('.')[0] for name in sys.modules}}))"
    ended = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
        timeout=50,
    )
    assert set(light).isdisjoint(ended.stdout.split())


def test_read_command_starts_without_faust_and_models() -> None:
    program = (
        "import sys; from click.testing import CliRunner; from streams.cli import cli\n"
        "assert CliRunner().invoke(cli, ['read', '--help']).exit_code == 0\n"
        "print(*sorted({name.split('.')[0] for name in sys.modules}))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
        timeout=50,
    )
    assert {"faust", "mode", "aiokafka", "torch", "ctranslate2", "tokenizers"}.isdisjoint(ended.stdout.split())
