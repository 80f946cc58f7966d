"""Laws of the registry, on copies of the shipped checkpoint: real ones, under names of their own."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from threading import Thread

import pytest

from models.errors import CheckpointError, ConfigError
from models.pretrained import serengpt_folder
from models.registry import Gate, Metrics, Registry, is_registry, model_key

KEY = b"sixteen bytes or more"
GATE = Gate(ranking_drop=0.01, novelty_drop=0.01, diversity_drop=0.02)
Measure = Callable[..., Metrics]


@pytest.fixture
def checkpoint(tmp_path: Path) -> Callable[[str], Path]:
    def made(name: str) -> Path:
        folder = tmp_path / f"checkpoint-{name}"
        shutil.copytree(serengpt_folder(), folder, ignore=shutil.ignore_patterns("*.safetensors"))
        manifest = folder / "ct2" / "manifest.json"
        manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"name": name}))
        return folder

    return made


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path / "registry")


def add(registry: Registry, folder: Path, measure: Measure, **means: float) -> None:
    registry.add(folder, metrics=measure(folder, **means), parent=None, created_ms=1)


def test_version_added_keeps_its_card_and_content_and_serves_nobody(
    registry: Registry, checkpoint: Callable[[str], Path], measure: Measure
) -> None:
    folder = checkpoint("a")
    version = registry.add(folder, metrics=measure(folder), parent=None, created_ms=5)
    assert (version.number, version.parent, version.created_ms) == (1, None, 5)
    assert version.model_id.startswith("a@")
    assert registry.checkpoint(1).joinpath("README.md").read_text() == (serengpt_folder() / "README.md").read_text()
    assert registry.versions() == [registry.verify(1)] == [version]
    assert registry.measured(1) == [measure(folder)]
    assert is_registry(registry.folder)
    assert not is_registry(serengpt_folder())
    with pytest.raises(CheckpointError, match="no version serves yet"):
        registry.current()


def test_first_version_serves_if_it_was_measured_at_all(
    registry: Registry, checkpoint: Callable[[str], Path], measure: Measure
) -> None:
    folder = checkpoint("a")
    registry.add(folder, metrics=None, parent=None, created_ms=1)
    assert registry.promote(1, gate=GATE) == ("it was not measured: add it with --metrics",)
    registry.measure(1, measure(folder))
    assert registry.promote(1, gate=GATE) == ()
    assert registry.current() == 1


@pytest.mark.parametrize(
    ("means", "named"),
    [
        ({"ranking": 0.25 * 1.086, "novelty": 0.5 * 0.0544 / 0.0554}, "novelty"),  # the reproduction's trade
        ({"ranking": 0.24, "novelty": 0.9, "diversity": 30.0}, "ranking"),
        ({"ranking": 0.9, "diversity": 27.0}, "diversity"),
        ({"seed": 1}, "not comparable"),
    ],
)
def test_version_worse_in_one_thing_is_refused_whatever_else_it_gained(
    registry: Registry, checkpoint: Callable[[str], Path], measure: Measure, means: dict[str, float], named: str
) -> None:
    add(registry, checkpoint("a"), measure)
    registry.promote(1, gate=GATE)
    add(registry, checkpoint("b"), measure, **means)
    [why] = registry.promote(2, gate=GATE)
    assert named in why
    assert registry.current() == 1


def test_version_within_the_tolerances_serves_and_rollback_undoes_it_once(
    registry: Registry, checkpoint: Callable[[str], Path], measure: Measure
) -> None:
    for number, name in enumerate("abc", start=1):
        add(registry, checkpoint(name), measure, ranking=0.25 - 0.001 * number)
        assert registry.promote(number, gate=GATE) == ()
    assert [version.parent for version in registry.versions()] == [None, 1, 2]
    assert registry.rollback().number == 2
    assert registry.rollback().number == 1
    with pytest.raises(CheckpointError, match="no version served before 1"):
        registry.rollback()
    assert registry.current() == 1


def test_metrics_of_another_checkpoint_are_kept_for_none(
    registry: Registry, checkpoint: Callable[[str], Path], measure: Measure
) -> None:
    one, other = checkpoint("a"), checkpoint("b")
    with pytest.raises(CheckpointError, match=r"the metrics are of checkpoint .* measure it with seren evaluate gate"):
        registry.add(one, metrics=measure(other), parent=None, created_ms=1)
    assert registry.versions() == []
    add(registry, one, measure)
    with pytest.raises(CheckpointError, match="version 1 is"):
        registry.measure(1, measure(other))
    (kept,) = (registry.folder / "measured").iterdir()
    kept.write_text(kept.read_text().replace(measure(one).checkpoint, measure(other).checkpoint))
    with pytest.raises(CheckpointError, match="the metrics are of checkpoint"):
        registry.promote(1, gate=GATE)


def test_largest_set_of_cases_that_two_versions_share_decides(
    registry: Registry, checkpoint: Callable[[str], Path], measure: Measure
) -> None:
    """Few cases say that the new version is better, more of them that it is not."""
    one, other = checkpoint("a"), checkpoint("b")
    add(registry, one, measure)
    registry.promote(1, gate=GATE)
    add(registry, other, measure, ranking=0.3)
    assert [found.evaluation.cases for found in registry.measured(2)] == [40]
    registry.measure(2, measure(other, cases=80, ranking=0.2))
    registry.measure(1, measure(one, cases=80))
    assert [found.evaluation.cases for found in registry.measured(2)] == [80, 40]
    [why] = registry.promote(2, gate=GATE)
    assert why.startswith("ranking (ranking): -20.0%")
    assert registry.current() == 1


def test_version_that_serves_unmeasured_says_what_to_do(
    registry: Registry, checkpoint: Callable[[str], Path], measure: Measure
) -> None:
    folder = checkpoint("a")
    add(registry, folder, measure)
    registry.promote(1, gate=GATE)
    for path in (registry.folder / "measured").iterdir():
        path.unlink()
    add(registry, folder, measure)
    [why] = registry.promote(2, gate=GATE)
    assert "seren models measure 1" in why


@pytest.mark.parametrize(
    ("harm", "named"),
    [
        (lambda folder: (folder / "ct2" / "model.bin").write_bytes(b"other"), "ct2/model.bin is changed"),
        (lambda folder: (folder / "README.md").unlink(), "README.md is missing"),
        (lambda folder: (folder / "more.py").write_text("import os"), "more.py is not of this version"),
    ],
)
def test_version_whose_files_are_others_does_not_verify(
    registry: Registry, checkpoint: Callable[[str], Path], harm: Callable[[Path], object], named: str
) -> None:
    registry.add(checkpoint("a"), metrics=None, parent=None, created_ms=1)
    harm(registry.checkpoint(1))
    with pytest.raises(CheckpointError, match=named):
        registry.promote(1, gate=GATE)


def test_signed_version_verifies_with_its_key_alone(registry: Registry, checkpoint: Callable[[str], Path]) -> None:
    Registry(registry.folder, key=KEY).add(checkpoint("a"), metrics=None, parent=None, created_ms=1)
    registry.add(checkpoint("b"), metrics=None, parent=None, created_ms=2)
    assert Registry(registry.folder, key=KEY).verify(1).number == 1
    with pytest.raises(CheckpointError, match="version 1: signed with another key"):
        Registry(registry.folder, key=KEY[::-1]).verify(1)
    with pytest.raises(CheckpointError, match="version 2: not signed"):
        Registry(registry.folder, key=KEY).verify(2)


def test_metrics_changed_after_signing_or_not_signed_are_noticed(
    registry: Registry, checkpoint: Callable[[str], Path], measure: Measure
) -> None:
    keyed, folder = Registry(registry.folder, key=KEY), checkpoint("a")
    add(keyed, folder, measure, ranking=0.2)
    (record,) = (registry.folder / "measured").iterdir()
    record.write_text(record.read_text().replace("0.2,", "0.9,").replace("0.2]", "0.9]"))
    with pytest.raises(CheckpointError, match="version 1: its metrics: signed with another key, or changed since"):
        keyed.promote(1, gate=GATE)
    registry.measure(1, measure(folder))
    with pytest.raises(CheckpointError, match="version 1: its metrics: not signed"):
        keyed.promote(1, gate=GATE)


def test_metrics_that_cannot_be_read_name_the_file(
    registry: Registry, checkpoint: Callable[[str], Path], measure: Measure
) -> None:
    add(registry, checkpoint("a"), measure)
    (record,) = (registry.folder / "measured").iterdir()
    record.write_bytes(record.read_bytes()[:100])
    with pytest.raises(CheckpointError, match=f"{record.name}: .*; measure version 1 again"):
        registry.promote(1, gate=GATE)


def test_versions_added_at_once_have_numbers_of_their_own(registry: Registry, checkpoint: Callable[[str], Path]) -> None:
    folders = [checkpoint(name) for name in "abcd"]
    adding = [
        Thread(target=registry.add, args=(folder,), kwargs={"metrics": None, "parent": None, "created_ms": 1})
        for folder in folders
    ]
    for thread in adding:
        thread.start()
    for thread in adding:
        thread.join()
    versions = registry.versions()
    assert [version.number for version in versions] == [1, 2, 3, 4]
    assert {version.model_id.partition("@")[0] for version in versions} == set("abcd")
    assert sorted(path.name for path in registry.folder.iterdir()) == ["versions"]


def test_broken_checkpoint_or_unknown_parent_is_not_added(
    registry: Registry, checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match="cannot read ct2/manifest"):
        registry.add(tmp_path, metrics=None, parent=None, created_ms=1)
    with pytest.raises(CheckpointError, match="version 0009"):
        registry.add(checkpoint("a"), metrics=None, parent=9, created_ms=1)
    assert registry.versions() == []


def test_key_too_short_or_away_is_a_configuration_error(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"short\n")
    with pytest.raises(ConfigError, match="5 bytes, must be at least 16"):
        model_key(str(tmp_path / "key"))
    with pytest.raises(ConfigError, match="key_file"):
        model_key(str(tmp_path / "none"))
    assert model_key("") is None
