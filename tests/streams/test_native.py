"""Laws of the compiled hot path: nothing stale is ever run in place of its source."""

from __future__ import annotations

import os
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

from models.errors import ConfigError
from streams.native import MODULES, is_compiled, refuse_stale, root_of_this


def compiled(root: Path, *, source_s: int, compiled_s: int) -> None:
    for name in MODULES:
        source = root / name
        source.parent.mkdir(parents=True, exist_ok=True)
        for file, at_s in ((source, source_s), (source.with_suffix(EXTENSION_SUFFIXES[0]), compiled_s)):
            file.touch()
            os.utime(file, (at_s, at_s))


def test_source_that_is_newer_than_its_compiled_form_is_refused_by_name(tmp_path: Path) -> None:
    compiled(tmp_path, source_s=1_000, compiled_s=2_000)
    refuse_stale(tmp_path)
    os.utime(tmp_path / MODULES[3], (3_000, 3_000))
    with pytest.raises(ConfigError, match=f"{MODULES[3]} is newer than its compiled form: run `make native` again"):
        refuse_stale(tmp_path)


def test_hot_path_counts_as_compiled_only_when_all_of_it_is(tmp_path: Path) -> None:
    assert not is_compiled(tmp_path)
    compiled(tmp_path, source_s=1_000, compiled_s=2_000)
    assert is_compiled(tmp_path)
    (tmp_path / MODULES[0]).with_suffix(EXTENSION_SUFFIXES[0]).unlink()
    assert not is_compiled(tmp_path)


def test_every_module_of_the_hot_path_is_there() -> None:
    assert [name for name in MODULES if not (root_of_this() / name).is_file()] == []
